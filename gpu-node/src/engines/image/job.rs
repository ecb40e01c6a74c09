//! An image order with everything decided, and what comes back. No tensors here.

use image::RgbImage;
use serde::Deserialize;
use shared::{
    errors::FieldError,
    node::image::{ImageFormat, ImageInput, SchedulerKind},
};

use super::input::read_input_images;

/// What a manifest decides when a request leaves it open, and the sizes its model was made for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelDefaults {
    pub width: u32,
    pub height: u32,
    pub steps: u32,
    pub guidance: f64,
    pub scheduler: SchedulerKind,
    #[serde(default)]
    pub negative_prompt: String,
    #[serde(default)]
    pub format: ImageFormat,
    /// Both sides must be a multiple of it, counted before the upscale.
    #[serde(default = "size_multiple")]
    pub size_multiple: u32,
    /// Longest side a picture may have, counted before the upscale.
    #[serde(default = "side_max")]
    pub side_max: u32,
    /// The delivered picture is this many times larger than what the model made (Lanczos).
    #[serde(default = "no_upscale")]
    pub upscale: u32,
    /// Pictures a run may start from; none unless the model's kind can.
    #[serde(default)]
    pub input_images: u32,
    /// How far from its picture a run goes.
    #[serde(default = "strength")]
    pub strength: f64,
}

fn size_multiple() -> u32 {
    64
}

fn side_max() -> u32 {
    1024
}

fn no_upscale() -> u32 {
    1
}

fn strength() -> f64 {
    0.75
}

/// An order with everything decided: the same job gives the same bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageJob {
    pub prompt: String,
    pub negative_prompt: String,
    /// Of the delivered picture, after any upscale.
    pub width: u32,
    pub height: u32,
    pub steps: u32,
    pub guidance: f64,
    pub seed: u64,
    pub scheduler: SchedulerKind,
    pub num_images: u32,
    pub format: ImageFormat,
    /// Of JPEG and WebP; without it a WebP loses nothing, as a PNG never does.
    pub quality: Option<u8>,
    /// Pictures to start from, of any size.
    pub images: Vec<RgbImage>,
    /// How far from the picture to start from a result may go, 0 to 1.
    pub strength: f64,
    /// Previews of each picture, spread evenly over the steps.
    pub previews: u32,
    /// Whether the files say how they were made.
    pub metadata: bool,
}

impl ImageJob {
    /// Fills what the request left open; `seed` is the caller's choice when the request has none.
    pub fn resolve(
        input: &ImageInput,
        defaults: &ModelDefaults,
        seed: u64,
    ) -> Result<Self, Vec<FieldError>> {
        let width = input.width.unwrap_or(defaults.width);
        let height = input.height.unwrap_or(defaults.height);
        let mut errors: Vec<FieldError> = [("width", width), ("height", height)]
            .into_iter()
            .filter_map(|(name, side)| check_side(name, side, defaults))
            .collect();
        let images = read_input_images(&input.images, defaults.input_images, &mut errors);
        let format = input.format.unwrap_or(defaults.format);
        if !errors.is_empty() {
            return Err(errors);
        }
        let guidance = input.guidance.unwrap_or(defaults.guidance);
        // A model's own negative prompt is part of its guidance, and is never a reason to refuse a job without one.
        let own = if guidance > 1.0 { defaults.negative_prompt.as_str() } else { "" };
        Ok(Self {
            prompt: input.prompt.clone(),
            negative_prompt: input.negative_prompt.clone().unwrap_or_else(|| own.to_owned()),
            width,
            height,
            steps: input.steps.unwrap_or(defaults.steps),
            guidance,
            seed: input.seed.unwrap_or(seed),
            scheduler: input.scheduler.unwrap_or(defaults.scheduler),
            num_images: input.num_images.unwrap_or(1),
            format,
            quality: input.quality.map(|quality| quality.clamp(1, 100) as u8),
            images,
            strength: input.strength.unwrap_or(defaults.strength),
            previews: input.previews.unwrap_or(0),
            metadata: input.metadata.unwrap_or(true),
        })
    }

