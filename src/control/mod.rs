//! The control side: everything that is not on a shard. One thread with a tokio runtime; the only
//! place where a plan is built.

pub mod admin;
mod configuration;
mod demo;
pub mod dns;
mod gateway;
pub mod health;
mod inspect;
mod startup;
mod tickets;
pub mod watch;

pub use gateway::run;
