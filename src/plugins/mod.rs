//! The registry of plugins: one line each.
