//! What an image model is asked for, and what it says about each picture.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{
    limits::{
        IMAGE_SIDE_MAX, IMAGES_PER_JOB_MAX, INPUT_IMAGE_MAX_BYTES, INPUT_IMAGES_MAX, PREVIEWS_MAX,
        PROMPT_MAX_CHARS, STEPS_MAX,
    },
    validate::{Fields, FromBody, ListLimits},
};

/// The file format of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ImageFormat {
    #[default]
    Png,
    Jpeg,
    Webp,
}

impl ImageFormat {
    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
        }
    }

    /// The end of a file's name, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Webp => "webp",
        }
    }
}

impl FromStr for ImageFormat {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "png" => Ok(Self::Png),
            "jpeg" | "jpg" => Ok(Self::Jpeg),
            "webp" => Ok(Self::Webp),
            _ => Err(()),
        }
    }
}

/// The numerical method that removes the noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum SchedulerKind {
    Ddim,
    Euler,
    EulerAncestral,
    DpmppMultistep,
    /// Straight paths from noise to picture: the only method of models trained by flow matching, and only theirs.
    FlowMatchEuler,
}

impl FromStr for SchedulerKind {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "ddim" => Ok(Self::Ddim),
            "euler" => Ok(Self::Euler),
            "euler_ancestral" => Ok(Self::EulerAncestral),
            "dpmpp_multistep" => Ok(Self::DpmppMultistep),
            "flow_match_euler" => Ok(Self::FlowMatchEuler),
            _ => Err(()),
        }
    }
}

/// An image job's input. What is left out comes from the model's manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImageInput {
    pub prompt: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative_prompt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance: Option<f64>,
    /// Chosen by the node when absent, and always reported; picture `i` of a call uses `seed + i`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<SchedulerKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_images: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<ImageFormat>,
    /// Of JPEG and WebP, 1 to 100; without it a WebP loses nothing. A PNG never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<u32>,
    /// Pictures to start from, as base64 of PNG, JPEG or WebP files; how many a model takes is the model's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// How far from the picture to start from a result may go: 0 keeps it, 1 forgets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<f64>,
    /// Previews of each picture that follow its progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previews: Option<u32>,
    /// Whether the files say how they were made; yes unless told not to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<bool>,
}

impl ImageInput {
    /// A job for one picture with the model's own defaults.
    pub fn from_prompt(prompt: String) -> Self {
        Self {
            prompt,
            negative_prompt: None,
            width: None,
            height: None,
            steps: None,
            guidance: None,
            seed: None,
            scheduler: None,
            num_images: None,
            format: None,
            quality: None,
            images: Vec::new(),
            strength: None,
            previews: None,
            metadata: None,
        }
    }
}

/// Base64 takes four characters for three bytes.
const INPUT_IMAGES: ListLimits = ListLimits {
    min: 0,
    max: INPUT_IMAGES_MAX,
    item_max_chars: INPUT_IMAGE_MAX_BYTES.div_ceil(3) * 4,
};

impl FromBody for ImageInput {
    fn from_fields(fields: &mut Fields<'_>) -> Self {
        let side = |number: u64| number as u32;
        Self {
            prompt: fields.text("prompt", PROMPT_MAX_CHARS),
            negative_prompt: fields.optional_text("negative_prompt", PROMPT_MAX_CHARS),
            width: fields.optional_integer("width", 8, IMAGE_SIDE_MAX).map(side),
            height: fields.optional_integer("height", 8, IMAGE_SIDE_MAX).map(side),
            steps: fields.optional_integer("steps", 1, STEPS_MAX).map(side),
            guidance: fields.optional_number("guidance", 0.0, 50.0),
            // Above it a seed would lose digits in JavaScript clients.
            seed: fields.optional_integer("seed", 0, (1 << 53) - 1),
            scheduler: fields.optional_parsed(
                "scheduler",
                "must be ddim, euler, euler_ancestral, dpmpp_multistep or flow_match_euler",
            ),
            num_images: fields.optional_integer("num_images", 1, IMAGES_PER_JOB_MAX).map(side),
            format: fields.optional_parsed("format", "must be png, jpeg or webp"),
            quality: fields.optional_integer("quality", 1, 100).map(side),
            images: fields.optional_texts("images", INPUT_IMAGES),
            strength: fields.optional_number("strength", 0.0, 1.0),
            previews: fields.optional_integer("previews", 0, PREVIEWS_MAX).map(side),
            metadata: fields.optional_flag("metadata"),
        }
    }
}
