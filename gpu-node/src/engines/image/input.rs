//! Pictures that callers send along: from base64 to pixels, with every wrong one named.

use std::io::Cursor;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage,
    imageops::FilterType, metadata::Orientation,
};
use shared::{
    errors::FieldError,
    limits::{IMAGE_SIDE_MAX, INPUT_IMAGE_MAX_BYTES},
};

/// Pixels on a side of a file that is read at all.
const SIDE_MAX: u32 = 8_192;
/// What decoding one file may allocate.
const MEMORY_MAX_BYTES: u64 = 256 << 20;

/// How many times longer than wide a picture may be, or wider than long: of anything beyond, almost nothing is left
/// when it is cropped to the form of a result.
const ASPECT_MAX: u32 = 64;

/// Reads up to `count_max` pictures and adds what is wrong with them to `errors`.
pub(super) fn read_input_images(
    files: &[String],
    count_max: u32,
    errors: &mut Vec<FieldError>,
) -> Vec<RgbImage> {
    if files.len() > count_max as usize {
        let detail = match count_max {
            0 => "this model starts from words alone".to_owned(),
            _ => format!("this model starts from at most {count_max}"),
        };
        let (pointer, code) = ("/images".to_owned(), "range".to_owned());
        errors.push(FieldError { pointer, code, detail });
        return Vec::new();
    }
    let mut images = Vec::with_capacity(files.len());
    for (index, file) in files.iter().enumerate() {
        match read_image(file) {
            Ok(image) => images.push(image),
            Err(detail) => {
                let (pointer, code) = (format!("/images/{index}"), "image".to_owned());
                errors.push(FieldError { pointer, code, detail });
            }
        }
    }
    images
}

/// Base64, bare or as a `data:` URL; what kind of file it is says its content alone.
fn read_image(file: &str) -> Result<RgbImage, String> {
    let base64 = match file.strip_prefix("data:") {
        Some(url) => url.split_once(";base64,").ok_or("must be a base64 data URL")?.1,
        None => file,
    };
    let bytes = STANDARD.decode(base64).map_err(|error| format!("is no base64: {error}"))?;
    if bytes.len() > INPUT_IMAGE_MAX_BYTES {
        return Err(format!("must have at most {INPUT_IMAGE_MAX_BYTES} bytes"));
    }
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| error.to_string())?;
    if !matches!(reader.format(), Some(ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP)) {
        return Err("must be a PNG, JPEG or WebP file".to_owned());
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(MEMORY_MAX_BYTES);
    reader.limits(limits);
    Ok(decode(reader)?.to_rgb8())
}

/// As the person who took it sees it: cameras write the turn beside the pixels.
fn decode(reader: ImageReader<Cursor<Vec<u8>>>) -> Result<DynamicImage, String> {
    let unreadable = |error: ImageError| format!("cannot be read: {error}");
    let mut decoder = reader.into_decoder().map_err(unreadable)?;
    let (width, height) = decoder.dimensions();
    if width.max(height) > width.min(height).saturating_mul(ASPECT_MAX) {
        return Err(format!("must be at most {ASPECT_MAX} times as long as it is wide"));
    }
    if decoder.total_bytes() > MEMORY_MAX_BYTES {
        return Err("has too many pixels".to_owned());
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(unreadable)?;
    // No model works on more, and orders that wait would hold it.
    let most = IMAGE_SIDE_MAX as u32;
    let is_larger = image.width().max(image.height()) > most;
    let mut image = if is_larger { image.resize(most, most, FilterType::Lanczos3) } else { image };
    image.apply_orientation(orientation);
    Ok(image)
}

#[cfg(test)]
mod tests {
    use image::{ImageEncoder, Rgb, codecs::jpeg::JpegEncoder};

    use super::*;

    fn png(width: u32, height: u32) -> String {
        let mut bytes = Cursor::new(Vec::new());
        RgbImage::new(width, height).write_to(&mut bytes, ImageFormat::Png).unwrap();
        STANDARD.encode(bytes.into_inner())
    }

    fn read(files: &[String], count_max: u32) -> (usize, Vec<(String, String)>) {
        let mut errors = Vec::new();
        let images = read_input_images(files, count_max, &mut errors);
        (images.len(), errors.into_iter().map(|e| (e.pointer, e.detail)).collect())
    }

    #[test]
    fn a_picture_is_read_bare_and_as_a_data_url() {
        let (bare, url) = (png(3, 2), format!("data:image/png;base64,{}", png(2, 2)));
        assert_eq!(read(&[bare, url], 2), (2, Vec::new()));
    }

    #[test]
    fn every_bad_picture_is_named() {
        let files = [
            "no base64!".to_owned(),
            STANDARD.encode("<svg/>"),
            STANDARD.encode(&STANDARD.decode(png(64, 64)).unwrap()[..40]),
            "data:image/png,raw".to_owned(),
            png(SIDE_MAX + 1, 129),
            png(ASPECT_MAX + 1, 1),
        ];
        let (count, errors) = read(&files, 6);
        let pointers: Vec<_> = errors.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(count, 0);
        assert_eq!(pointers, (0..6).map(|index| format!("/images/{index}")).collect::<Vec<_>>());
        assert_eq!(errors[1].1, "must be a PNG, JPEG or WebP file");
        assert_eq!(errors[5].1, "must be at most 64 times as long as it is wide");
    }

    #[test]
    fn a_photo_is_turned_as_its_camera_says() {
        let halves = RgbImage::from_fn(64, 32, |x, _| Rgb([if x < 32 { 250 } else { 5 }, 9, 9]));
        let mut bytes = Vec::new();
        let mut encoder = JpegEncoder::new(&mut bytes);
        // One entry of one directory: tag 0x0112, a short, 6: the top of the scene is at the file's left.
        let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        encoder.set_exif_metadata(exif.to_vec()).unwrap();
        encoder.encode_image(&halves).unwrap();
        let image = read_image(&STANDARD.encode(bytes)).unwrap();
        assert_eq!(image.dimensions(), (32, 64));
        assert!(image.get_pixel(16, 8)[0] > 200 && image.get_pixel(16, 56)[0] < 50);
    }

    #[test]
    fn a_large_picture_is_kept_no_larger_than_any_model_works_on() {
        let image = read_image(&png(4_096, 64)).unwrap();
        assert_eq!(image.dimensions(), (2_048, 32));
        assert_eq!(read_image(&png(2_048, 33)).unwrap().dimensions(), (2_048, 33));
    }

    #[test]
    fn more_pictures_than_the_model_takes_are_refused() {
        assert_eq!(read(&[png(1, 1)], 0).1[0].1, "this model starts from words alone");
        assert_eq!(read(&[png(1, 1), png(1, 1)], 1).1[0].1, "this model starts from at most 1");
    }
}
