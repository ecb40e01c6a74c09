//! The cache folder, laid out as Python's client does it: contents by their ETag, and links to them by commit and path.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// The folder of all repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::registry) struct HubCache {
    root: PathBuf,
}

impl HubCache {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The files of a repository as they were at a commit.
    pub(in crate::registry) fn snapshot(&self, repository: &str, revision: &str) -> PathBuf {
        self.repository(repository, revision).snapshot
    }

    pub(super) fn repository(&self, repository: &str, revision: &str) -> RepositoryCache {
        let name = format!("models--{}", repository.replace('/', "--"));
        let folder = self.root.join(&name);
        RepositoryCache {
            snapshot: folder.join("snapshots").join(revision),
            blobs: folder.join("blobs"),
            locks: self.root.join(".locks").join(name),
        }
    }
}

/// One repository at one commit.
#[derive(Debug, Clone)]
pub(super) struct RepositoryCache {
    snapshot: PathBuf,
    pub(super) blobs: PathBuf,
    locks: PathBuf,
}

impl RepositoryCache {
    /// Where the file is found, if it is there.
    pub(super) fn pointer(&self, path: &str) -> PathBuf {
        self.snapshot.join(path)
    }

    /// The files of every commit.
    pub(super) fn snapshots(&self) -> PathBuf {
        self.snapshot.parent().unwrap_or(&self.snapshot).to_owned()
    }

    /// A whole file: nothing is ever moved here before it was checked.
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.blobs.join(etag)
    }

    /// The beginning of a file.
    pub(super) fn incomplete(&self, etag: &str) -> PathBuf {
        self.blobs.join(format!("{etag}.incomplete"))
    }

    /// Keeps other processes from pulling the same file, Python's included; `None` while one of them does.
    pub(super) fn try_lock(&self, etag: &str) -> io::Result<Option<File>> {
        fs::create_dir_all(&self.blobs)?;
        fs::create_dir_all(&self.locks)?;
        let path = self.locks.join(format!("{etag}.lock"));
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Has the path lead to the blob, in one step. Several may do so at once, and none minds what a killed one left.
    pub(super) fn link(&self, path: &str, etag: &str) -> io::Result<()> {
        let pointer = self.pointer(path);
        let parent = pointer.parent().unwrap_or(&self.snapshot);
        fs::create_dir_all(parent)?;
        let up = "../".repeat(path.split('/').count() + 1);
        // Process ids are no names: in containers that share a cache each is 1.
        let fresh = parent.join(format!(".{etag}.{:016x}.link", rand::random::<u64>()));
        symlink(Path::new(&format!("{up}blobs/{etag}")), &self.blob(etag), &fresh)?;
        fs::rename(&fresh, &pointer).inspect_err(|_| drop(fs::remove_file(&fresh)))
    }
}

#[cfg(unix)]
fn symlink(relative: &Path, _: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(relative, link)
}

/// Where links need privileges the file has two names instead.
#[cfg(not(unix))]
fn symlink(_: &Path, target: &Path, link: &Path) -> io::Result<()> {
    fs::hard_link(target, link)
}

/// The name of the blob that a file of a snapshot leads to, which is its ETag; `None` when it is no link.
pub(in crate::registry) fn blob_name(pointer: &Path) -> Option<(PathBuf, String)> {
    let target = fs::read_link(pointer).ok()?;
    let name = target.file_name()?.to_str()?.to_owned();
    Some((pointer.parent()?.join(target).canonicalize().ok()?, name))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_path_is_linked_by_many_at_once_and_by_whoever_comes_after_a_killed_one() {
        let root = tempfile::tempdir().unwrap();
        let cache = HubCache::new(root.path().to_owned()).repository("acme/fish", "c0ffee");
        let parent = cache.snapshot.join("unet");
        fs::create_dir_all(&parent).unwrap();
        fs::create_dir_all(&cache.blobs).unwrap();
        fs::write(cache.blob("etag"), "whole").unwrap();
        let left_over = parent.join(format!(".etag.{}.link", std::process::id()));
        fs::write(&left_over, "").unwrap();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..50).for_each(|_| cache.link("unet/a.bin", "etag").unwrap()));
            }
        });
        assert_eq!(fs::read_to_string(cache.pointer("unet/a.bin")).unwrap(), "whole");
        assert_eq!(
            fs::read_dir(parent).unwrap().count(),
            2,
            "the link and what the killed one left"
        );
    }
}
