//! Nodes, balancing, pools, health.
//!
//! What is compiled into a plan is immutable ([`balancer::Balancer`], [`health::Checks`]); what
//! must outlive a plan (health, in-flight counts, split positions) is shared by the process and
//! handed out by the [`registry::Registry`]. Nothing here does I/O.

pub mod balancer;
pub mod budget;
pub mod endpoint;
pub mod health;
pub mod multiplex;
pub mod node;
pub mod pool;
pub mod registry;
mod waiting;
