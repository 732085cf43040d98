//! Where resources come from: one file per kind of store, one line here.

mod file;

pub use file::FileStore;
