//! From a body to an image order, and from what is wrong with the order back to the body's own names.

use shared::{
    errors::FieldError,
    limits::{IMAGE_SIDE_MAX, IMAGES_PER_JOB_MAX, PREVIEWS_MAX, PROMPT_MAX_CHARS, STEPS_MAX},
    node::image::{ImageFormat, ImageInput},
};

use crate::http::openai::fields::{Fields, Item};

/// What OpenAI writes when a file shall be as good as its format can.
const COMPRESSION_MAX: i64 = 100;

/// A request for pictures that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct ImagesCall {
    pub model: String,
    pub image: ImageInput,
    pub quality: Quality,
    pub stream: bool,
    /// Answers with addresses instead of the pictures themselves.
    pub by_url: bool,
    /// Where the body has its pictures.
    pub pictures: PictureField,
}

/// How much work a picture is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quality {
    Low,
    #[default]
    Medium,
    High,
}

impl Quality {
    /// OpenAI's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// The steps it is worth, where they are not the model's own.
    pub fn steps(self, own: u32) -> Option<u32> {
        match self {
            Self::Low => Some(own.div_ceil(2)),
            Self::Medium => None,
            Self::High => Some((own * 3).div_ceil(2).min(STEPS_MAX as u32)),
        }
    }
}

/// The parameter that brings pictures along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureField {
    /// `image`, as in a form.
    Image,
    /// `images[].image_url`, as in JSON.
    Images,
}

/// Reads the whole body of a generation.
pub fn read_generation(fields: &mut Fields<'_, '_>) -> ImagesCall {
    read_call(fields)
}

/// Reads the whole body of an edit.
pub fn read_edit(fields: &mut Fields<'_, '_>) -> ImagesCall {
    let mut call = read_call(fields);
    call.image.strength = fields.real("strength", 0.0, 1.0);
    let from_form = fields.item("image").map(read_image).unwrap_or_default();
    let from_json = fields.each("images", read_reference);
    match (fields.has("image"), fields.has("images")) {
        (true, true) => fields.reject("images", "conflict", "cannot be given with `image`"),
        (false, false) => fields.reject("image", "missing", "is required"),
        (true, false) if from_form.is_empty() => {
            fields.reject("image", "empty", "must hold a picture");
        }
        (false, true) if from_json.is_empty() => {
            fields.reject("images", "empty", "must hold a picture");
        }
        _ => {}
    }
    if fields.has("images") {
        call.pictures = PictureField::Images;
    }
    call.image.images = if from_form.is_empty() { from_json } else { from_form };
    call
}

fn read_call(fields: &mut Fields<'_, '_>) -> ImagesCall {
    let model = fields.text("model");
    let prompt = fields.text("prompt");
    let negative_prompt = fields.optional_text("negative_prompt");
    check_prompt(fields, "prompt", Some(&prompt));
    check_prompt(fields, "negative_prompt", negative_prompt.as_ref());
    let size = fields.item("size").and_then(read_size);
    let (format, compression) = read_format(fields);
    let stream = fields.flag("stream").unwrap_or(false);
    let previews = whole(fields, "partial_images", 0, PREVIEWS_MAX);
    if previews.unwrap_or(0) > 0 && !stream {
        fields.reject("partial_images", "conflict", "is only allowed when `stream` is true");
    }
    let steps = whole(fields, "steps", 1, STEPS_MAX);
    let image = ImageInput {
        negative_prompt,
        width: size.map(|(width, _)| width),
        height: size.map(|(_, height)| height),
        steps,
        guidance: fields.real("guidance", 0.0, 50.0),
        // Above it a seed would lose digits in JavaScript clients.
        seed: fields.integer("seed", 0, (1 << 53) - 1).map(i64::cast_unsigned),
        scheduler: fields.item("scheduler").and_then(|mut item| {
            let scheduler = item.text()?.parse().ok();
            if scheduler.is_none() {
                item.reject("choice", "is not the name of a scheduler");
            }
            scheduler
        }),
        num_images: whole(fields, "n", 1, IMAGES_PER_JOB_MAX),
        format: Some(format),
        quality: compression,
        previews,
        metadata: fields.flag("metadata"),
        ..ImageInput::from_prompt(prompt)
    };
    let quality = read_quality(fields);
    if image.steps.is_some() && quality.is_some() {
        fields.reject("quality", "conflict", "cannot be given with `steps`");
    }
    let by_url = fields.word("response_format", &["b64_json", "url"], "") == Some("url");
    if by_url && stream {
        let detail = "can only be `b64_json` in a stream, whose events bring the pictures";
        fields.reject("response_format", "conflict", detail);
    }
    fields.word("moderation", &["low"], "this node has no moderation model");
    fields.word("background", &["auto", "opaque"], "no model here paints transparency");
    let quality = quality.unwrap_or_default();
    ImagesCall { model, image, quality, stream, by_url, pictures: PictureField::Image }
}

fn whole(fields: &mut Fields<'_, '_>, name: &str, min: u32, max: u64) -> Option<u32> {
    fields.count(name, min, max as u32).map(|count| count as u32)
}

fn check_prompt(fields: &mut Fields<'_, '_>, name: &str, text: Option<&String>) {
    let Some(text) = text else { return };
    if text.trim().is_empty() && fields.has(name) {
        fields.reject(name, "empty", "must not be empty");
    }
    if text.chars().count() > PROMPT_MAX_CHARS {
        let detail = format!("must have at most {PROMPT_MAX_CHARS} characters");
        fields.reject(name, "too_long", detail);
    }
}

