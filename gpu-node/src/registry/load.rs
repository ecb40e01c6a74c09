//! From a manifest to a loaded engine: one `match` on the architecture per modality.

use thiserror::Error;

use super::{manifest::Manifest, weights::WeightsError};
use crate::engines::{Devices, image::ImageEngine};

/// Why a model cannot be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    #[error("no engine runs the architecture {0:?}")]
    UnknownArchitecture(String),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A configuration file asks for something the engine does not do, or the weights do not fit it.
    #[error("{model}: {reason}")]
    Unsupported { model: String, reason: String },
}

/// Loads an image model; blocking, seconds for large ones.
pub fn load_image_engine(
    manifest: &Manifest,
    _devices: &Devices,
) -> Result<ImageEngine, LoadError> {
    Err(LoadError::UnknownArchitecture(manifest.architecture.clone()))
}
