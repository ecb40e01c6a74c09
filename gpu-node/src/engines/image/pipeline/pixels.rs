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

/// Cropped first: what is enlarged is then never more than what is kept, whatever the form of the picture.
fn cover(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    if picture.dimensions() == (width, height) {
        return picture.clone();
    }
    let (own_width, own_height) = picture.dimensions();
    let side = |own: u32, wanted: u32, of: u32| {
        let side = (f64::from(own) * f64::from(wanted) / f64::from(of)).round();
        (side as u32).max(1)
    };
    let inner_width = side(own_height, width, height).min(own_width);
    let inner_height = side(own_width, height, width).min(own_height);
    let (left, top) = ((own_width - inner_width) / 2, (own_height - inner_height) / 2);
    let middle = crop_imm(picture, left, top, inner_width, inner_height);
    resize(&*middle, width, height, FilterType::Lanczos3)
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
    fn a_long_picture_is_not_enlarged_before_it_is_cropped() {
        let line = RgbImage::from_fn(8_192, 1, |x, _| Rgb([(x / 4_096) as u8 * 200, 9, 0]));
        let square = cover(&line, 1_024, 1_024);
        assert_eq!(square.dimensions(), (1_024, 1_024));
        assert!(square.pixels().all(|pixel| pixel[1] == 9));
        assert_eq!(cover(&RgbImage::new(1, 8_192), 1_024, 64).dimensions(), (1_024, 64));
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
