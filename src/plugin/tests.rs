//! The seam, driven through `serve` without sockets by plugins that only tests have.

mod check;
mod kinds;
mod phases;
mod sessions;
