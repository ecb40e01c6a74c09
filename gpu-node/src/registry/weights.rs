//! A model's files on this machine: where they are, and whether they are the right ones.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::{
    hub::{Checksum, HubCache, blob_name},
    manifest::{Manifest, ModelFile, Source},
};

/// Why a model's files cannot be used.
#[derive(Debug, Error)]
pub enum WeightsError {
    #[error("{path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} has {found} bytes, its manifest says {expected}")]
    WrongSize { path: PathBuf, found: u64, expected: u64 },
    #[error("{path} has SHA-256 {found}, its manifest says {expected}")]
    WrongHash { path: PathBuf, found: String, expected: String },
    #[error("{path} has {found} instead of {expected}: remove it and pull the model again")]
    WrongPulled { path: PathBuf, found: String, expected: String },
    #[error(
        "{repository} is not on this machine as a whole: `gpu-node models pull {model}` brings it"
    )]
    NotPulled { model: String, repository: String },
}

/// The folder that holds the model's files; those of a hub are all there, then.
pub(super) fn folder_of(manifest: &Manifest) -> Result<PathBuf, WeightsError> {
    folder_with(manifest, &|_| true)
}

/// The folder that holds at least these of the model's files, of the size they should have.
pub(super) fn checked_folder(
    manifest: &Manifest,
    is_meant: &dyn Fn(&ModelFile) -> bool,
) -> Result<PathBuf, WeightsError> {
    let folder = folder_with(manifest, is_meant)?;
    let mut files = manifest.files.iter().filter(|file| is_meant(file));
    files.try_for_each(|file| open_checked(&folder, file).map(drop))?;
    Ok(folder)
}

fn folder_with(
    manifest: &Manifest,
    is_meant: &dyn Fn(&ModelFile) -> bool,
) -> Result<PathBuf, WeightsError> {
    match &manifest.source {
        Source::Folder => Ok(manifest.folder.clone()),
        Source::Path { path } => Ok(path.clone()),
        Source::Hub { repository, revision } => {
            let folder = HubCache::from_env().snapshot(repository, revision);
            let mut files = manifest.files.iter().filter(|file| is_meant(file));
            if files.all(|file| folder.join(&file.path).is_file()) {
                return Ok(folder);
            }
            let (model, repository) = (manifest.name.clone(), repository.clone());
            Err(WeightsError::NotPulled { model, repository })
        }
    }
}

/// Tells the files that say what a model reads and writes from its weights, which are what is large. Where the words have
/// no file of their own they are in the weights.
pub(super) fn is_of_words(manifest: &Manifest) -> impl Fn(&ModelFile) -> bool {
    let has_own_files = manifest.files.iter().any(|file| file.path == "tokenizer.json");
    move |file| {
        let extension = file.path.rsplit_once('.').map(|(_, extension)| extension);
        !has_own_files || !matches!(extension, Some("safetensors" | "gguf" | "bin" | "pt" | "pth"))
    }
}

/// Whether the model's files are on this machine: those of a hub have to be pulled first, and again when their size is
/// not what the manifest says.
pub fn is_here(manifest: &Manifest) -> bool {
    let is_pulled = matches!(manifest.source, Source::Hub { .. });
    folder_of(manifest).is_ok_and(|folder| {
        !is_pulled || manifest.files.iter().all(|file| is_as_large_as_told(&folder, file))
    })
}

/// Whether the file is there, of the size that the manifest gives if it gives one.
pub(super) fn is_as_large_as_told(folder: &Path, file: &ModelFile) -> bool {
    let found = folder.join(&file.path).metadata();
    found.is_ok_and(|found| file.bytes.is_none_or(|bytes| bytes == found.len()))
}

/// Bytes of the model's files, as far as its manifest or this machine knows them.
pub fn size_of(manifest: &Manifest) -> u64 {
    let folder = folder_of(manifest).ok();
    let on_disk = |file: &ModelFile| Some(folder.as_ref()?.join(&file.path).metadata().ok()?.len());
    manifest.files.iter().filter_map(|file| file.bytes.or_else(|| on_disk(file))).sum()
}

/// Compares each file's size with the manifest: what a load can afford.
pub(super) fn check_sizes(manifest: &Manifest) -> Result<(), WeightsError> {
    checked_folder(manifest, &|_| true).map(drop)
}

/// Compares each file's size and checksum with the manifest, or with what the hub said when it was pulled; `on_file`
/// hears of each good one.
pub fn verify_files(
    manifest: &Manifest,
    mut on_file: impl FnMut(&ModelFile),
) -> Result<(), WeightsError> {
    let folder = folder_of(manifest)?;
    for file in &manifest.files {
        let (path, mut opened) = open_checked(&folder, file)?;
        let unreadable = |source| WeightsError::Unreadable { path: path.clone(), source };
        let bytes = opened.metadata().map_err(unreadable)?.len();
        let is_pulled = matches!(manifest.source, Source::Hub { .. });
        let blob = is_pulled.then(|| blob_name(&path)).flatten();
        let etag = blob.as_ref().map_or("", |(_, name)| name);
        let mut checksum = Checksum::new(etag, bytes);
        read_all(&mut opened, |part| checksum.update(part)).map_err(unreadable)?;
        if let Err(mismatch) = checksum.check(file.sha256.as_deref()) {
            let (found, expected) = (mismatch.found, mismatch.expected);
            return Err(match blob {
                Some((path, _)) => WeightsError::WrongPulled { path, found, expected },
                None => WeightsError::WrongHash { path, found, expected },
            });
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

fn read_all(reader: &mut impl Read, mut on_part: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        on_part(&buffer[..count]);
    }
}
