//! A model's files on this machine: where they are, and whether they are the right ones.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::manifest::{Manifest, ModelFile, Source};

/// Why a model's files cannot be used.
#[derive(Debug, Error)]
pub enum WeightsError {
    #[error("{path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} has {found} bytes, its manifest says {expected}")]
    WrongSize { path: PathBuf, found: u64, expected: u64 },
    #[error("{path} has SHA-256 {found}, its manifest says {expected}")]
    WrongHash { path: PathBuf, found: String, expected: String },
    #[error(
        "{repository} must be downloaded first and named with `kind = \"path\"`: this version does not fetch from a hub"
    )]
    NotFetched { repository: String },
}

/// The folder that holds the model's files.
pub(super) fn folder_of(manifest: &Manifest) -> Result<PathBuf, WeightsError> {
    match &manifest.source {
        Source::Folder => Ok(manifest.folder.clone()),
        Source::Path { path } => Ok(path.clone()),
        Source::Hub { repository, .. } => {
            Err(WeightsError::NotFetched { repository: repository.clone() })
        }
    }
}

/// Whether the model's files are on this machine: those of a hub have to be fetched first.
pub fn is_here(manifest: &Manifest) -> bool {
    folder_of(manifest).is_ok()
}

/// Compares each file's size with the manifest: what a load can afford.
pub(super) fn check_sizes(manifest: &Manifest) -> Result<(), WeightsError> {
    let folder = folder_of(manifest)?;
    manifest.files.iter().try_for_each(|file| open_checked(&folder, file).map(drop))
}

/// Compares each file's size and SHA-256 with the manifest; `on_file` hears of each good one.
pub fn verify_files(
    manifest: &Manifest,
    mut on_file: impl FnMut(&ModelFile),
) -> Result<(), WeightsError> {
    let folder = folder_of(manifest)?;
    for file in &manifest.files {
        let (path, mut opened) = open_checked(&folder, file)?;
        let found = hash(&mut opened)
            .map_err(|source| WeightsError::Unreadable { path: path.clone(), source })?;
        if let Some(expected) = &file.sha256
            && !found.eq_ignore_ascii_case(expected)
        {
            return Err(WeightsError::WrongHash { path, found, expected: expected.clone() });
        }
        on_file(file);
    }
    Ok(())
}

fn open_checked(folder: &Path, file: &ModelFile) -> Result<(PathBuf, File), WeightsError> {
    let path = folder.join(&file.path);
    let unreadable = |source| WeightsError::Unreadable { path: path.clone(), source };
    let opened = File::open(&path).map_err(unreadable)?;
    let found = opened.metadata().map_err(unreadable)?.len();
    if let Some(expected) = file.bytes
        && found != expected
    {
        return Err(WeightsError::WrongSize { path, found, expected });
    }
    Ok((path, opened))
}

fn hash(reader: &mut impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
