//! The keys of the Admin API. A key is never logged and never part of `Debug`.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The variable whose key replaces the file's.
pub const KEY_VARIABLE: &str = "RINGGATE_ADMIN_KEY";
/// Keys below this are only good for loopback.
const LENGTH_MIN: usize = 16;
/// Bytes of a key or a key file; above it, something else was meant.
const LENGTH_MAX: u64 = 4 * 1024;
/// Random bytes of a key that is made here.
const RANDOM: usize = 32;
/// The keys that APISIX ships, which attackers try first.
const WELL_KNOWN: [&str; 2] =
    ["edd1c9f034335f136f87ad84b625c8f1", "4054f7cf07e344346cd3f287985e76a2"];

/// What a key allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Reading only.
    Viewer,
}

/// A key with its role.
#[derive(Clone)]
pub struct Key {
    /// For logs.
    pub name: String,
    /// What it allows.
    pub role: Role,
    secret: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).field("role", &self.role).finish()
    }
}

impl Key {
    /// A key from the configuration.
    pub fn new(name: impl Into<String>, role: Role, secret: impl Into<String>) -> Key {
        Key { name: name.into(), role, secret: secret.into() }
    }

    /// Why it is only good for loopback, if so.
    fn weakness(&self) -> Option<String> {
        if WELL_KNOWN.contains(&self.secret.as_str()) {
            return Some(format!("key {}, which is APISIX's default", self.name));
        }
        (self.secret.len() < LENGTH_MIN)
            .then(|| format!("key {}, which is below {LENGTH_MIN} bytes", self.name))
    }
}

/// Where the first key came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// [`KEY_VARIABLE`]
    Environment,
    /// A file that was there.
    File(PathBuf),
    /// A file that was made now.
    Made(PathBuf),
}

/// All keys.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    keys: Vec<Key>,
}

impl Keys {
    /// These keys.
    pub fn new(keys: Vec<Key>) -> Keys {
        Keys { keys }
    }

    /// The key that is given, in a time that does not depend on where it differs.
    pub fn find(&self, given: &[u8]) -> Option<&Key> {
        self.keys.iter().fold(None, |found, key| {
            let equal = !key.secret.is_empty() && equals(key.secret.as_bytes(), given);
            if equal { Some(key) } else { found }
        })
    }

    /// Its role.
    pub fn role(&self, given: &[u8]) -> Option<Role> {
        self.find(given).map(|key| key.role)
    }

    /// Why these keys are only good for loopback, if so.
    pub fn weakness(&self) -> Option<String> {
        if self.keys.is_empty() {
            return Some("no key at all".to_owned());
        }
        self.keys.iter().find_map(Key::weakness)
    }
}

/// Compares without stopping at the first difference; the length of `given` is the peer's own.
fn equals(secret: &[u8], given: &[u8]) -> bool {
    let mut difference = u8::from(secret.len() != given.len());
    for (at, byte) in given.iter().enumerate() {
        let expected = secret.get(at % secret.len().max(1)).copied().unwrap_or(0);
        difference |= std::hint::black_box(byte ^ expected);
    }
    std::hint::black_box(difference) == 0
}

/// The first key: of the environment, else of the file, which is made where it is missing.
pub fn load(file: &Path, environment: Option<&str>) -> Result<(Key, Origin), String> {
    if let Some(secret) = environment.map(str::trim).filter(|secret| !secret.is_empty()) {
        return Ok((Key::new(KEY_VARIABLE, Role::Admin, secret), Origin::Environment));
    }
    let told = |error: io::Error| format!("admin key file {}: {error}", file.display());
    match read(file) {
        Ok(secret) => Ok((Key::new("key_file", Role::Admin, secret), Origin::File(file.into()))),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let secret = make(file).map_err(told)?;
            Ok((Key::new("key_file", Role::Admin, secret), Origin::Made(file.into())))
        }
        Err(error) => Err(told(error)),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        crate::telemetry::error_log::warn(
            "admin",
            "the key file can be read by others",
            format_args!("{} has mode {:o}, expected 600", path.display(), mode & 0o777),
        );
    }
    let mut text = String::new();
    file.take(LENGTH_MAX).read_to_string(&mut text)?;
    let secret = text.trim();
    if secret.is_empty() {
        return Err(io::Error::new(ErrorKind::InvalidData, "it is empty"));
    }
    Ok(secret.to_owned())
}

/// Makes a key and its file. The file appears whole or not at all: it is written beside and moved.
fn make(path: &Path) -> io::Result<String> {
    let mut random = [0; RANDOM];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let secret: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| writeln!(file, "{secret}").and_then(|()| file.sync_all()))
        // A link rather than a rename: a file that came up meanwhile is not replaced.
        .and_then(|()| std::fs::hard_link(&beside, path));
    let _ = std::fs::remove_file(&beside);
    match written {
        Ok(()) => Ok(secret),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.exists() => read(path),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_with_mode_0600() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data/admin.key");
        let (made, origin) = load(&path, None).expect("made");
        assert_eq!(origin, Origin::Made(path.clone()));
        assert_eq!(made.secret.len(), 64);
        assert!(made.secret.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (again, origin) = load(&path, Some(" ")).expect("read");
        assert_eq!((again.secret, origin), (made.secret.clone(), Origin::File(path.clone())));
        assert_eq!(std::fs::read_dir(folder.path().join("data")).expect("there").count(), 1);
        assert!(!format!("{made:?}").contains(&made.secret), "never in logs");
    }

    #[test]
    fn the_environment_comes_first_and_makes_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("admin.key");
        let (key, origin) = load(&path, Some("of the environment")).expect("taken");
        assert_eq!((key.secret.as_str(), origin), ("of the environment", Origin::Environment));
        assert!(!path.exists());
    }

    #[test]
    fn an_empty_or_unreadable_file_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("admin.key");
        std::fs::write(&path, "\n").expect("written");
        assert!(load(&path, None).expect_err("empty").contains("empty"));
        assert!(load(folder.path(), None).is_err(), "a folder");
    }

    #[test]
    fn only_the_whole_key_is_the_key() {
        let keys = Keys::new(vec![
            Key::new("a", Role::Admin, "0123456789abcdef"),
            Key::new("b", Role::Viewer, "viewerviewerviewer"),
            Key::new("c", Role::Admin, ""),
        ]);
        assert_eq!(keys.role(b"0123456789abcdef"), Some(Role::Admin));
        assert_eq!(keys.role(b"viewerviewerviewer"), Some(Role::Viewer));
        for wrong in [&b""[..], b"0", b"0123456789abcde", b"0123456789abcdef0123456789abcdef", b"x"]
        {
            assert_eq!(keys.role(wrong), None);
        }
    }

    #[test]
    fn weak_keys_are_known() {
        let weakness =
            |secret: &str| Keys::new(vec![Key::new("k", Role::Admin, secret)]).weakness();
        assert!(weakness("short").is_some());
        assert!(weakness(WELL_KNOWN[0]).is_some_and(|text| !text.contains(WELL_KNOWN[0])));
        assert!(weakness("long enough to stay").is_none());
        assert!(Keys::default().weakness().is_some());
    }
}
