//! The file store: one file of resources, read again when it changes.

use std::path::{Path, PathBuf};

use crate::config::{self, Checks, Problems, ResourceFile, Resources};

/// A resource file.
#[derive(Debug, Clone)]
pub struct FileStore {
    path: PathBuf,
    found: bool,
}

impl FileStore {
    /// The store of a file that may not be there yet.
    pub fn new(path: PathBuf) -> FileStore {
        FileStore { path, found: false }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads and checks the file. One that was never there has no resources; one that is gone is
    /// an error, as its routes are not to go with it.
    pub fn load(&mut self, checks: &Checks<'_>) -> Result<Resources, Problems> {
        if !self.found && !self.path.exists() {
            return Ok(Resources::default());
        }
        self.found = true;
        let text = config::read(&self.path)?;
        let name = self.path.to_string_lossy();
        ResourceFile::parse(&name, &text, &config::process_environment, checks)
    }
}