/// `None` leaves it to the model.
fn read_size(mut item: Item<'_, '_>) -> Option<(u32, u32)> {
    let text = item.text()?;
    if text == "auto" {
        return None;
    }
    let side = |text: &str| {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        let side = text.parse::<u32>().ok().filter(|_| is_plain)?;
        (1..=IMAGE_SIDE_MAX as u32).contains(&side).then_some(side)
    };
    let size = text.split_once('x').and_then(|(width, height)| Some((side(width)?, side(height)?)));
    if size.is_none() {
        let detail = format!("must be \"auto\" or WIDTHxHEIGHT, each at most {IMAGE_SIDE_MAX}");
        item.reject("format", detail);
    }
    size
}

fn read_format(fields: &mut Fields<'_, '_>) -> (ImageFormat, Option<u32>) {
    let word = fields.word("output_format", &["png", "jpeg", "webp"], "");
    let format = word.and_then(|word| word.parse().ok()).unwrap_or(ImageFormat::Png);
    let compression = fields.integer("output_compression", 0, COMPRESSION_MAX);
    match (format, compression) {
        (ImageFormat::Png, Some(COMPRESSION_MAX)) => (format, None),
        (ImageFormat::Png, Some(_)) => {
            let detail = "can only be 100 for PNG, which loses nothing";
            fields.reject("output_compression", "conflict", detail);
            (format, None)
        }
        (_, compression) => (format, compression.map(|percent| percent.max(1) as u32)),
    }
}

/// `None` where the body leaves it to the model.
fn read_quality(fields: &mut Fields<'_, '_>) -> Option<Quality> {
    let words = ["auto", "low", "medium", "high", "standard", "hd"];
    match fields.word("quality", &words, "")? {
        "low" => Some(Quality::Low),
        "medium" | "standard" => Some(Quality::Medium),
        "high" | "hd" => Some(Quality::High),
        _ => None,
    }
}

/// A picture or several.
fn read_image(mut item: Item<'_, '_>) -> Vec<String> {
    match item.value.as_array() {
        Some(_) => item.each(read_picture),
        None => read_picture(&mut item).into_iter().collect(),
    }
}

fn read_reference(item: &mut Item<'_, '_>) -> Option<String> {
    item.object(|reference| {
        reference.require("image_url");
        read_picture(&mut reference.item("image_url")?)
    })?
}

fn read_picture(item: &mut Item<'_, '_>) -> Option<String> {
    let text = item.text()?;
    if text.contains("://") {
        item.reject("format", "must be a base64 data URL: the node fetches nothing by itself");
        return None;
    }
    Some(text.to_owned())
}

/// What is wrong with the order, in the names of the body it was read from.
pub(super) fn in_body_names(errors: Vec<FieldError>, pictures: PictureField) -> Vec<FieldError> {
    errors.into_iter().map(|error| in_body_name(error, pictures)).collect()
}

fn in_body_name(error: FieldError, pictures: PictureField) -> FieldError {
    let Some(path) = error.pointer.strip_prefix("/image/") else { return error };
    let (pointer, detail) = match path.split_once('/') {
        Some(("images", index)) => match pictures {
            PictureField::Image => (format!("/image/{index}"), error.detail),
            PictureField::Images => (format!("/images/{index}/image_url"), error.detail),
        },
        _ => match path {
            "width" | "height" => {
                ("/size".to_owned(), format!("has a {path} that {}", error.detail))
            }
            "images" if pictures == PictureField::Image => ("/image".to_owned(), error.detail),
            "quality" => ("/output_compression".to_owned(), error.detail),
            "previews" => ("/partial_images".to_owned(), error.detail),
            "num_images" => ("/n".to_owned(), error.detail),
            "format" => ("/output_format".to_owned(), error.detail),
            _ => (format!("/{path}"), error.detail),
        },
    };
    FieldError { pointer, code: error.code, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_is_worth_half_the_steps_or_half_as_many_again() {
        assert_eq!((Quality::Low.steps(9), Quality::High.steps(9)), (Some(5), Some(14)));
        assert_eq!((Quality::Low.steps(1), Quality::High.steps(1)), (Some(1), Some(2)));
        assert_eq!((Quality::Medium.steps(9), Quality::High.steps(150)), (None, Some(150)));
    }

    #[test]
    fn what_is_wrong_with_an_order_is_told_in_the_bodys_own_names() {
        let named = |pointer: &str, pictures| {
            let error = FieldError {
                pointer: pointer.to_owned(),
                code: "range".to_owned(),
                detail: "must be 8".to_owned(),
            };
            let error = in_body_names(vec![error], pictures).remove(0);
            (error.pointer, error.detail)
        };
        let size = named("/image/width", PictureField::Image);
        assert_eq!(size, ("/size".to_owned(), "has a width that must be 8".to_owned()));
        for (pointer, in_form, in_json) in [
            ("/image/images/1", "/image/1", "/images/1/image_url"),
            ("/image/images", "/image", "/images"),
            ("/image/strength", "/strength", "/strength"),
            ("/model", "/model", "/model"),
        ] {
            assert_eq!(named(pointer, PictureField::Image).0, in_form);
            assert_eq!(named(pointer, PictureField::Images).0, in_json);
        }
    }
}
