//! The shelf: which models this machine has, and how one becomes an engine.

mod defaults;
mod hub;
mod listed;
mod load;
mod manifest;
mod weights;
mod words;

pub use defaults::{Defaults, EmbeddingDefaults, TextDefaults};
pub use hub::{
    HubError, HubSettings, Leftover, PullObserver, leftovers_of, mend_model, pull_model,
    pull_words, remove_leftover,
};
pub use load::{LoadError, has_engine, load_embedding_engine, load_image_engine, load_text_model};
pub use manifest::{Manifest, ManifestError, Modality, ModelFile, Source};
pub use weights::{WeightsError, is_here, size_of, verify_files};
pub use words::{SharedWords, Words, load_tokenizer, load_words};

use std::path::{Path, PathBuf};

/// Every model of one folder, by name.
#[derive(Debug, Clone)]
pub struct Registry {
    models: Vec<Manifest>,
}

impl Registry {
    /// Reads `<models_dir>/*/manifest.toml`; one bad manifest is an error that names it.
    pub fn open(models_dir: impl AsRef<Path>) -> Result<Self, ManifestError> {
        let models_dir = models_dir.as_ref();
        let unreadable = |source| ManifestError::Unreadable { path: models_dir.to_owned(), source };
        let mut paths: Vec<PathBuf> = std::fs::read_dir(models_dir)
            .map_err(unreadable)?
            .map(|entry| entry.map(|entry| entry.path().join("manifest.toml")))
            .collect::<Result<_, _>>()
            .map_err(unreadable)?;
        paths.retain(|path| path.is_file());
        paths.sort();
        let models = paths.iter().map(|path| Manifest::read(path)).collect::<Result<_, _>>()?;
        Ok(Self { models })
    }

    /// All models, by folder name.
    pub fn models(&self) -> &[Manifest] {
        &self.models
    }

    /// The model of that name.
    pub fn find(&self, name: &str) -> Option<&Manifest> {
        self.models.iter().find(|manifest| manifest.name == name)
    }
}