    /// The seed of picture `index`: alone, it gives the same picture.
    pub fn seed_of(&self, index: u32) -> u64 {
        self.seed.wrapping_add(index.into())
    }
}

fn check_side(name: &str, side: u32, defaults: &ModelDefaults) -> Option<FieldError> {
    let multiple = defaults.size_multiple.max(1) * defaults.upscale.max(1);
    let max = defaults.side_max * defaults.upscale.max(1);
    let (code, detail) = if side < multiple || side > max {
        ("range", format!("must be between {multiple} and {max} for this model"))
    } else if !side.is_multiple_of(multiple) {
        ("format", format!("must be a multiple of {multiple} for this model"))
    } else {
        return None;
    };
    Some(FieldError { pointer: format!("/{name}"), code: code.to_owned(), detail })
}

/// What happens during a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageEvent {
    /// One denoising step of all pictures of a job is done.
    Step { step: u32, steps: u32 },
    /// What picture `index` would be after `step`, as a JPEG file.
    Preview { index: u32, step: u32, jpeg: Vec<u8> },
}

/// A finished picture, as the bytes of its file.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedImage {
    pub bytes: Vec<u8>,
    pub content_type: &'static str,
    pub width: u32,
    pub height: u32,
    /// The seed that gives this very picture alone.
    pub seed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> ModelDefaults {
        ModelDefaults {
            width: 384,
            height: 384,
            steps: 12,
            guidance: 3.0,
            scheduler: SchedulerKind::Ddim,
            negative_prompt: String::new(),
            format: ImageFormat::Png,
            size_multiple: 16,
            side_max: 128,
            upscale: 4,
            input_images: 0,
            strength: 0.75,
        }
    }

    #[test]
    fn what_a_request_leaves_open_comes_from_the_model() {
        let job = ImageJob::resolve(&ImageInput::from_prompt("a fish".into()), &defaults(), 9);
        let job = job.expect("the defaults are valid");
        assert_eq!((job.width, job.height, job.steps, job.seed), (384, 384, 12, 9));
        assert_eq!((job.guidance, job.num_images), (3.0, 1));
    }

    #[test]
    fn what_a_request_says_wins() {
        let input = ImageInput {
            seed: Some(3),
            width: Some(64),
            negative_prompt: Some("blur".into()),
            ..ImageInput::from_prompt("a fish".into())
        };
        let job = ImageJob::resolve(&input, &defaults(), 9).expect("64 is 4 × 16");
        assert_eq!((job.width, job.seed, job.negative_prompt.as_str()), (64, 3, "blur"));
    }

    #[test]
    fn a_models_own_negative_prompt_goes_with_its_guidance() {
        let defaults = ModelDefaults { negative_prompt: "blur".into(), ..defaults() };
        let negative = |guidance, negative_prompt| {
            let words = ImageInput::from_prompt("a fish".into());
            let input = ImageInput { guidance, negative_prompt, ..words };
            ImageJob::resolve(&input, &defaults, 9).expect("valid").negative_prompt
        };
        assert_eq!(negative(None, None), "blur");
        assert_eq!(negative(Some(1.0), None), "");
        assert_eq!(negative(Some(1.0), Some("fog".into())), "fog");
    }

    #[test]
    fn every_format_takes_a_quality() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Webp] {
            let words = ImageInput::from_prompt("a fish".into());
            let input = ImageInput { format: Some(format), quality: Some(75), ..words };
            let job = ImageJob::resolve(&input, &defaults(), 9).expect("75 is a quality");
            assert_eq!(job.quality, Some(75));
        }
    }

    #[test]
    fn every_bad_side_is_reported() {
        let input = ImageInput {
            width: Some(100),
            height: Some(1024),
            ..ImageInput::from_prompt("a fish".into())
        };
        let errors = ImageJob::resolve(&input, &defaults(), 9).expect_err("neither side fits");
        let found: Vec<_> = errors.iter().map(|e| (e.pointer.as_str(), e.code.as_str())).collect();
        assert_eq!(found, [("/width", "format"), ("/height", "range")]);
    }
}
