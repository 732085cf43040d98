//! The file store: one file of resources, read again when it changes.

use std::path::PathBuf;

use serde_json::Value;

use super::{Content, Store};
use crate::config::entries::Key;
use crate::config::resource_file::{credential_owner, resource_id};
use crate::config::schema::Kind;
use crate::config::{self, Checks, Document, Problems, ResourceFile, Resources};

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
}

impl Store for FileStore {
    fn kind(&self) -> &'static str {
        "file"
    }

    fn source(&self) -> String {
        self.path.display().to_string()
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn read_only(&self) -> Option<String> {
        Some(format!(
            "resources come from the file {} (store.kind is file): change them there, or use a \
             store of kind embedded",
            self.path.display()
        ))
    }

    /// Reads and checks the file. One that was never there has no resources; one that is gone is
    /// an error, as its routes are not to go with it.
    fn load(&mut self, checks: &Checks<'_>) -> Result<Content, Problems> {
        if !self.found && !self.path.exists() {
            return Ok(Content::Checked { resources: Resources::default(), values: Vec::new() });
        }
        self.found = true;
        let text = config::read(&self.path)?;
        let name = self.path.to_string_lossy();
        let (resources, document) =
            ResourceFile::read(&name, &text, &config::process_environment, checks)?;
        Ok(Content::Checked { resources, values: values(document) })
    }
}

/// The resources of a file that was found to be in order, one by one.
fn values(document: Document) -> Vec<(Key, Value)> {
    let mut values = Vec::new();
    let Value::Object(map) = document.value else { return values };
    for (plural, list) in map {
        let (Some(kind), Value::Array(list)) = (Kind::of_key(&plural), list) else { continue };
        for (index, mut value) in list.into_iter().enumerate() {
            if kind == Kind::Consumer {
                if credential_owner(&value).is_some() {
                    let id = resource_id(Kind::Credential, &value, index);
                    values.push((Key::new(Kind::Credential, id), value));
                    continue;
                }
                let username = resource_id(kind, &value, index);
                let inline = value.as_object_mut().and_then(|map| map.remove("credentials"));
                let Some(Value::Array(inline)) = inline else {
                    values.push((Key::new(kind, username), value));
                    continue;
                };
                values.push((Key::new(kind, username.as_str()), value));
                for (index, credential) in inline.into_iter().enumerate() {
                    let id = resource_id(Kind::Credential, &credential, index);
                    let id = format!("{username}/credentials/{id}");
                    values.push((Key::new(Kind::Credential, id), credential));
                }
                continue;
            }
            values.push((Key::new(kind, resource_id(kind, &value, index)), value));
        }
    }
    values
}
