//! What is wrong with a configuration: every problem with its file, line and path.

use std::fmt;
use std::sync::Arc;

/// Problems kept of one check; further ones are only counted.
pub const PROBLEMS_MAX: usize = 1000;

/// One thing that is wrong, shown as `file:line: path: reason`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file as it was named by the user.
    pub file: Arc<str>,
    /// Counted from 1; 0 where no line applies (a file that cannot be read).
    pub line: u32,
    /// `routes[0].upstream.nodes`; empty for the file as a whole.
    pub path: String,
    /// What is wrong, for the user.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        f.write_str(": ")?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.reason)
    }
}

/// All problems of a check, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
    left_out: usize,
}

impl Problems {
    /// None so far.
    pub fn new() -> Problems {
        Problems::default()
    }

    /// A list of one.
    pub fn of(problem: Problem) -> Problems {
        Problems { list: vec![problem], left_out: 0 }
    }

    /// Adds one; past [`PROBLEMS_MAX`] it is only counted.
    pub fn push(&mut self, problem: Problem) {
        if self.is_full() {
            self.leave_out();
        } else {
            self.list.push(problem);
        }
    }

    /// Whether further ones are only counted.
    pub fn is_full(&self) -> bool {
        self.list.len() >= PROBLEMS_MAX
    }

    /// Counts one that nobody will see.
    pub fn leave_out(&mut self) {
        self.left_out += 1;
    }

    /// Adds those of another check.
    pub fn append(&mut self, other: Problems) {
        self.left_out += other.left_out;
        other.list.into_iter().for_each(|problem| self.push(problem));
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are, those left out included.
    pub fn count(&self) -> usize {
        self.list.len() + self.left_out
    }

    /// Those that were kept.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// By file as first met, then by line.
    pub fn sort_by_line(&mut self) {
        self.list.sort_by_key(|problem| problem.line);
    }

    /// `Ok` with the value where nothing is wrong.
    pub fn or<T>(self, value: T) -> Result<T, Problems> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.list.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        if self.left_out > 0 {
            write!(f, "\nand {} more", self.left_out)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(line: u32, path: &str) -> Problem {
        Problem { file: "a.yaml".into(), line, path: path.into(), reason: "bad".into() }
    }

    #[test]
    fn shown_as_file_line_path_reason() {
        assert_eq!(problem(3, "routes[0].uri").to_string(), "a.yaml:3: routes[0].uri: bad");
        assert_eq!(problem(3, "").to_string(), "a.yaml:3: bad");
        assert_eq!(problem(0, "").to_string(), "a.yaml: bad");
    }

    #[test]
    fn a_flood_is_counted_not_kept() {
        let mut problems = Problems::new();
        (0..PROBLEMS_MAX + 5).for_each(|_| problems.push(problem(1, "")));
        assert_eq!(problems.iter().count(), PROBLEMS_MAX);
        assert_eq!(problems.count(), PROBLEMS_MAX + 5);
        assert!(problems.to_string().ends_with("\nand 5 more"));
    }
}
