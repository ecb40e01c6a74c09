//! From a manifest to a loaded engine: one `match` on the architecture per modality.

use thiserror::Error;

use super::{
    manifest::Manifest,
    weights::{WeightsError, folder_of},
};
use crate::engines::{
    Devices,
    image::{
        ImageEngine,
        stable_diffusion::{PipelineOptions, StableDiffusion},
    },
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

/// Loads an image model; blocking, seconds for large ones.
pub fn load_image_engine(manifest: &Manifest, devices: &Devices) -> Result<ImageEngine, LoadError> {
    match manifest.architecture.as_str() {
        "stable-diffusion" => {
            let engine = load_stable_diffusion(manifest, devices)?;
            Ok(Box::new(engine))
        }
        other => Err(LoadError::UnknownArchitecture(other.to_owned())),
    }
}

fn load_stable_diffusion(
    manifest: &Manifest,
    devices: &Devices,
) -> Result<StableDiffusion, LoadError> {
    let unsupported =
        |reason: String| LoadError::Unsupported { model: manifest.name.clone(), reason };
    let folder = folder_of(manifest)?;
    let options = PipelineOptions {
        model: manifest.name.clone(),
        revision: manifest.revision.clone(),
        upscale: manifest.defaults.upscale,
        device: devices.compute().clone(),
        dtype: devices.dtype(manifest.dtype.into()),
    };
    let engine =
        StableDiffusion::load(&folder, options).map_err(|error| unsupported(error.to_string()))?;
    let (declared, needed) = (manifest.defaults.size_multiple as usize, engine.size_multiple());
    if !declared.is_multiple_of(needed) {
        let reason =
            format!("`size_multiple` is {declared}, the model needs multiples of {needed}");
        return Err(unsupported(reason));
    }
    Ok(engine)
}
