//! APISIX's `vars` expressions (lua-resty-expr).

use serde_json::Value;

use super::operator::{Operator, is_operator};
use super::variable::{Subject, Variable};

/// Lists may nest so deep.
const MAX_DEPTH: usize = 16;
/// An expression may have so many comparisons and lists.
const MAX_NODES: usize = 1024;

/// A `vars` expression: `[["arg_name", "==", "json"], ["OR", […], […]]]`.
///
/// A comparison is `[variable, operator, value]` or, reversed, `[variable, "!", operator, value]`.
/// Operators: `==`, `~=`, `>`, `>=`, `<`, `<=`, `~~` (regular expression), `~*` (the same, in any
/// case), `in`, `has`, `ipmatch`. A list of lists means all of them; one that starts with `AND`,
/// `OR`, `!AND` or `!OR` says how. The empty list holds always.
///
/// Regular expressions are the regex crate's: linear in time, without look-around and back
/// references; those are refused when compiled.
#[derive(Debug, Clone)]
pub struct Expr {
    root: Node,
}

#[derive(Debug, Clone)]
enum Node {
    Compare { variable: Variable, operator: Operator, reverse: bool },
    Logic { any: bool, reverse: bool, nodes: Box<[Node]> },
}

impl Expr {
    /// Compiles an expression; the error is the text that APISIX's Admin API answers.
    pub fn compile(vars: &Value) -> Result<Expr, String> {
        compile_root(vars)
            .map(|root| Expr { root })
            .map_err(|reason| format!("failed to validate the 'vars' expression: {reason}"))
    }

    /// Whether it holds.
    #[inline]
    pub fn eval(&self, subject: &Subject<'_>) -> bool {
        self.root.holds(subject)
    }

    /// Whether it holds for every request, because it is empty.
    pub fn is_empty(&self) -> bool {
        matches!(&self.root, Node::Logic { any: false, reverse: false, nodes } if nodes.is_empty())
    }
}

/// A part of an expression that does not hold, and what its variables are.
#[derive(Debug, Clone, PartialEq)]
pub struct Failed {
    /// As it was configured.
    pub expression: Value,
    /// The names of its variables and their values; [`None`]: the request has none.
    pub values: Vec<(String, Option<String>)>,
}

impl Expr {
    /// The parts because of which it does not hold: of parts that must all hold, the first; of
    /// alternatives, each. `source` is what it was compiled from. Nothing where it holds.
    pub fn failing(&self, source: &Value, subject: &Subject<'_>) -> Vec<Failed> {
        let mut failed = Vec::new();
        if !self.eval(subject) {
            self.root.failing(source, subject, &mut failed);
        }
        failed
    }
}

impl Node {
    /// Of a node that does not hold. As deep as expressions nest.
    fn failing(&self, source: &Value, subject: &Subject<'_>, failed: &mut Vec<Failed>) {
        match self {
            Node::Logic { any, reverse: false, nodes } => {
                let parts = nodes.iter().zip(parts(source));
                for (node, source) in parts.filter(|(node, _)| !node.holds(subject)) {
                    node.failing(source, subject, failed);
                    if !any {
                        return;
                    }
                }
            }
            _ => {
                let mut values = Vec::new();
                self.values(source, subject, &mut values);
                failed.push(Failed { expression: source.clone(), values });
            }
        }
    }

    fn values(
        &self,
        source: &Value,
        subject: &Subject<'_>,
        values: &mut Vec<(String, Option<String>)>,
    ) {
        match self {
            Node::Compare { variable, .. } => {
                let name = source.get(0).and_then(Value::as_str).unwrap_or_default();
                let value = variable.value(subject);
                let value = value.map(|value| String::from_utf8_lossy(&value).into_owned());
                values.push((name.to_owned(), value));
            }
            Node::Logic { nodes, .. } => {
                for (node, source) in nodes.iter().zip(parts(source)) {
                    node.values(source, subject, values);
                }
            }
        }
    }
}

/// The parts of a list as they were compiled: without the operator that it may start with.
fn parts(source: &Value) -> impl Iterator<Item = &Value> {
    source.as_array().into_iter().flatten().skip_while(|part| part.is_string())
}

impl Node {
    fn holds(&self, subject: &Subject<'_>) -> bool {
        match self {
            Node::Compare { variable, operator, reverse } => {
                operator.holds(variable, subject) != *reverse
            }
            Node::Logic { any: true, reverse, nodes } => {
                nodes.iter().any(|node| node.holds(subject)) != *reverse
            }
            Node::Logic { any: false, reverse, nodes } => {
                nodes.iter().all(|node| node.holds(subject)) != *reverse
            }
        }
    }
}

fn compile_root(vars: &Value) -> Result<Node, String> {
    let rules = vars.as_array().ok_or("rule should be an array")?;
    match rules.first() {
        None => Ok(Node::Logic { any: false, reverse: false, nodes: Box::default() }),
        Some(Value::Array(_)) => compile(rules, 0, &mut 0),
        Some(first) if logic(first).is_some() => compile(rules, 0, &mut 0),
        Some(_) => Err("rule should be wrapped inside brackets".to_owned()),
    }
}

/// `any` and `reverse` of a logical operator.
fn logic(name: &Value) -> Option<(bool, bool)> {
    let name = name.as_str()?;
    Some(match name.to_ascii_uppercase().as_str() {
        "AND" => (false, false),
        "OR" => (true, false),
        "!AND" => (false, true),
        "!OR" => (true, true),
        _ => return None,
    })
}

fn compile(rules: &[Value], depth: usize, nodes: &mut usize) -> Result<Node, String> {
    *nodes += 1;
    if depth > MAX_DEPTH {
        return Err(format!("rule nests deeper than {MAX_DEPTH}"));
    }
    if *nodes > MAX_NODES {
        return Err(format!("rule has more than {MAX_NODES} parts"));
    }
    let ((any, reverse), rules) = match rules {
        [] => return Err("rule too short".to_owned()),
        [Value::Array(_), ..] => ((false, false), rules),
        [first, rest @ ..] => match logic(first) {
            Some(_) if rest.len() < 2 => return Err("rule too short".to_owned()),
            Some(operator) => (operator, rest),
            None => return compare(rules),
        },
    };
    let nodes = rules
        .iter()
        .map(|rule| compile(rule.as_array().ok_or("invalid expression")?, depth + 1, nodes))
        .collect::<Result<_, String>>()?;
    Ok(Node::Logic { any, reverse, nodes })
}

fn compare(rule: &[Value]) -> Result<Node, String> {
    let invalid = || "invalid expression".to_owned();
    let (name, operator, right, reverse) = match rule {
        [name, not, operator, right] => {
            if not.as_str() != Some("!") {
                return Err("bad 'not' expression".to_owned());
            }
            (name, operator, Some(right), true)
        }
        [name, operator, right] => (name, operator, Some(right), false),
        [name, operator] => (name, operator, None, false),
        _ => return Err(invalid()),
    };
    let name = name.as_str().ok_or_else(invalid)?;
    super::body::check(name)?;
    let variable = Variable::compile(name);
    let text = match operator {
        Value::String(text) => text.to_ascii_lowercase(),
        Value::Number(number) => number.to_string(),
        _ => return Err(invalid()),
    };
    // `[variable, value]` means `==`. lua-resty-expr lowers the value's case there; so do we.
    let (operator, negated) = match right {
        Some(right) => Operator::compile(&text, right)?,
        None if is_operator(&text) => Operator::compile(&text, &Value::Null)?,
        None => Operator::compile("==", &Value::String(text))?,
    };
    Ok(Node::Compare { variable, operator, reverse: reverse != negated })
}
