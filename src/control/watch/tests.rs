//! The ways in which files change.

use std::os::unix::fs::symlink;

use tokio::time::timeout;

use super::folders::name_of;
use super::*;

/// Whether a change is told in time; without one, nothing comes.
async fn told(watcher: &mut Watcher) -> Vec<String> {
    let wait = timeout(Duration::from_secs(3), watcher.changed()).await;
    let changed = wait.unwrap_or_default();
    changed.iter().map(|path| name_of(path).to_string_lossy().into_owned()).collect()
}

async fn silent(watcher: &mut Watcher) -> bool {
    timeout(Duration::from_millis(100), watcher.changed()).await.is_err()
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

#[test]
fn writes_renames_and_removals() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("a.yaml"), folder.path().join("b.yaml"));
        std::fs::write(&one, "1").unwrap();
        let mut watcher = Watcher::new([one.clone(), other.clone()]).unwrap();
        assert!(silent(&mut watcher).await);

        // In place, with the same size.
        std::fs::write(&one, "2").unwrap();
        assert_eq!(told(&mut watcher).await, ["a.yaml"]);

        // As editors do.
        std::fs::write(folder.path().join("a.yaml~"), "3").unwrap();
        std::fs::rename(folder.path().join("a.yaml~"), &one).unwrap();
        assert_eq!(told(&mut watcher).await, ["a.yaml"]);

        // Removed, and back.
        std::fs::remove_file(&one).unwrap();
        assert!(silent(&mut watcher).await);
        std::fs::write(&one, "4").unwrap();
        assert_eq!(told(&mut watcher).await, ["a.yaml"]);

        // Not there at first; both at once; others do not matter.
        std::fs::write(folder.path().join("c.yaml"), "5").unwrap();
        assert!(silent(&mut watcher).await);
        std::fs::write(&other, "5").unwrap();
        std::fs::write(&one, "5").unwrap();
        assert_eq!(told(&mut watcher).await, ["a.yaml", "b.yaml"]);
        assert!(silent(&mut watcher).await);
    });
}

#[test]
fn a_swapped_link_as_in_kubernetes() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for version in ["v1", "v2", "v3"] {
            std::fs::create_dir(path(version)).unwrap();
            std::fs::write(path(version).join("a.yaml"), version).unwrap();
        }
        symlink("v1", path("..data")).unwrap();
        symlink("..data/a.yaml", path("a.yaml")).unwrap();
        let mut watcher = Watcher::new([path("a.yaml")]).unwrap();
        for version in ["v2", "v3"] {
            symlink(version, path("..tmp")).unwrap();
            std::fs::rename(path("..tmp"), path("..data")).unwrap();
            assert_eq!(told(&mut watcher).await, ["a.yaml"], "{version}");
            assert!(silent(&mut watcher).await);
        }
        // What the link leads to now is watched as well.
        std::fs::write(path("v3/a.yaml"), "longer than before").unwrap();
        assert_eq!(told(&mut watcher).await, ["a.yaml"]);
    });
}

#[test]
fn a_swapped_link_in_the_midst_of_the_path() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for release in ["r1", "r2", "r3"] {
            std::fs::create_dir_all(path(release).join("conf")).unwrap();
            std::fs::write(path(release).join("conf/a.yaml"), release).unwrap();
        }
        // A link to a link, by an absolute and by a relative path.
        symlink(path("r1"), path("now")).unwrap();
        symlink("now/../now", path("current")).unwrap();
        let mut watcher = Watcher::new([path("current/conf/a.yaml")]).unwrap();
        for release in ["r2", "r3"] {
            symlink(path(release), path("tmp")).unwrap();
            std::fs::rename(path("tmp"), path("now")).unwrap();
            assert_eq!(told(&mut watcher).await, ["a.yaml"], "{release}");
            assert!(silent(&mut watcher).await);
        }
        symlink("r1", path("tmp")).unwrap();
        std::fs::rename(path("tmp"), path("current")).unwrap();
        assert_eq!(told(&mut watcher).await, ["a.yaml"]);
        // A link that leads to itself is no way, and no endless one.
        symlink("loop", path("loop")).unwrap();
        let _ = Watcher::new([path("loop/a.yaml")]).unwrap();
    });
}

#[test]
fn a_folder_that_comes_later_or_again() {
    run(async {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("conf");
        let file = folder.join("a.yaml");
        let mut watcher = Watcher::new([file.clone()]).unwrap();
        assert!(silent(&mut watcher).await);
        for content in ["1", "22"] {
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(&file, content).unwrap();
            assert_eq!(told(&mut watcher).await, ["a.yaml"]);
            std::fs::remove_dir_all(&folder).unwrap();
            assert!(silent(&mut watcher).await);
        }
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&file, "333").unwrap();
        assert_eq!(told(&mut watcher).await, ["a.yaml"]);
        // Moved away, another one in its place.
        std::fs::rename(&folder, root.path().join("old")).unwrap();
        assert!(silent(&mut watcher).await);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&file, "4444").unwrap();
        assert_eq!(told(&mut watcher).await, ["a.yaml"]);
    });
}

#[test]
fn a_dropped_wait_loses_nothing() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        std::fs::write(&file, "1").unwrap();
        let mut watcher = Watcher::new([file.clone()]).unwrap();
        std::fs::write(&file, "2").unwrap();
        // Dropped while it waits for quiet. On a busy machine it may be over before.
        let mut tries = 0;
        while timeout(Duration::from_millis(3), watcher.changed()).await.is_ok() {
            tries += 1;
            assert!(tries < 100, "it never waits");
            std::fs::write(&file, "2").unwrap();
        }
        assert_eq!(told(&mut watcher).await, ["a.yaml"]);
    });
}

/// An inotify that ends: reading it says so, as does adding a watch.
fn broken() -> Folders {
    let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
    one.set_nonblocking(true).unwrap();
    drop(other);
    Folders::over(std::os::fd::OwnedFd::from(one).into()).unwrap()
}

#[test]
fn changes_are_found_without_inotify() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("a.yaml"), folder.path().join("b.yaml"));
        std::fs::write(&file, "1").unwrap();
        let mut watcher = Watcher::new([file.clone(), other.clone()]).unwrap();
        watcher.folders = Some(broken());
        // Written before the error was noticed: not lost.
        std::fs::write(&file, "22").unwrap();
        assert_eq!(told(&mut watcher).await, ["a.yaml"]);
        assert!(watcher.folders.is_none());
        assert!(silent(&mut watcher).await);
        std::fs::write(&other, "1").unwrap();
        // A wait that is dropped again and again: nobody is told later than after a second.
        let begun = Instant::now();
        while timeout(Duration::from_millis(20), watcher.changed()).await.is_err() {
            assert!(begun.elapsed() < 3 * POLL, "never looked at");
        }
        std::fs::remove_file(&file).unwrap();
        assert!(timeout(POLL * 2, watcher.changed()).await.is_err());
        std::fs::write(&file, "333").unwrap();
        assert_eq!(told(&mut watcher).await, ["a.yaml"]);
    });
}

#[test]
fn inotify_is_tried_again() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        let mut watcher = Watcher::new([file.clone()]).unwrap();
        watcher.folders = None;
        watcher.tried = Instant::now().checked_sub(RETRY).unwrap();
        std::fs::write(&file, "1").unwrap();
        assert_eq!(told(&mut watcher).await, ["a.yaml"]);
        assert!(watcher.folders.is_some());
        std::fs::write(&file, "22").unwrap();
        assert_eq!(told(&mut watcher).await, ["a.yaml"]);
    });
}
