//! A model's folder as its engine sees it. A cache that others use too may hold more than the manifest lists (another
//! precision, another tokenizer), which engines would prefer: they are shown the listed files alone.

use std::{
    collections::BTreeSet,
    fs, io,
    ops::Deref,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{
    manifest::{Manifest, Source},
    weights::WeightsError,
};

/// A folder to load from; it is there as long as this is.
#[derive(Debug)]
pub(super) struct ListedFolder {
    path: PathBuf,
    /// Holds the links, where there is anything to hide.
    _links: Option<TempDir>,
}

impl Deref for ListedFolder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl ListedFolder {
    /// `folder`, which has the model's files, or links to those that are listed. Only folders of a hub's cache are
    /// shared with others.
    pub(super) fn of(manifest: &Manifest, folder: PathBuf) -> Result<Self, WeightsError> {
        let listed: BTreeSet<PathBuf> =
            manifest.files.iter().map(|file| PathBuf::from_iter(file.path.split('/'))).collect();
        let is_shared = matches!(manifest.source, Source::Hub { .. });
        let unreadable = |source| WeightsError::Unreadable { path: folder.clone(), source };
        if !is_shared || !has_others(&folder, Path::new(""), &listed).map_err(unreadable)? {
            return Ok(Self { path: folder, _links: None });
        }
        let links = linked(&folder, &listed).map_err(unreadable)?;
        Ok(Self { path: links.path().to_owned(), _links: Some(links) })
    }
}

fn has_others(folder: &Path, part: &Path, listed: &BTreeSet<PathBuf>) -> io::Result<bool> {
    for entry in fs::read_dir(folder.join(part))? {
        let name = part.join(entry?.file_name());
        let is_other = match folder.join(&name).is_dir() {
            true => has_others(folder, &name, listed)?,
            false => !listed.contains(&name),
        };
        if is_other {
            return Ok(true);
        }
    }
    Ok(false)
}

fn linked(folder: &Path, listed: &BTreeSet<PathBuf>) -> io::Result<TempDir> {
    let links = tempfile::Builder::new().prefix("chandelle-").tempdir()?;
    let folder = std::path::absolute(folder)?;
    // What reads a model's words needs them before the weights are here.
    for name in listed.iter().filter(|name| folder.join(name).is_file()) {
        let link = links.path().join(name);
        if let Some(parent) = link.parent() {
            fs::create_dir_all(parent)?;
        }
        make_link(&folder.join(name), &link)?;
    }
    Ok(links)
}

#[cfg(unix)]
fn make_link(file: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(file, link)
}

#[cfg(not(unix))]
fn make_link(file: &Path, link: &Path) -> io::Result<()> {
    fs::hard_link(file, link).or_else(|_| fs::copy(file, link).map(drop))
}
