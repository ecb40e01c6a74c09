//! Between tensors of −1 … 1 and pictures of bytes.

use candle_core::{Device, Tensor};
use image::{
    RgbImage,
    imageops::{FilterType, crop_imm, resize},
};

use crate::engines::EngineError;

/// All values, if they are numbers.
pub(super) fn finite_values(xs: &Tensor) -> Result<Vec<f32>, EngineError> {
    let values: Vec<f32> = xs.flatten_all()?.to_vec1()?;
    if values.iter().any(|value| !value.is_finite()) {
        return Err(EngineError::Failed("the model's numbers are no longer finite".to_owned()));
    }
    Ok(values)
}

/// From `(3, height, width)` in −1 … 1 to pixels. Numbers gone astray are an error, never a black picture.
pub(super) fn to_picture(pixels: &Tensor) -> Result<RgbImage, EngineError> {
    let (_, height, width) = pixels.dims3()?;
    let values = finite_values(&pixels.permute((1, 2, 0))?)?;
    let bytes = values
        .iter()
        .map(|value| ((value * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8)
        .collect();
    RgbImage::from_raw(width as u32, height as u32, bytes)
        .ok_or_else(|| EngineError::Failed("the decoder's picture has another size".to_owned()))
}

/// `(1, 3, height, width)` in −1 … 1 of a picture that covers the size, its middle where it is larger.
pub(in crate::engines::image) fn from_picture(
    picture: &RgbImage,
    [height, width]: [usize; 2],
    device: &Device,
) -> candle_core::Result<Tensor> {
    let picture = cover(picture, width as u32, height as u32);
    let values: Vec<f32> =
        picture.as_raw().iter().map(|byte| f32::from(*byte) / 127.5 - 1.0).collect();
    Tensor::from_vec(values, (1, height, width, 3), device)?.permute((0, 3, 1, 2))?.contiguous()
}

fn cover(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    if picture.dimensions() == (width, height) {
        return picture.clone();
    }
    let (own_width, own_height) = (f64::from(picture.width()), f64::from(picture.height()));
    let scale = (f64::from(width) / own_width).max(f64::from(height) / own_height);
    let scaled = |side: f64, least: u32| ((side * scale).round() as u32).max(least);
    let (full_width, full_height) = (scaled(own_width, width), scaled(own_height, height));
    let picture = resize(picture, full_width, full_height, FilterType::Lanczos3);
    crop_imm(&picture, (full_width - width) / 2, (full_height - height) / 2, width, height)
        .to_image()
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn a_wide_picture_is_cropped_to_its_middle() {
        let thirds = RgbImage::from_fn(30, 10, |x, _| Rgb([(x / 10) as u8 * 100, 0, 0]));
        let square = cover(&thirds, 10, 10);
        assert_eq!(square.dimensions(), (10, 10));
        assert!(square.pixels().all(|pixel| pixel[0] == 100), "{square:?}");
        assert_eq!(cover(&thirds, 7, 13).dimensions(), (7, 13));
        assert_eq!(cover(&thirds, 100, 1).dimensions(), (100, 1));
    }

    #[test]
    fn pixels_come_back_as_they_went() {
        let picture = RgbImage::from_fn(5, 3, |x, y| Rgb([x as u8 * 51, y as u8 * 100, 255]));
        let tensor = from_picture(&picture, [3, 5], &Device::Cpu).unwrap();
        assert_eq!(tensor.dims(), [1, 3, 3, 5]);
        let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!((values[0], values[44]), (-1.0, 1.0));
        assert_eq!(to_picture(&tensor.squeeze(0).unwrap()).unwrap(), picture);
    }
}
