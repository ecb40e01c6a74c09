//! Pictures to refer to, brought to a size the model reads.

use image::{
    RgbImage,
    imageops::{FilterType, crop_imm, resize},
};

use crate::engines::EngineError;

/// Shortest side and longest form that the model was made for.
const SIDE_MIN: u32 = 64;
const ASPECT_MAX: f64 = 8.0;
/// Larger pictures are made smaller: each 256 pixels are a token of every step.
const AREA_MAX: f64 = 1024.0 * 1024.0;

/// The middle of a picture, its sides multiples of `multiple`.
pub(super) fn prepare(picture: &RgbImage, multiple: u32) -> Result<RgbImage, EngineError> {
    let (width, height) = picture.dimensions();
    if width < SIDE_MIN || height < SIDE_MIN {
        let text = format!("a reference picture must be {SIDE_MIN} pixels wide and high at least");
        return Err(EngineError::InvalidInput(text));
    }
    let (wide, high) = (f64::from(width), f64::from(height));
    if (wide / high).max(high / wide) > ASPECT_MAX {
        let text =
            format!("a reference picture must not be longer than {ASPECT_MAX} times its width");
        return Err(EngineError::InvalidInput(text));
    }
    let picture = if wide * high > AREA_MAX {
        let scale = (AREA_MAX / (wide * high)).sqrt();
        let (width, height) = ((wide * scale) as u32, (high * scale) as u32);
        resize(picture, width, height, FilterType::Lanczos3)
    } else {
        picture.clone()
    };
    let (width, height) = picture.dimensions();
    let whole = |side: u32| (side / multiple * multiple).max(multiple.min(side));
    let (inner_width, inner_height) = (whole(width), whole(height));
    let (left, top) = ((width - inner_width) / 2, (height - inner_height) / 2);
    Ok(crop_imm(&picture, left, top, inner_width, inner_height).to_image())
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn the_middle_of_a_picture_is_kept() {
        let picture = RgbImage::from_fn(100, 75, |x, y| Rgb([x as u8, y as u8, 0]));
        let middle = prepare(&picture, 16).unwrap();
        assert_eq!(middle.dimensions(), (96, 64));
        assert_eq!(middle.get_pixel(0, 0), &Rgb([2, 5, 0]));
    }

    #[test]
    fn a_large_picture_is_made_smaller() {
        let middle = prepare(&RgbImage::new(4000, 1000), 16).unwrap();
        assert_eq!(middle.dimensions(), (2048, 512));
        assert_eq!(prepare(&RgbImage::new(1024, 1024), 16).unwrap().dimensions(), (1024, 1024));
    }

    #[test]
    fn what_the_model_was_not_made_for_is_the_callers_mistake() {
        for (width, height) in [(63, 100), (100, 63), (64, 513), (600, 70)] {
            let outcome = prepare(&RgbImage::new(width, height), 16);
            assert!(matches!(outcome, Err(EngineError::InvalidInput(_))), "{width} × {height}");
        }
        assert!(prepare(&RgbImage::new(64, 512), 16).is_ok());
    }
}
