//! The control side: everything that is not on a shard. One thread with a tokio runtime; the only
//! place where a plan is built.

pub mod admin;
pub mod dns;
pub mod health;
pub mod watch;
