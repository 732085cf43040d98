//! Watches files for changes (inotify).
//!
//! Not the files are watched but their folders: editors rename a new file over the old one, and
//! Kubernetes swaps a link (`..data`) beside it. Whatever happens in a folder, the stamps of its
//! files are compared; what differs is told. A folder that is missing is waited for.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use inotify::{Inotify, WatchDescriptor, WatchMask};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout, timeout_at};

/// Changes so close together are told as one.
const QUIET: Duration = Duration::from_millis(10);
/// A folder that never is quiet is told of all the same.
const QUIET_MAX: Duration = Duration::from_millis(200);
/// How often a folder that is missing is looked for.
const MISSING: Duration = Duration::from_millis(500);
/// Files of one watcher.
const FILES_MAX: usize = 1024;
/// Bytes of events read at once.
const EVENTS: usize = 4096;

/// What tells one version of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// One watched file.
struct Watched {
    /// As the caller named it.
    path: PathBuf,
    /// `None` while there is none.
    stamp: Option<Stamp>,
    /// Written to: told even if the stamp is the same, as its clock is coarse.
    written: bool,
}

/// Watches a set of files.
pub struct Watcher {
    descriptor: AsyncFd<Inotify>,
    files: Vec<Watched>,
    folders: HashMap<WatchDescriptor, PathBuf>,
    /// Folders that could not be watched, to be tried again.
    missing: Vec<PathBuf>,
    /// Something happened that is not told yet; survives a dropped [`Watcher::changed`].
    stirred: bool,
}

impl Watcher {
    /// Watches the files, which need not exist yet. Must be called within a tokio runtime.
    pub fn new(files: impl IntoIterator<Item = PathBuf>) -> io::Result<Watcher> {
        let files: Vec<Watched> = files
            .into_iter()
            .map(|path| Watched { stamp: stamp(&path), path, written: false })
            .collect();
        if files.len() > FILES_MAX {
            return Err(io::Error::other(format!("more than {FILES_MAX} files to watch")));
        }
        // Deprecated for descriptors that may change under it; this one is owned and never does.
        #[allow(deprecated)]
        let descriptor = AsyncFd::with_interest(Inotify::init()?, Interest::READABLE)?;
        let (folders, missing) = (HashMap::new(), Vec::new());
        let mut watcher = Watcher { descriptor, files, folders, missing, stirred: false };
        watcher.watch_folders()?;
        Ok(watcher)
    }

    /// Waits until files changed, and says which. A file that was removed is told of when it is
    /// back. May be dropped and called again without losing a change.
    pub async fn changed(&mut self) -> io::Result<Vec<PathBuf>> {
        loop {
            if !self.stirred {
                self.wait().await?;
            }
            self.settle().await?;
            // Links may lead elsewhere now, and folders may be new.
            self.watch_folders()?;
            self.stirred = false;
            let changed = self.compare();
            if !changed.is_empty() {
                return Ok(changed);
            }
        }
    }

    /// Until something happens in a folder, or one that was missing is there.
    async fn wait(&mut self) -> io::Result<()> {
        while !self.stirred {
            if self.missing.is_empty() {
                self.read().await?;
                continue;
            }
            if let Ok(read) = timeout(MISSING, self.read()).await {
                read?;
            }
            let before = self.missing.len();
            self.watch_folders()?;
            self.stirred |= self.missing.len() != before;
        }
        Ok(())
    }

    /// Until nothing happened for a moment.
    async fn settle(&mut self) -> io::Result<()> {
        let end = Instant::now() + QUIET_MAX;
        while let Ok(read) = timeout_at(end.min(Instant::now() + QUIET), self.read()).await {
            read?;
            if Instant::now() >= end {
                break;
            }
        }
        Ok(())
    }

    /// Takes what the kernel tells.
    async fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; EVENTS];
        let mut guard = self.descriptor.readable_mut().await?;
        let read = guard.try_io(|inotify| {
            let events = inotify.get_mut().read_events(&mut buffer)?;
            Ok(events.map(|event| event.to_owned()).collect::<Vec<_>>())
        });
        // Not readable after all.
        let Ok(events) = read else { return Ok(()) };
        for event in events? {
            use inotify::EventMask as Mask;
            self.stirred = true;
            let folder = self.folders.get(&event.wd).cloned();
            if event.mask.contains(Mask::IGNORED) {
                self.folders.remove(&event.wd);
            } else if event.mask.contains(Mask::MOVE_SELF) {
                // The watch would follow the folder to its new place.
                if self.folders.remove(&event.wd).is_some() {
                    let _ = self.descriptor.get_ref().watches().remove(event.wd);
                }
            } else if let (Some(folder), Some(name)) = (folder, event.name)
                && event.mask.intersects(Mask::CLOSE_WRITE | Mask::MOVED_TO)
            {
                let path = folder.join(name);
                let same =
                    |file: &&mut Watched| folder_of(&file.path).join(name_of(&file.path)) == path;
                self.files.iter_mut().filter(same).for_each(|file| file.written = true);
            }
        }
        Ok(())
    }

    /// Watches the folders of the files and of what they link to.
    fn watch_folders(&mut self) -> io::Result<()> {
        let mut wanted: Vec<PathBuf> = Vec::new();
        for file in &self.files {
            let target = std::fs::canonicalize(&file.path).ok();
            for path in [Some(&file.path), target.as_ref()].into_iter().flatten() {
                let folder = folder_of(path);
                if !wanted.contains(&folder) {
                    wanted.push(folder);
                }
            }
        }
        self.missing.clear();
        for folder in &wanted {
            if self.folders.values().any(|watched| watched == folder) {
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
                    self.folders.insert(descriptor, folder.clone());
                }
                Err(error) if error.kind() == io::ErrorKind::StorageFull => return Err(error),
                Err(_) => self.missing.push(folder.clone()),
            }
        }
        // Folders that nothing leads to any more, such as the last target of a link.
        let gone: Vec<WatchDescriptor> = self
            .folders
            .iter()
            .filter(|(_, folder)| !wanted.contains(folder))
            .map(|(descriptor, _)| descriptor.clone())
            .collect();
        for descriptor in gone {
            self.folders.remove(&descriptor);
            let _ = self.descriptor.get_ref().watches().remove(descriptor);
        }
        Ok(())
    }

    /// The files that are not what they were.
    fn compare(&mut self) -> Vec<PathBuf> {
        let mut changed = Vec::new();
        for file in &mut self.files {
            let written = std::mem::take(&mut file.written);
            let Some(now) = stamp(&file.path) else {
                file.stamp = None;
                continue;
            };
            if written || file.stamp != Some(now) {
                file.stamp = Some(now);
                changed.push(file.path.clone());
            }
        }
        changed
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let data = std::fs::metadata(path).ok()?;
    Some(Stamp {
        device: data.dev(),
        inode: data.ino(),
        size: data.size(),
        modified: (data.mtime(), data.mtime_nsec()),
    })
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

fn name_of(path: &Path) -> &std::ffi::OsStr {
    path.file_name().unwrap_or_default()
}

#[cfg(test)]
mod tests;
