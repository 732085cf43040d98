//! The control side: everything that is not on a shard. One thread with a tokio runtime, and one
//! on which configurations are read and plans compiled; the only place where a plan is built.

pub mod admin;
pub mod canary;
mod changes;
mod configuration;
mod demo;
pub mod dns;
pub mod editor;
mod explain;
mod gateway;
pub mod guarded;
pub mod health;
mod inspect;
mod startup;
mod tickets;
mod watch;

pub use gateway::run;
