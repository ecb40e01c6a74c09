//! What is said about pictures: the whole answer, and the events of a stream.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use shared::node::{image::ImageFormat, jobs::Artifact};

use super::request::{ImagesCall, Quality};
use crate::{
    clock::unix_seconds, dialects::replicate::file_url, engines::image::ModelDefaults,
    jobs::StoredArtifact,
};

/// No model here paints transparency.
const BACKGROUND: &str = "opaque";
/// Pixels on the side of the patch that counts as one token.
const PATCH: u32 = 16;
/// Characters of a prompt that count as one token.
const CHARS_PER_TOKEN: usize = 4;

/// What a request wants, as far as its answer repeats it.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// The first half of an event's name.
    pub(super) kind: &'static str,
    /// `None` where the request counts steps itself.
    quality: Option<Quality>,
    format: ImageFormat,
    width: u32,
    height: u32,
    pictures: u32,
    prompt_tokens: usize,
    input_pictures: u32,
}

impl Wanted {
    pub(super) fn new(kind: &'static str, call: &ImagesCall, defaults: &ModelDefaults) -> Self {
        let image = &call.image;
        Self {
            kind,
            quality: image.steps.is_none().then_some(call.quality),
            format: image.format.unwrap_or(defaults.format),
            width: image.width.unwrap_or(defaults.width),
            height: image.height.unwrap_or(defaults.height),
            pictures: image.num_images.unwrap_or(1),
            prompt_tokens: image.prompt.chars().count().div_ceil(CHARS_PER_TOKEN),
            input_pictures: image.images.len() as u32,
        }
    }

    fn size(&self) -> String {
        format!("{}x{}", self.width, self.height)
    }

    fn quality_of_event(&self) -> &'static str {
        self.quality.map_or("auto", Quality::name)
    }

    /// Which of several pictures an event is about.
    fn index(&self, index: u32) -> Option<u32> {
        (self.pictures > 1).then_some(index)
    }

    fn usage(&self, pictures: u32) -> Usage {
        let patches = self.width.div_ceil(PATCH) as usize * self.height.div_ceil(PATCH) as usize;
        let image_tokens = patches * self.input_pictures as usize;
        let input_tokens = self.prompt_tokens + image_tokens;
        let output_tokens = patches * pictures as usize;
        Usage {
            input_tokens,
            input_tokens_details: TokenDetails { image_tokens, text_tokens: self.prompt_tokens },
            output_tokens,
            output_tokens_details: TokenDetails { image_tokens: output_tokens, text_tokens: 0 },
            total_tokens: input_tokens + output_tokens,
        }
    }
}

/// Image models have no tokens: patches and characters are counted, so that larger work counts for more.
#[derive(Debug, Clone, Copy, Serialize)]
struct Usage {
    input_tokens: usize,
    input_tokens_details: TokenDetails,
    output_tokens: usize,
    output_tokens_details: TokenDetails,
    total_tokens: usize,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct TokenDetails {
    image_tokens: usize,
    text_tokens: usize,
}

/// The answer to a request that does not stream.
#[derive(Debug, Serialize)]
pub(super) struct Images {
    created: u64,
    background: &'static str,
    data: Vec<Image>,
    output_format: ImageFormat,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<&'static str>,
    size: String,
    usage: Usage,
}

#[derive(Debug, Serialize)]
struct Image {
    #[serde(flatten)]
    file: ImageFile,
    /// Extra: with it the same order gives the very picture alone.
    seed: u64,
}

/// The picture itself, or where it is.
#[derive(Debug, Serialize)]
enum ImageFile {
    #[serde(rename = "b64_json")]
    Inline(String),
    #[serde(rename = "url")]
    Address(String),
}

impl Images {
    pub(super) fn new(wanted: &Wanted, stored: &[StoredArtifact]) -> Self {
        let image = |stored: &StoredArtifact| Image {
            file: ImageFile::Inline(STANDARD.encode(&stored.bytes)),
            seed: stored.artifact.seed,
        };
        Self::of(wanted, stored.iter().map(image).collect())
    }

    /// With addresses below `files`.
    pub(super) fn by_url(wanted: &Wanted, artifacts: &[Artifact], files: &str) -> Self {
        let image = |artifact: &Artifact| Image {
            file: ImageFile::Address(file_url(files, artifact)),
            seed: artifact.seed,
        };
        Self::of(wanted, artifacts.iter().map(image).collect())
    }

    fn of(wanted: &Wanted, data: Vec<Image>) -> Self {
        let pictures = data.len() as u32;
        Self {
            created: unix_seconds(),
            background: BACKGROUND,
            data,
            output_format: wanted.format,
            quality: wanted.quality.map(Quality::name),
            size: wanted.size(),
            usage: wanted.usage(pictures),
        }
    }
}

/// What a picture looks like on the way. Always a JPEG, whatever the finished one will be.
#[derive(Debug, Serialize)]
pub(super) struct PartialImage {
    pub(super) r#type: String,
    b64_json: String,
    background: &'static str,
    created_at: u64,
    output_format: ImageFormat,
    partial_image_index: usize,
    quality: &'static str,
    size: String,
    /// Extra, where there are several pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
}

impl PartialImage {
    /// The `count`th of picture `index`.
    pub(super) fn new(wanted: &Wanted, index: u32, count: usize, jpeg: String) -> Self {
        Self {
            r#type: format!("{}.partial_image", wanted.kind),
            b64_json: jpeg,
            background: BACKGROUND,
            created_at: unix_seconds(),
            output_format: ImageFormat::Jpeg,
            partial_image_index: count,
            quality: wanted.quality_of_event(),
            size: wanted.size(),
            index: wanted.index(index),
        }
    }
}

/// A finished picture.
#[derive(Debug, Serialize)]
pub(super) struct CompletedImage {
    pub(super) r#type: String,
    b64_json: String,
    background: &'static str,
    created_at: u64,
    output_format: ImageFormat,
    quality: &'static str,
    size: String,
    usage: Usage,
    /// Extra: with it the same order gives the very picture alone.
    seed: u64,
    /// Extra, where there are several pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
}

impl CompletedImage {
    pub(super) fn new(wanted: &Wanted, stored: &StoredArtifact) -> Self {
        let Artifact { index, seed, .. } = stored.artifact;
        Self {
            r#type: format!("{}.completed", wanted.kind),
            b64_json: STANDARD.encode(&stored.bytes),
            background: BACKGROUND,
            created_at: unix_seconds(),
            output_format: wanted.format,
            quality: wanted.quality_of_event(),
            size: wanted.size(),
            usage: wanted.usage(1),
            seed,
            index: wanted.index(index),
        }
    }
}
