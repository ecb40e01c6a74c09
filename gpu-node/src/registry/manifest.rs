//! `models/<name>/manifest.toml`: a model as data. What the keys mean is in `models/README.md`.

use std::path::{Path, PathBuf};

use candle_core::DType;
use serde::Deserialize;
use thiserror::Error;

use super::defaults::{Defaults, TextDefaults};

/// What kind of result a model gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Modality {
    Image,
    Text,
    Embedding,
}

impl Modality {
    /// Its name in manifests and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Text => "text",
            Self::Embedding => "embedding",
        }
    }
}

/// Where a model's files are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// Beside the manifest.
    Folder,
    /// In a folder of this machine.
    Path { path: PathBuf },
    /// In a hub repository, at one commit, by whose checksums the files are known.
    Hub { repository: String, revision: String },
}

impl Source {
    /// The hub repository, if it is one.
    pub fn repository(&self) -> Option<&str> {
        match self {
            Self::Hub { repository, .. } => Some(repository),
            _ => None,
        }
    }
}

/// One file of a model, and how to know that it is the right one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// Relative to the model's folder, with `/`.
    pub path: String,
    /// Only a file in a hub repository may leave this and its checksum to the repository's commit.
    pub bytes: Option<u64>,
    /// Hex SHA-256.
    pub sha256: Option<String>,
}

/// Number format of the weights on a card; the CPU always computes in f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightType {
    F32,
    F16,
    #[default]
    Bf16,
}

impl From<WeightType> for DType {
    fn from(weights: WeightType) -> Self {
        match weights {
            WeightType::F32 => Self::F32,
            WeightType::F16 => Self::F16,
            WeightType::Bf16 => Self::BF16,
        }
    }
}

/// One model: everything the node must know before loading it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Document")]
pub struct Manifest {
    pub name: String,
    pub description: String,
    pub modality: Modality,
    /// Which engine runs it: `load.rs` has one arm per name.
    pub architecture: String,
    /// Changes whenever the weights or their defaults do; cached results depend on it.
    pub revision: String,
    /// An SPDX expression.
    pub licence: String,
    pub source: Source,
    pub dtype: WeightType,
    /// Memory it takes when loaded and running at its default size; a text model's keys and values come on top.
    pub memory_bytes: u64,
    pub defaults: Defaults,
    pub files: Vec<ModelFile>,
    /// The folder of the manifest.
    pub folder: PathBuf,
}

/// A manifest as it is written: what its defaults mean depends on the modality.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    name: String,
    #[serde(default)]
    description: String,
    modality: Modality,
    architecture: String,
    revision: String,
    licence: String,
    source: Source,
    #[serde(default)]
    dtype: WeightType,
    memory_bytes: u64,
    defaults: toml::Table,
    files: Vec<ModelFile>,
}

impl TryFrom<Document> for Manifest {
    type Error = toml::de::Error;

    fn try_from(document: Document) -> Result<Self, toml::de::Error> {
        Ok(Self {
            defaults: Defaults::parse(document.modality, document.defaults)?,
            name: document.name,
            description: document.description,
            modality: document.modality,
            architecture: document.architecture,
            revision: document.revision,
            licence: document.licence,
            source: document.source,
            dtype: document.dtype,
            memory_bytes: document.memory_bytes,
            files: document.files,
            folder: PathBuf::new(),
        })
    }
}

/// Why a manifest cannot be used.
#[derive(Debug, Error)]
pub enum ManifestError {
    #[error("cannot read {path}: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{path}: {source}")]
    Malformed { path: PathBuf, source: Box<toml::de::Error> },
    #[error("{path}: {reason}")]
    Invalid { path: PathBuf, reason: String },
}

impl Manifest {
    /// Reads and checks one manifest; the files themselves are not touched.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ManifestError::Unreadable { path: path.to_owned(), source })?;
        let mut manifest: Self = toml::from_str(&text).map_err(|source| {
            ManifestError::Malformed { path: path.to_owned(), source: Box::new(source) }
        })?;
        manifest.folder = path.parent().unwrap_or(Path::new(".")).to_owned();
        manifest
            .check()
            .map_err(|reason| ManifestError::Invalid { path: path.to_owned(), reason })?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        let folder_name = self.folder.file_name().and_then(|name| name.to_str());
        if folder_name.is_some_and(|folder_name| folder_name != self.name) {
            return Err(format!("`name` must be the folder's name, not {:?}", self.name));
        }
        for (key, value) in [("revision", &self.revision), ("licence", &self.licence)] {
            if value.trim().is_empty() {
                return Err(format!("`{key}` must not be empty"));
            }
        }
        if self.files.is_empty() {
            return Err("`files` must name every file of the model".to_owned());
        }
        for file in &self.files {
            let is_plain = !file.path.split('/').any(|part| matches!(part, "" | "." | ".."));
            if !is_plain || file.path.contains('\\') {
                return Err(format!("file path {:?} must stay inside the model", file.path));
            }
            let is_pinned = matches!(self.source, Source::Hub { .. });
            if file.bytes.is_none() && !is_pinned {
                return Err(format!("{} needs its size in `bytes`", file.path));
            }
            let is_sha256 =
                |hash: &String| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
            if !file.sha256.as_ref().map_or(is_pinned, is_sha256) {
                return Err(format!("{} needs its sha256 as 64 hex digits", file.path));
            }
        }
        if let Source::Hub { repository, .. } = &self.source
            && !is_repository(repository)
        {
            return Err(format!("`repository` must be owner/name, not {repository:?}"));
        }
        if let Source::Hub { revision, .. } = &self.source
            && (revision.len() != 40 || !revision.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            return Err(format!("`revision` of the hub must be a commit, not {revision:?}"));
        }
        self.defaults.text().map_or(Ok(()), TextDefaults::check)
    }
}

/// It stands in addresses and becomes a folder's name.
fn is_repository(text: &str) -> bool {
    let is_plain = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    text.split('/').count() <= 2 && text.split('/').all(is_plain)
}
