//! Watches files for changes: told by the kernel (inotify), or looked for where that fails.
//!
//! Whatever happens in a folder, the stamps of its files are compared; what differs is told. Where
//! inotify cannot be had, or ends (`fs.inotify.max_user_watches`), the stamps are compared every
//! second, and inotify is tried again every minute.

mod folders;

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use self::folders::Folders;
use crate::telemetry::error_log;

/// Changes so close together are told as one.
const QUIET: Duration = Duration::from_millis(10);
/// A folder that never is quiet is told of all the same.
const QUIET_MAX: Duration = Duration::from_millis(200);
/// How often files are looked at where the kernel does not tell.
const POLL: Duration = Duration::from_secs(1);
/// How often inotify is tried again.
const RETRY: Duration = Duration::from_secs(60);
/// Files of one watcher.
const FILES_MAX: usize = 1024;

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
pub(super) struct Watcher {
    files: Vec<Watched>,
    /// `None` where the kernel does not tell.
    folders: Option<Folders>,
    /// When inotify was tried last.
    tried: Instant,
    /// When the files are looked at next, without it.
    look: Instant,
    /// Something happened that is not told yet; survives a dropped [`Watcher::changed`].
    stirred: bool,
}

impl Watcher {
    /// Watches the files, which need not exist yet. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// With too many files.
    pub(super) fn new(files: impl IntoIterator<Item = PathBuf>) -> io::Result<Watcher> {
        let files: Vec<Watched> = files
            .into_iter()
            .map(|path| Watched { stamp: stamp(&path), path, written: false })
            .collect();
        if files.len() > FILES_MAX {
            return Err(io::Error::other(format!("more than {FILES_MAX} files to watch")));
        }
        let now = Instant::now();
        let mut watcher = Watcher { files, folders: None, tried: now, look: now, stirred: false };
        match Folders::new(&watcher.files) {
            Ok(folders) => watcher.folders = Some(folders),
            Err(error) => watcher.fall_back(&error),
        }
        Ok(watcher)
    }

    /// Waits until files changed, and says which. A file that was removed is told of when it is
    /// back. May be dropped and called again without losing a change.
    pub(super) async fn changed(&mut self) -> Vec<PathBuf> {
        loop {
            if let Err(error) = self.stir().await {
                self.fall_back(&error);
                // What happened until now may not have been told.
                self.stirred = true;
            }
            let changed = self.compare();
            self.stirred = false;
            if !changed.is_empty() {
                return changed;
            }
        }
    }

    /// Until it is worth comparing.
    async fn stir(&mut self) -> io::Result<()> {
        let Some(folders) = &mut self.folders else {
            if !self.stirred {
                sleep_until(self.look).await;
                self.look = Instant::now() + POLL;
                self.stirred = true;
            }
            self.retry();
            return Ok(());
        };
        if !self.stirred {
            folders.wait(&mut self.files).await?;
            self.stirred = true;
        }
        settle(folders, &mut self.files).await?;
        // Links may lead elsewhere now, and folders may be new.
        folders.follow(&self.files)
    }

    fn fall_back(&mut self, error: &io::Error) {
        self.folders = None;
        self.tried = Instant::now();
        self.look = self.tried + POLL;
        error_log::error(
            "control",
            "files not watched",
            format_args!("inotify: {error}; files are looked at every {POLL:?} instead"),
        );
    }

    /// Tries inotify again, where it is time to.
    fn retry(&mut self) {
        if self.tried.elapsed() < RETRY {
            return;
        }
        self.tried = Instant::now();
        if let Ok(folders) = Folders::new(&self.files) {
            self.folders = Some(folders);
            error_log::info("control", "files watched", format_args!("inotify tells again"));
        }
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

/// Until nothing happened for a moment.
async fn settle(folders: &mut Folders, files: &mut [Watched]) -> io::Result<()> {
    let end = Instant::now() + QUIET_MAX;
    while let Ok(read) = timeout_at(end.min(Instant::now() + QUIET), folders.read(files)).await {
        read?;
        if Instant::now() >= end {
            break;
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests;
