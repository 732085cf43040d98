//! The embedded store: the gateway's own database, written through the Admin API.

use std::path::PathBuf;

use super::{Content, Store};
use crate::config::{Checks, Problems};

/// The gateway's own database.
#[derive(Debug, Clone)]
pub struct Embedded {
    folder: PathBuf,
}

impl Embedded {
    /// The database in a folder.
    pub fn new(folder: PathBuf) -> Embedded {
        Embedded { folder }
    }
}

impl Store for Embedded {
    fn kind(&self) -> &'static str {
        "embedded"
    }

    fn source(&self) -> String {
        self.folder.join(super::FILE).display().to_string()
    }

    fn load(&mut self, _: &Checks<'_>) -> Result<Content, Problems> {
        Ok(Content::Local)
    }
}
