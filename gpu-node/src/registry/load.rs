//! From a manifest to a loaded engine: one `match` on the architecture per modality.

use std::path::Path;

use thiserror::Error;

use super::{
    listed::ListedFolder,
    manifest::{Manifest, Modality},
    weights::{WeightsError, check_sizes, folder_of},
    words::Words,
};
use crate::engines::{
    Devices,
    embeddings::{Embedder, EmbeddingEngine, EmbeddingShape},
    image::{
        ImageEngine, ModelDefaults,
        flux1::Flux1,
        flux2::Flux2Klein,
        pipeline::{LatentModel, Pipeline, PipelineOptions},
        sd3::StableDiffusion3,
        stable_diffusion::StableDiffusion,
        z_image::ZImage,
    },
    message,
    text::{batching::LoadedText, files::TextFiles, model::TextModel},
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

/// Shapes that the one text decoder computes; the configuration says which it is in detail.
const TEXT_ARCHITECTURES: &[&str] = &["llama", "mistral", "qwen2", "qwen3", "qwen3_moe"];
const EMBEDDING_ARCHITECTURES: &[&str] = &["bert", "xlm-roberta", "qwen3"];

type LoadImage = fn(&Manifest, &Devices) -> Result<ImageEngine, LoadError>;

fn image_architecture(name: &str) -> Option<LoadImage> {
    match name {
        "flux-1" => Some(load_flux1),
        "flux-2" => {
            Some(|manifest, devices| load_latent_model(manifest, devices, Flux2Klein::load))
        }
        "stable-diffusion" => Some(load_stable_diffusion),
        "stable-diffusion-3" => Some(load_stable_diffusion3),
        "z-image" => Some(|manifest, devices| load_latent_model(manifest, devices, ZImage::load)),
        _ => None,
    }
}

/// Whether this build has an engine for the model.
pub fn has_engine(manifest: &Manifest) -> bool {
    match manifest.modality {
        Modality::Image => image_architecture(&manifest.architecture).is_some(),
        Modality::Text => TEXT_ARCHITECTURES.contains(&&*manifest.architecture),
        Modality::Embedding => EMBEDDING_ARCHITECTURES.contains(&&*manifest.architecture),
    }
}

/// Loads a text model to speak these words, which are its own; blocking, seconds for large ones.
pub fn load_text_model(
    manifest: &Manifest,
    devices: &Devices,
    words: &Words,
) -> Result<LoadedText, LoadError> {
    if manifest.modality != Modality::Text || !has_engine(manifest) {
        return Err(LoadError::UnknownArchitecture(manifest.architecture.clone()));
    }
    check_sizes(manifest)?;
    let folder = ListedFolder::of(manifest, folder_of(manifest)?)?;
    let model: Box<dyn TextModel> =
        TextFiles::open(&folder).and_then(|files| files.decoder(devices)).map_err(|error| {
            LoadError::Unsupported { model: manifest.name.clone(), reason: error.to_string() }
        })?;
    let (vocabulary, grammars) = (words.vocabulary.clone(), words.grammars.clone());
    Ok(LoadedText { model, vocabulary, grammars })
}

/// Loads an embedding model, and says what it reads; blocking, seconds for large ones.
pub fn load_embedding_engine(
    manifest: &Manifest,
    devices: &Devices,
) -> Result<(EmbeddingEngine, EmbeddingShape), LoadError> {
    if manifest.modality != Modality::Embedding || !has_engine(manifest) {
        return Err(LoadError::UnknownArchitecture(manifest.architecture.clone()));
    }
    check_sizes(manifest)?;
    let folder = ListedFolder::of(manifest, folder_of(manifest)?)?;
    let engine = Embedder::load(&folder, devices).map_err(|error| LoadError::Unsupported {
        model: manifest.name.clone(),
        reason: error.to_string(),
    })?;
    let shape = engine.shape();
    Ok((Box::new(engine), shape))
}

/// Loads an image model; blocking, seconds for large ones.
pub fn load_image_engine(manifest: &Manifest, devices: &Devices) -> Result<ImageEngine, LoadError> {
    let load = image_architecture(&manifest.architecture)
        .ok_or_else(|| LoadError::UnknownArchitecture(manifest.architecture.clone()))?;
    check_sizes(manifest)?;
    load(manifest, devices)
}

fn load_stable_diffusion(manifest: &Manifest, devices: &Devices) -> Result<ImageEngine, LoadError> {
    load_latent_model(manifest, devices, StableDiffusion::load)
}

fn load_stable_diffusion3(
    manifest: &Manifest,
    devices: &Devices,
) -> Result<ImageEngine, LoadError> {
    load_latent_model(manifest, devices, StableDiffusion3::load)
}

fn load_flux1(manifest: &Manifest, devices: &Devices) -> Result<ImageEngine, LoadError> {
    load_latent_model(manifest, devices, Flux1::load)
}

/// Pixels of the largest picture that the manifest allows, so that many small ones take no more memory than that. Below
/// this size the weights are what counts.
fn pixels_max(defaults: &ModelDefaults) -> u64 {
    u64::from(defaults.side_max).pow(2).max(512 * 512)
}

/// Puts a pipeline around the model that `load` reads from the manifest's folder.
fn load_latent_model<M: LatentModel + 'static>(
    manifest: &Manifest,
    devices: &Devices,
    load: fn(&Path, &PipelineOptions) -> candle_core::Result<M>,
) -> Result<ImageEngine, LoadError> {
    let unsupported =
        |reason: String| LoadError::Unsupported { model: manifest.name.clone(), reason };
    let defaults =
        manifest.defaults.image().ok_or_else(|| unsupported("it makes no images".to_owned()))?;
    let options = PipelineOptions {
        model: manifest.name.clone(),
        revision: manifest.revision.clone(),
        upscale: defaults.upscale,
        input_images: defaults.input_images,
        device: devices.compute().clone(),
        dtype: devices.dtype(manifest.dtype.into()),
    };
    let folder = ListedFolder::of(manifest, folder_of(manifest)?)?;
    let model = load(&folder, &options).map_err(|error| unsupported(message(&error)))?;
    let (declared, needed) = (defaults.size_multiple as usize, model.size_multiple());
    if !declared.is_multiple_of(needed) {
        let reason =
            format!("`size_multiple` is {declared}, the model needs multiples of {needed}");
        return Err(unsupported(reason));
    }
    Ok(Box::new(Pipeline::new(model, options).with_pixels_max(pixels_max(defaults))))
}
