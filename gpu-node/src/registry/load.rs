//! From a manifest to a loaded engine: one `match` on the architecture per modality.

use thiserror::Error;

use super::{
    manifest::{Manifest, Modality},
    weights::{WeightsError, check_sizes, folder_of},
};
use crate::engines::{
    Devices,
    image::{
        ImageEngine,
        stable_diffusion::{PipelineOptions, StableDiffusion},
    },
    message,
};

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

type LoadImage = fn(&Manifest, &Devices) -> Result<ImageEngine, LoadError>;

fn image_architecture(name: &str) -> Option<LoadImage> {
    match name {
        "stable-diffusion" => Some(load_stable_diffusion),
        _ => None,
    }
}

/// Whether this build has an engine for the model.
pub fn has_engine(manifest: &Manifest) -> bool {
    match manifest.modality {
        Modality::Image => image_architecture(&manifest.architecture).is_some(),
    }
}

/// Loads an image model; blocking, seconds for large ones.
pub fn load_image_engine(manifest: &Manifest, devices: &Devices) -> Result<ImageEngine, LoadError> {
    let load = image_architecture(&manifest.architecture)
        .ok_or_else(|| LoadError::UnknownArchitecture(manifest.architecture.clone()))?;
    check_sizes(manifest)?;
    load(manifest, devices)
}

fn load_stable_diffusion(manifest: &Manifest, devices: &Devices) -> Result<ImageEngine, LoadError> {
    let unsupported =
        |reason: String| LoadError::Unsupported { model: manifest.name.clone(), reason };
    let options = PipelineOptions {
        model: manifest.name.clone(),
        revision: manifest.revision.clone(),
        upscale: manifest.defaults.upscale,
        device: devices.compute().clone(),
        dtype: devices.dtype(manifest.dtype.into()),
    };
    let engine = StableDiffusion::load(&folder_of(manifest)?, options)
        .map_err(|error| unsupported(message(&error)))?;
    let (declared, needed) = (manifest.defaults.size_multiple as usize, engine.size_multiple());
    if !declared.is_multiple_of(needed) {
        let reason =
            format!("`size_multiple` is {declared}, the model needs multiples of {needed}");
        return Err(unsupported(reason));
    }
    Ok(Box::new(engine))
}
