//! What an image model is asked for, and what it says about each picture.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{
    limits::{IMAGE_SIDE_MAX, IMAGES_PER_CALL_MAX, PROMPT_MAX_CHARS, STEPS_MAX},
    validate::{Fields, FromBody},
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
}

impl FromStr for SchedulerKind {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "ddim" => Ok(Self::Ddim),
            "euler" => Ok(Self::Euler),
            "euler_ancestral" => Ok(Self::EulerAncestral),
            "dpmpp_multistep" => Ok(Self::DpmppMultistep),
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
        }
    }
}

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
                "must be ddim, euler, euler_ancestral or dpmpp_multistep",
            ),
            num_images: fields.optional_integer("num_images", 1, IMAGES_PER_CALL_MAX).map(side),
            format: fields.optional_parsed("format", "must be png, jpeg or webp"),
        }
    }
}
