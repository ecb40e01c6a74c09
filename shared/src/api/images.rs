//! Sorami's images: an order under the caller's own id, and what its webhooks say of it, word for word.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::jobs::JobStatus;
use crate::{
    address::Address,
    ids::GenerationId,
    limits::{
        IMAGE_ORDER_PROMPT_MAX_CHARS, IMAGE_SIDE_MAX, IMAGE_STYLE_MAX_CHARS, IMAGES_PER_CALL_MAX,
        URL_MAX_CHARS,
    },
    node::image::ImageFormat,
    validate::{Fields, FromBody},
};

/// Below it no model draws anything.
const SIDE_MIN: u32 = 8;

/// The order for images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateImages {
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 3500))]
    pub prompt: String,
    /// The caller's own id, 1 to 128 letters, digits, `_` or `-`: the same twice is the same job. Chosen here if left out.
    #[serde(default)]
    pub job_id: Option<GenerationId>,
    /// The caller's; anybody's if the caller is an admin.
    #[serde(default)]
    pub user_id: Option<String>,
    /// A picture to start from, at a public https address.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_length = 2048))]
    pub input_image_url: Option<String>,
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 8, default = 1))]
    pub num_images: Option<u32>,
    /// Such as `1024x1024`; the model's own if left out.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, example = "1024x1024"))]
    pub size: Option<ImageSize>,
    /// `PNG` if left out.
    #[serde(default)]
    pub format: Option<FileFormat>,
    /// Words the service knows become more words of the prompt; others stand in it as they are.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_length = 120))]
    pub style: Option<String>,
    /// `medium` if left out.
    #[serde(default)]
    pub quality: Option<ImageQuality>,
}

impl FromBody for CreateImages {
    fn from_fields(fields: &mut Fields<'_>) -> Self {
        Self {
            prompt: fields.paragraph("prompt", IMAGE_ORDER_PROMPT_MAX_CHARS),
            job_id: fields.optional_parsed("job_id", GENERATION_ID_RULE),
            user_id: fields.optional_text("user_id", 255),
            input_image_url: input_image_url(fields),
            num_images: fields
                .optional_integer("num_images", 1, IMAGES_PER_CALL_MAX)
                .map(|n| n as u32),
            size: fields.optional_parsed("size", &size_rule()),
            format: fields.optional_parsed("format", "must be PNG, JPEG or WEBP"),
            style: fields.optional_text("style", IMAGE_STYLE_MAX_CHARS),
            quality: fields.optional_parsed("quality", "must be low, medium or high"),
        }
    }
}

const GENERATION_ID_RULE: &str = "must be 1 to 128 letters, digits, _ or -";

fn size_rule() -> String {
    format!("must be WIDTHxHEIGHT, each {SIDE_MIN} to {IMAGE_SIDE_MAX}")
}

/// An address over plain http is left to whoever knows whether this deployment fetches from it.
fn input_image_url(fields: &mut Fields<'_>) -> Option<String> {
    let text = fields.optional_text("input_image_url", URL_MAX_CHARS)?;
    let verdict = text.parse::<Address>().and_then(|address| match address.is_https() {
        true => address.require_public(),
        false => Ok(()),
    });
    if let Err(problem) = verdict {
        fields.reject("input_image_url", "address", problem.to_string());
    }
    Some(text)
}

/// What of an order its job keeps: everything that the pictures depend on, and whether anybody is told of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageJob {
    pub generation_id: GenerationId,
    pub prompt: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_image_url: Option<String>,
    /// What kind of file was found there and put into storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_format: Option<FileFormat>,
    pub num_images: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<ImageSize>,
    pub format: FileFormat,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub style: Option<String>,
    pub quality: ImageQuality,
    /// Whether webhooks were sent when it was accepted; the database notes each step for them, or for nobody.
    #[serde(default = "is_told")]
    pub has_receiver: bool,
}

/// Orders of releases that did not note it were all told of.
fn is_told() -> bool {
    true
}

impl FromBody for ImageJob {
    fn from_fields(fields: &mut Fields<'_>) -> Self {
        let generation_id = fields.parsed("generation_id", GENERATION_ID_RULE);
        let input_format = fields.optional_parsed("input_format", "must be PNG, JPEG or WEBP");
        let has_receiver = fields.optional_flag("has_receiver").unwrap_or_else(is_told);
        let order = CreateImages::from_fields(fields);
        Self {
            generation_id: generation_id.unwrap_or_else(|| GenerationId(String::new())),
            prompt: order.prompt,
            input_image_url: order.input_image_url,
            input_format,
            num_images: order.num_images.unwrap_or(1),
            size: order.size,
            format: order.format.unwrap_or_default(),
            style: order.style,
            quality: order.quality.unwrap_or_default(),
            has_receiver,
        }
    }
}

/// A file's format as Sorami writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum FileFormat {
    #[default]
    Png,
    Jpeg,
    Webp,
}

impl FromStr for FileFormat {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "PNG" => Ok(Self::Png),
            "JPEG" => Ok(Self::Jpeg),
            "WEBP" => Ok(Self::Webp),
            _ => Err(()),
        }
    }
}

impl From<FileFormat> for ImageFormat {
    fn from(format: FileFormat) -> Self {
        match format {
            FileFormat::Png => Self::Png,
            FileFormat::Jpeg => Self::Jpeg,
            FileFormat::Webp => Self::Webp,
        }
    }
}

