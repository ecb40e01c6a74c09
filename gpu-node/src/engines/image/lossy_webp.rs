//! WebP files that lose something (VP8), which the `image` crate cannot write: libwebp encodes, and the container with EXIF is put around it here.

use std::{ffi::c_int, ptr, slice};

use image::RgbImage;
use libwebp_sys::{WebPEncodeRGB, WebPFree};

/// "RIFF", the size of what follows, "WEBP".
const RIFF_HEADER: usize = 12;
/// In `VP8X`: the file has an `EXIF` chunk.
const HAS_EXIF: u8 = 1 << 3;

/// A file of that quality, 1 to 100; nothing when libwebp cannot encode the picture, such as one of more than 16383 pixels a side.
pub(super) fn encode_lossy_webp(
    picture: &RgbImage,
    quality: u8,
    exif: Option<&[u8]>,
) -> Option<Vec<u8>> {
    let plain = encode_plain(picture, quality)?;
    match exif {
        Some(exif) => with_exif(&plain, picture.dimensions(), exif),
        None => Some(plain),
    }
}

/// The smallest file: one `VP8 ` chunk.
#[allow(unsafe_code, reason = "libwebp is written in C")]
fn encode_plain(picture: &RgbImage, quality: u8) -> Option<Vec<u8>> {
    let (width, height) = picture.dimensions();
    let width = c_int::try_from(width).ok()?;
    let stride = width.checked_mul(3)?;
    let height = c_int::try_from(height).ok()?;
    let mut output = ptr::null_mut();
    // SAFETY: the buffer of an `RgbImage` has `height` rows of `stride` bytes, and is only read. `output` is set to
    // memory of libwebp's own, as long as the size that is returned, which is copied and then given back.
    unsafe {
        let rows = picture.as_raw().as_ptr();
        let size = WebPEncodeRGB(rows, width, height, stride, f32::from(quality), &mut output);
        let bytes = (size > 0 && !output.is_null())
            .then(|| slice::from_raw_parts(output.cast_const(), size).to_vec());
        WebPFree(output.cast());
        bytes
    }
}

/// The same picture in the extended layout: `VP8X`, `VP8 `, `EXIF`.
fn with_exif(plain: &[u8], (width, height): (u32, u32), exif: &[u8]) -> Option<Vec<u8>> {
    let mut about = vec![HAS_EXIF, 0, 0, 0];
    for side in [width, height] {
        about.extend(&side.checked_sub(1)?.to_le_bytes()[..3]);
    }
    let mut chunks = b"WEBP".to_vec();
    push_chunk(&mut chunks, *b"VP8X", &about)?;
    chunks.extend(plain.get(RIFF_HEADER..)?);
    push_chunk(&mut chunks, *b"EXIF", exif)?;
    let mut file = b"RIFF".to_vec();
    file.extend(u32::try_from(chunks.len()).ok()?.to_le_bytes());
    file.extend(chunks);
    Some(file)
}

/// Chunks have an even length; the byte that makes them so is not counted.
fn push_chunk(file: &mut Vec<u8>, name: [u8; 4], content: &[u8]) -> Option<()> {
    file.extend(name);
    file.extend(u32::try_from(content.len()).ok()?.to_le_bytes());
    file.extend(content);
    file.extend(std::iter::repeat_n(0, content.len() % 2));
    Some(())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{ImageDecoder, codecs::webp::WebPDecoder};

    use super::*;

    /// Smooth colours with a hard edge, of sides that fill no whole blocks.
    fn picture() -> RgbImage {
        RgbImage::from_fn(67, 45, |x, y| match x > y {
            true => image::Rgb([(x * 3) as u8, (y * 5) as u8, 90]),
            false => image::Rgb([200, (x + y) as u8, (x * 2) as u8]),
        })
    }

    fn error_of(file: &[u8]) -> f64 {
        let (read, wanted) = (image::load_from_memory(file).unwrap().to_rgb8(), picture());
        assert_eq!(read.dimensions(), wanted.dimensions());
        let pairs = read.as_raw().iter().zip(wanted.as_raw());
        let sum: f64 = pairs.map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
        sum / read.as_raw().len() as f64
    }

    #[test]
    fn quality_decides_the_size_and_the_loss() {
        let files = [5, 75, 85, 95].map(|q| encode_lossy_webp(&picture(), q, None).unwrap());
        assert!(files.windows(2).all(|pair| pair[0].len() < pair[1].len()));
        let errors = files.each_ref().map(|file| error_of(file));
        assert!(errors.windows(2).all(|pair| pair[0] > pair[1]), "{errors:?}");
        assert_eq!(&files[0][12..16], b"VP8 ");
    }

    #[test]
    fn exif_changes_no_pixel_and_is_read_back() {
        let plain = encode_lossy_webp(&picture(), 80, None).unwrap();
        for exif in [&b"II*\0even"[..], b"II*\0odd"] {
            let file = encode_lossy_webp(&picture(), 80, Some(exif)).unwrap();
            assert_eq!(file.len() % 2, 0);
            assert_eq!(file[4..8], (file.len() as u32 - 8).to_le_bytes());
            let mut decoder = WebPDecoder::new(Cursor::new(&file)).unwrap();
            assert_eq!(decoder.exif_metadata().unwrap().as_deref(), Some(exif));
            let pixels = |bytes: &[u8]| image::load_from_memory(bytes).unwrap();
            assert_eq!(pixels(&file), pixels(&plain));
        }
    }

    #[test]
    fn a_picture_that_webp_cannot_hold_is_none() {
        assert_eq!(encode_lossy_webp(&RgbImage::new(16_384, 1), 80, None), None);
        assert_eq!(encode_lossy_webp(&RgbImage::new(0, 8), 80, None), None);
    }
}
