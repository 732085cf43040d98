//! /etc/hosts, read again when it changed; hickory reads it once.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// How long an answer from the file holds.
pub(super) const TTL: Duration = Duration::from_secs(10);

/// Most bytes read.
const BYTES_MAX: u64 = 4 << 20;

pub(super) struct HostsFile {
    path: PathBuf,
    read: Mutex<Read>,
}

#[derive(Default)]
struct Read {
    /// Of the file that was read: when it was written, and how long it was.
    stamp: Option<(SystemTime, u64)>,
    names: HashMap<String, Vec<IpAddr>>,
}

impl HostsFile {
    pub(super) fn system() -> HostsFile {
        HostsFile::at("/etc/hosts".into())
    }

    pub(super) fn at(path: PathBuf) -> HostsFile {
        HostsFile { path, read: Mutex::default() }
    }

    /// IPv4 addresses of a name, or IPv6 ones where there is no other, in the file's order.
    /// `localhost` is 127.0.0.1 even without a file (RFC 6761: never asked for elsewhere).
    pub(super) fn lookup(&self, name: &str) -> Option<Vec<IpAddr>> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = std::fs::metadata(&self.path)
            .and_then(|meta| Ok((meta.modified()?, meta.len())))
            .ok()
            .filter(|(_, bytes)| *bytes <= BYTES_MAX);
        if stamp != read.stamp {
            let text = stamp.and_then(|_| std::fs::read_to_string(&self.path).ok());
            *read = Read { stamp, names: parse(text.as_deref().unwrap_or_default()) };
        }
        let all = read.names.get(&name);
        let found = all.map(|all| {
            let v4: Vec<IpAddr> = all.iter().copied().filter(IpAddr::is_ipv4).collect();
            if v4.is_empty() { all.clone() } else { v4 }
        });
        let local = || vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        found.or_else(|| (name == "localhost" || name.ends_with(".localhost")).then(local))
    }
}

fn parse(text: &str) -> HashMap<String, Vec<IpAddr>> {
    let mut names: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for line in text.lines() {
        let line = line.split_once('#').map_or(line, |(line, _)| line);
        let mut words = line.split_ascii_whitespace();
        let Some(Ok(ip)) = words.next().map(str::parse::<IpAddr>) else { continue };
        for name in words {
            names.entry(name.to_ascii_lowercase()).or_default().push(ip);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_again_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        let hosts = HostsFile::at(path.clone());
        assert_eq!(hosts.lookup("localhost"), Some(vec!["127.0.0.1".parse().unwrap()]));
        assert_eq!(hosts.lookup("db"), None);
        std::fs::write(&path, "10.0.0.1 DB db2 # main\n::5 db six\nnonsense\n").unwrap();
        assert_eq!(hosts.lookup("db."), Some(vec!["10.0.0.1".parse().unwrap()]));
        assert_eq!(hosts.lookup("six"), Some(vec!["::5".parse().unwrap()]));
        std::fs::write(&path, "10.0.0.22 db\n").unwrap();
        assert_eq!(hosts.lookup("db"), Some(vec!["10.0.0.22".parse().unwrap()]));
    }
}
