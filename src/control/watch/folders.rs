//! What the kernel tells of folders (inotify).
//!
//! Not the files are watched but their folders: editors rename a new file over the old one, and
//! Kubernetes swaps a link (`..data`) beside it. A folder that is missing is waited for.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use inotify::{Inotify, WatchDescriptor, WatchMask};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use super::Watched;

/// How often a folder that is missing is looked for.
const MISSING: Duration = Duration::from_millis(500);
/// Links that a path may lead through, twice: the kernel's bound is 40 (`path_resolution(7)`).
const LINKS_MAX: usize = 80;
/// Bytes of events read at once.
const EVENTS: usize = 4096;

/// The folders of a set of files.
pub(super) struct Folders {
    descriptor: AsyncFd<Inotify>,
    watched: HashMap<WatchDescriptor, PathBuf>,
    /// Folders that could not be watched, to be tried again.
    missing: Vec<PathBuf>,
}

impl Folders {
    /// Watches the files' folders.
    pub(super) fn new(files: &[Watched]) -> io::Result<Folders> {
        let mut folders = Folders::over(Inotify::init()?)?;
        folders.follow(files)?;
        Ok(folders)
    }

    /// Watches nothing yet.
    pub(super) fn over(inotify: Inotify) -> io::Result<Folders> {
        // Deprecated for descriptors that may change under it; this one is owned and never does.
        #[allow(deprecated)]
        let descriptor = AsyncFd::with_interest(inotify, Interest::READABLE)?;
        Ok(Folders { descriptor, watched: HashMap::new(), missing: Vec::new() })
    }

    /// Until something happens in a folder, or one that was missing is there.
    pub(super) async fn wait(&mut self, files: &mut [Watched]) -> io::Result<()> {
        loop {
            if self.missing.is_empty() {
                if self.read(files).await? {
                    return Ok(());
                }
                continue;
            }
            let stirred = match timeout(MISSING, self.read(files)).await {
                Ok(read) => read?,
                Err(_) => false,
            };
            let before = self.missing.len();
            self.follow(files)?;
            if stirred || self.missing.len() != before {
                return Ok(());
            }
        }
    }

    /// Takes what the kernel tells; whether that is anything.
    pub(super) async fn read(&mut self, files: &mut [Watched]) -> io::Result<bool> {
        let mut buffer = [0; EVENTS];
        let mut guard = self.descriptor.readable_mut().await?;
        let read = guard.try_io(|inotify| {
            let events = inotify.get_mut().read_events(&mut buffer)?;
            Ok(events.map(|event| event.to_owned()).collect::<Vec<_>>())
        });
        // Not readable after all.
        let Ok(events) = read else { return Ok(false) };
        let events = events?;
        let any = !events.is_empty();
        for event in events {
            use inotify::EventMask as Mask;
            let folder = self.watched.get(&event.wd).cloned();
            if event.mask.contains(Mask::IGNORED) {
                self.watched.remove(&event.wd);
            } else if event.mask.contains(Mask::MOVE_SELF) {
                // The watch would follow the folder to its new place.
                if self.watched.remove(&event.wd).is_some() {
                    let _ = self.descriptor.get_ref().watches().remove(event.wd);
                }
            } else if let (Some(folder), Some(name)) = (folder, event.name)
                && event.mask.intersects(Mask::CLOSE_WRITE | Mask::MOVED_TO)
            {
                let path = folder.join(name);
                let same =
                    |file: &&mut Watched| folder_of(&file.path).join(name_of(&file.path)) == path;
                files.iter_mut().filter(same).for_each(|file| file.written = true);
            }
        }
        Ok(any)
    }

    /// Watches the folders of the files and of the links that lead to them, and no others.
    pub(super) fn follow(&mut self, files: &[Watched]) -> io::Result<()> {
        let mut wanted: Vec<PathBuf> = Vec::new();
        for file in files {
            for path in ways(&file.path) {
                let folder = folder_of(&path);
                if !wanted.contains(&folder) {
                    wanted.push(folder);
                }
            }
        }
        self.missing.clear();
        for folder in &wanted {
            if self.watched.values().any(|watched| watched == folder) {
                continue;
            }
            let mask = WatchMask::CREATE
                | WatchMask::CLOSE_WRITE
                | WatchMask::MOVED_TO
                | WatchMask::MOVED_FROM
                | WatchMask::DELETE
                | WatchMask::DELETE_SELF
                | WatchMask::MOVE_SELF
                | WatchMask::ONLYDIR;
            match self.descriptor.get_ref().watches().add(folder, mask) {
                Ok(descriptor) => {
                    self.watched.insert(descriptor, folder.clone());
                }
                Err(error) if is_final(&error) => return Err(error),
                // Not there, or not to be seen: it may come.
                Err(_) => self.missing.push(folder.clone()),
            }
        }
        // Folders that nothing leads to any more, such as the last target of a link.
        let gone: Vec<WatchDescriptor> = self
            .watched
            .iter()
            .filter(|(_, folder)| !wanted.contains(folder))
            .map(|(descriptor, _)| descriptor.clone())
            .collect();
        for descriptor in gone {
            self.watched.remove(&descriptor);
            let _ = self.descriptor.get_ref().watches().remove(descriptor);
        }
        Ok(())
    }
}

/// No room for another watch (`fs.inotify.max_user_watches`), or nothing that can watch.
fn is_final(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::StorageFull | Kind::OutOfMemory | Kind::InvalidInput)
}

/// The path, every link that it goes through, and where it leads.
fn ways(path: &Path) -> Vec<PathBuf> {
    let mut ways = vec![path.to_path_buf()];
    let mut whole = path.to_path_buf();
    // The first link that is left, replaced by what it says, until there is none.
    while ways.len() < LINKS_MAX {
        let parts: Vec<&Path> = whole.ancestors().collect();
        let link =
            parts.iter().rev().find_map(|part| Some((*part, std::fs::read_link(part).ok()?)));
        let Some((link, target)) = link else { break };
        let behind = whole.strip_prefix(link).unwrap_or(Path::new("")).to_path_buf();
        let led = folder_of(link).join(target);
        let led = if behind.as_os_str().is_empty() { led } else { led.join(behind) };
        if ways.last().is_none_or(|last| last != link) {
            ways.push(link.to_path_buf());
        }
        whole = led;
        ways.push(whole.clone());
    }
    ways
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

pub(super) fn name_of(path: &Path) -> &std::ffi::OsStr {
    path.file_name().unwrap_or_default()
}
