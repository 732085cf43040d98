//! Configuration: raw, checked, compiled.

pub mod resources;
