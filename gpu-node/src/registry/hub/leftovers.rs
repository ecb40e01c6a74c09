//! What pulls that never ended left in the cache: beginnings of files, and links that were not yet in their place.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::cache::HubCache;
use crate::registry::manifest::{Manifest, Source};

/// A file of the cache that no pull has ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub path: PathBuf,
    pub bytes: u64,
}

/// What is left over in the repository of the model, whatever commit it was of: the files themselves do not tell.
pub fn leftovers_of(manifest: &Manifest) -> Vec<Leftover> {
    let Source::Hub { repository, revision } = &manifest.source else { return Vec::new() };
    let cache = HubCache::from_env().repository(repository, revision);
    let mut found = Vec::new();
    collect(&cache.blobs, &|name| name.ends_with(".incomplete"), &mut found);
    collect(
        &cache.snapshots(),
        &|name| name.starts_with('.') && name.ends_with(".link"),
        &mut found,
    );
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// Removes it, unless a pull is at it at this moment; says whether it is gone.
pub fn remove_leftover(manifest: &Manifest, leftover: &Leftover) -> io::Result<bool> {
    let Source::Hub { repository, revision } = &manifest.source else { return Ok(false) };
    let cache = HubCache::from_env().repository(repository, revision);
    let Some(etag) = etag_of(&leftover.path) else { return Ok(false) };
    let Some(_lock) = cache.try_lock(etag)? else { return Ok(false) };
    match fs::remove_file(&leftover.path) {
        // The pull that was at it has ended meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        removed => removed.map(|()| true),
    }
}

/// By which its pull is locked: `<etag>.incomplete` or `.<etag>.<number>.link`.
fn etag_of(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    match name.strip_suffix(".incomplete") {
        Some(etag) => Some(etag),
        None => Some(name.strip_prefix('.')?.strip_suffix(".link")?.rsplit_once('.')?.0),
    }
}

/// A folder that cannot be read has nothing that could be removed.
fn collect(folder: &Path, is_meant: &dyn Fn(&str) -> bool, found: &mut Vec<Leftover>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        // The links' own data: what they lead to is whole.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            collect(&entry.path(), is_meant, found);
        } else if entry.file_name().to_str().is_some_and(is_meant) {
            found.push(Leftover { path: entry.path(), bytes: metadata.len() });
        }
    }
}