/// How much work goes into a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ImageQuality {
    Low,
    #[default]
    Medium,
    High,
}

impl FromStr for ImageQuality {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "low" => Ok(Self::Low),
            "medium" => Ok(Self::Medium),
            "high" => Ok(Self::High),
            _ => Err(()),
        }
    }
}

/// Width and height in pixels, written `1024x768`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageSize {
    pub width: u32,
    pub height: u32,
}

impl FromStr for ImageSize {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let side = |digits: &str| {
            let is_plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
            let side = digits.parse::<u32>().ok().filter(|_| is_plain)?;
            (u64::from(side) <= IMAGE_SIDE_MAX && side >= SIDE_MIN).then_some(side)
        };
        let sides = text.split_once('x').and_then(|(w, h)| Some((side(w)?, side(h)?)));
        let (width, height) = sides.ok_or("not a size in pixels")?;
        Ok(Self { width, height })
    }
}

impl TryFrom<String> for ImageSize {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ImageSize> for String {
    fn from(size: ImageSize) -> Self {
        format!("{}x{}", size.width, size.height)
    }
}

/// The answer to an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImagesAccepted {
    pub job_id: GenerationId,
    pub status: JobStatus,
}

/// What a webhook says, and `GET /api/images/{job_id}` after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ImagesEvent {
    Completed(ImagesCompleted),
    Failed(ImagesFailed),
    Progress(ImagesProgress),
}

/// A step on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImagesProgress {
    pub job_id: GenerationId,
    /// `queued` (never sent), `initializing`, `generating` or `saving`.
    pub status: JobStatus,
    /// RFC 3339, as are the others.
    pub timestamp: String,
    pub message: String,
    /// 0, 25, 60 or 90.
    pub progress: u8,
}

/// The end without pictures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImagesFailed {
    pub job_id: GenerationId,
    pub status: JobStatus,
    pub timestamp: String,
    pub error_message: String,
    pub message: String,
}

/// The end with all pictures in storage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImagesCompleted {
    pub job_id: GenerationId,
    pub status: JobStatus,
    pub timestamp: String,
    /// `development`, `staging` or `production`.
    pub environment: String,
    pub data: ImagesData,
}

/// The pictures, and how they were made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImagesData {
    pub job_id: GenerationId,
    pub images: Vec<ImageFile>,
    pub metadata: ImagesMetadata,
    pub status: JobStatus,
    pub generated_at: String,
}

/// One picture: a row of `image_files`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImageFile {
    /// Bucket and path in storage.
    pub file_path: String,
    /// Signed: whoever has it reads the file until it runs out.
    pub url: String,
    /// The prompt.
    pub description: String,
    pub format: FileFormat,
    pub size_bytes: u64,
    /// `WIDTHxHEIGHT`.
    pub dimensions: String,
}

/// How pictures were made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImagesMetadata {
    pub model_name: String,
    /// The model's revision.
    pub version: String,
    pub generation_time_seconds: f64,
    /// Of the prompt; estimated at four characters each, as the node does not count them.
    pub input_tokens: u64,
    /// Of all pictures together.
    pub output_size_bytes: u64,
    pub timestamp: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::validate::parse_body;

    #[test]
    fn the_documents_own_request_is_understood() {
        let order: CreateImages = parse_body(&json!({
            "prompt": "Un chat mignon avec des lunettes de soleil", "job_id": "cm4abc123def456ghi789",
            "user_id": "user_2abc123", "input_image_url": "https://files.example/cat.png", "num_images": 1,
            "size": "1024x1024", "format": "PNG", "style": "illustration", "quality": "high",
        }))
        .unwrap();
        assert_eq!(order.size, Some(ImageSize { width: 1024, height: 1024 }));
        assert_eq!(
            (order.format, order.quality),
            (Some(FileFormat::Png), Some(ImageQuality::High))
        );
        assert!(parse_body::<CreateImages>(&json!({ "prompt": "Un chat\nmignon" })).is_ok());
    }

    #[test]
    fn a_job_that_notes_nothing_of_a_receiver_is_told_of() {
        let job = json!({ "generation_id": "g", "prompt": "a cat" });
        assert!(parse_body::<ImageJob>(&job).unwrap().has_receiver);
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let errors = parse_body::<CreateImages>(&json!({
            "prompt": " ", "job_id": "../x", "user_id": 7, "input_image_url": "https://127.0.0.1/x",
            "num_images": 9, "size": "1024", "format": "png", "style": "", "quality": "best", "seed": 1,
        }))
        .unwrap_err();
        let found: Vec<_> = errors.iter().map(|e| (e.pointer.as_str(), e.code.as_str())).collect();
        assert_eq!(
            found,
            [
                ("/prompt", "empty"),
                ("/job_id", "format"),
                ("/user_id", "type"),
                ("/input_image_url", "address"),
                ("/num_images", "range"),
                ("/size", "format"),
                ("/format", "format"),
                ("/style", "empty"),
                ("/quality", "format"),
                ("/seed", "unknown"),
            ]
        );
    }

    #[test]
    fn a_size_has_two_plain_sides_within_limits() {
        for text in [
            "", "64", "64x", "x64", "064x64", "+64x64", "64X64", "64x64x64", "7x64", "64x2049",
            "64x 64",
        ] {
            assert!(text.parse::<ImageSize>().is_err(), "{text}");
        }
        let size: ImageSize = "2048x8".parse().unwrap();
        assert_eq!(String::from(size), "2048x8");
    }
}
