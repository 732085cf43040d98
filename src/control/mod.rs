//! The control side: everything that is not on a shard.

pub mod watch;
