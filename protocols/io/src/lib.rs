//! The I/O facade.
