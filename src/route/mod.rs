//! Routing: which route a request belongs to, with APISIX's precedence.
//!
//! [`RouteTable`] is APISIX's default router `radixtree_host_uri`: the host first, then the URI,
//! then methods, `remote_addrs` and `vars`. It is persistent: a changed table shares everything
//! but the changed path with the one before. [`Variable`], [`Template`] and [`Expr`] are nginx's
//! variables, texts with variables in them, and `vars` expressions; plugins use them too.

mod addresses;
mod body;
mod explain;
mod expr;
mod fields;
mod fuzz;
mod graphql;
mod json_path;
mod operator;
mod pattern;
mod spec;
mod table;
mod template;
#[cfg(test)]
mod tests;
mod tls;
mod tree;
mod variable;

pub use addresses::AddressSet;
pub use body::{Asked, BodyVariables, ROUTED_BODY_MAX};
pub use explain::{Considered, Verdict};
pub use expr::{Expr, Failed};
#[doc(hidden)]
pub use fuzz::{fuzz_expr, fuzz_path, fuzz_routed_body};
pub use pattern::UriPattern;
pub use spec::{Methods, RouteError, RouteSpec};
pub use table::{Candidate, Match, Outcome, Rejection, RouteTable};
pub use template::Template;
pub use tls::TlsVariable;
pub use variable::{Context, Subject, Variable};
