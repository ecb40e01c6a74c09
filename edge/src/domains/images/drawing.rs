//! From an order for images to what a node is asked for: pure, so that a run that is repeated asks for the same.

use std::{collections::BTreeMap, sync::LazyLock};

use shared::{
    api::images::{FileFormat, ImageJob, ImageQuality},
    node::image::ImageInput,
};

use crate::config::ImageSteps;

/// What each known style adds to a prompt.
static STYLES: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../prompts/styles.json")).unwrap_or_default()
});

/// The order's pictures, without a seed and without the picture they start from.
pub fn image_input(job: &ImageJob, steps: ImageSteps) -> ImageInput {
    let mut image = ImageInput::from_prompt(prompt_of(job));
    image.width = job.size.map(|size| size.width);
    image.height = job.size.map(|size| size.height);
    image.num_images = Some(job.num_images);
    image.format = Some(job.format.into());
    image.steps = steps.of(job.quality);
    image.quality = file_quality(job.format, job.quality);
    image
}

/// The caller's words on one line, as encoders read them, and then the style's.
fn prompt_of(job: &ImageJob) -> String {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let prompt = words(&job.prompt);
    let Some(style) = &job.style else { return prompt };
    let name = style.to_lowercase().replace([' ', '-'], "_");
    let style = STYLES.get(&name).cloned().unwrap_or_else(|| words(style));
    format!("{prompt}, {style}")
}

/// How much a lossy file may lose.
fn file_quality(format: FileFormat, quality: ImageQuality) -> Option<u32> {
    match (format, quality) {
        (FileFormat::Png, _) => None,
        (_, ImageQuality::Low) => Some(75),
        (_, ImageQuality::Medium) => Some(85),
        (_, ImageQuality::High) => Some(95),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shared::validate::parse_body;

    use super::*;

    fn input(changes: Value) -> ImageInput {
        let mut order = json!({ "generation_id": "g", "prompt": "a cat,\n asleep" });
        order.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let steps = ImageSteps { low: Some(8), medium: None, high: Some(30) };
        image_input(&parse_body(&order).unwrap(), steps)
    }

    #[test]
    fn what_is_left_out_is_the_models_own() {
        let image = input(json!({}));
        assert_eq!(image.prompt, "a cat, asleep");
        assert_eq!(
            (image.width, image.height, image.steps, image.quality),
            (None, None, None, None)
        );
        assert_eq!(image.num_images, Some(1));
    }

    #[test]
    fn quality_is_steps_and_what_a_lossy_file_may_lose() {
        let high = input(json!({ "quality": "high", "format": "JPEG", "size": "64x32" }));
        assert_eq!((high.steps, high.quality), (Some(30), Some(95)));
        assert_eq!((high.width, high.height), (Some(64), Some(32)));
        let low = input(json!({ "quality": "low", "format": "WEBP" }));
        assert_eq!((low.steps, low.quality), (Some(8), Some(75)));
    }

    #[test]
    fn a_known_style_becomes_its_words_and_another_stands_as_it_is() {
        let known = input(json!({ "style": "Pixel Art" })).prompt;
        assert_eq!(known, "a cat, asleep, pixel art, limited palette");
        assert_eq!(
            input(json!({ "style": "as on  stamps" })).prompt,
            "a cat, asleep, as on stamps"
        );
        assert!(STYLES.len() > 10, "styles.json can be read");
        assert!(STYLES.values().all(|words| words.len() <= 120));
    }
}
