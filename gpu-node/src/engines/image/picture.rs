//! From pixels to the bytes of a file that says how it was made.

use std::io::Cursor;

use image::{
    DynamicImage, ImageEncoder, RgbImage,
    codecs::{jpeg::JpegEncoder, webp::WebPEncoder},
    imageops::{FilterType, resize},
};
use serde::Serialize;
use shared::node::image::{ImageFormat, SchedulerKind};

use super::{ENGINE_VERSION, EncodedImage, ImageJob, lossy_webp::encode_lossy_webp};
use crate::engines::EngineError;

/// High enough that flat drawings show no blocks.
const JPEG_QUALITY: u8 = 92;
const PREVIEW_QUALITY: u8 = 75;
/// Pixels on a preview's longest side.
const PREVIEW_SIDE: u32 = 256;

/// How a picture was made: written into its file.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Origin<'a> {
    prompt: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    negative_prompt: &'a str,
    seed: u64,
    steps: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    guidance: Option<f64>,
    scheduler: SchedulerKind,
    /// Of a run that started from a picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    strength: Option<f64>,
    model: &'a str,
    revision: &'a str,
    engine: &'a str,
    /// What the model made, before any upscale.
    native_size: [u32; 2],
}

impl<'a> Origin<'a> {
    /// The origin of picture `index` of a job.
    pub(super) fn new(
        job: &'a ImageJob,
        index: u32,
        (model, revision): (&'a str, &'a str),
        native_size: [u32; 2],
    ) -> Self {
        Self {
            prompt: &job.prompt,
            negative_prompt: &job.negative_prompt,
            seed: job.seed_of(index),
            steps: job.steps,
            guidance: Some(job.guidance),
            scheduler: job.scheduler,
            strength: (!job.images.is_empty()).then_some(job.strength),
            model,
            revision,
            engine: ENGINE_VERSION,
            native_size,
        }
    }

    /// Leaves out the numbers that changed nothing.
    pub(super) fn with_effects_alone(self, is_guided: bool, has_strength: bool) -> Self {
        Self {
            guidance: self.guidance.filter(|_| is_guided),
            strength: self.strength.filter(|_| has_strength),
            ..self
        }
    }

    /// As JSON in ASCII, which every metadata format can hold.
    fn to_json(&self) -> Result<String, EngineError> {
        let json = serde_json::to_string(self).map_err(failed)?;
        let mut ascii = String::with_capacity(json.len());
        for character in json.chars() {
            if character.is_ascii() {
                ascii.push(character);
            } else {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    ascii.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
        Ok(ascii)
    }
}

/// Resizes to the job's size where the model's is smaller, and writes the job's format.
pub(super) fn encode_picture(
    picture: RgbImage,
    job: &ImageJob,
    origin: &Origin<'_>,
) -> Result<EncodedImage, EngineError> {
    let picture = if picture.dimensions() == (job.width, job.height) {
        picture
    } else {
        resize(&picture, job.width, job.height, FilterType::Lanczos3)
    };
    let json = job.metadata.then(|| origin.to_json()).transpose()?;
    let json = json.as_deref();
    let bytes = match job.format {
        ImageFormat::Png => encode_png(&picture, json)?,
        ImageFormat::Jpeg => {
            encode_jpeg(picture, job.quality.unwrap_or(JPEG_QUALITY), json.map(exif))?
        }
        ImageFormat::Webp => encode_webp(picture, job.quality, json.map(exif))?,
    };
    Ok(EncodedImage {
        bytes,
        content_type: job.format.content_type(),
        width: job.width,
        height: job.height,
        seed: origin.seed,
    })
}

fn failed(error: impl std::fmt::Display) -> EngineError {
    EngineError::Failed(format!("cannot write the picture: {error}"))
}

/// A small JPEG of an unfinished picture.
pub(super) fn encode_preview(picture: RgbImage) -> Result<Vec<u8>, EngineError> {
    let (width, height) = picture.dimensions();
    let scale = f64::from(PREVIEW_SIDE) / f64::from(width.max(height));
    let picture = if scale < 1.0 {
        let [width, height] =
            [width, height].map(|side| ((f64::from(side) * scale).round() as u32).max(1));
        resize(&picture, width, height, FilterType::Triangle)
    } else {
        picture
    };
    encode_jpeg(picture, PREVIEW_QUALITY, None)
}

fn encode_jpeg(
    picture: RgbImage,
    quality: u8,
    exif: Option<Vec<u8>>,
) -> Result<Vec<u8>, EngineError> {
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
    if let Some(exif) = exif {
        encoder.set_exif_metadata(exif).map_err(failed)?;
    }
    DynamicImage::from(picture).write_with_encoder(encoder).map_err(failed)?;
    Ok(bytes)
}

/// Without loss unless a quality is asked for.
fn encode_webp(
    picture: RgbImage,
    quality: Option<u8>,
    exif: Option<Vec<u8>>,
) -> Result<Vec<u8>, EngineError> {
    if let Some(quality) = quality {
        return encode_lossy_webp(&picture, quality, exif.as_deref())
            .ok_or_else(|| failed("libwebp cannot encode it"));
    }
    let mut bytes = Vec::new();
    let mut encoder = WebPEncoder::new_lossless(&mut bytes);
    if let Some(exif) = exif {
        encoder.set_exif_metadata(exif).map_err(failed)?;
    }
    DynamicImage::from(picture).write_with_encoder(encoder).map_err(failed)?;
    Ok(bytes)
}

fn encode_png(picture: &RgbImage, json: Option<&str>) -> Result<Vec<u8>, EngineError> {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = png::Encoder::new(&mut bytes, picture.width(), picture.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    // The default takes fifty times as long for files a seventh smaller: more than some models take to draw.
    encoder.set_compression(png::Compression::Fast);
    if let Some(json) = json {
        encoder.add_text_chunk("Software".to_owned(), ENGINE_VERSION.to_owned()).map_err(failed)?;
        encoder.add_text_chunk("chandelle".to_owned(), json.to_owned()).map_err(failed)?;
    }
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(picture.as_raw()).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes.into_inner())
}

/// The smallest EXIF block there is: a TIFF header and one directory with `ImageDescription` and `Software`.
fn exif(description: &str) -> Vec<u8> {
    const ENTRIES: [u16; 2] = [0x010e, 0x0131];
    const TEXT: u16 = 2;
    let texts = [format!("{description}\0"), format!("{ENGINE_VERSION}\0")];
    let mut block = b"II\x2a\0\x08\0\0\0".to_vec();
    block.extend((ENTRIES.len() as u16).to_le_bytes());
    // Texts follow the directory: its count, twelve bytes per entry, and the end mark.
    let mut offset = (block.len() + 12 * ENTRIES.len() + 4) as u32;
    for (tag, text) in ENTRIES.into_iter().zip(&texts) {
        block.extend(tag.to_le_bytes());
        block.extend(TEXT.to_le_bytes());
        block.extend((text.len() as u32).to_le_bytes());
        block.extend(offset.to_le_bytes());
        offset += text.len() as u32;
    }
    block.extend(0_u32.to_le_bytes());
    texts.iter().for_each(|text| block.extend(text.as_bytes()));
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(format: ImageFormat) -> ImageJob {
        ImageJob {
            prompt: "un château «rouge» 🏰".into(),
            negative_prompt: String::new(),
            width: 16,
            height: 16,
            steps: 12,
            guidance: 3.5,
            seed: 40,
            scheduler: SchedulerKind::Ddim,
            num_images: 3,
            format,
            quality: None,
            images: Vec::new(),
            strength: 1.0,
            previews: 0,
            metadata: true,
        }
    }

    fn picture() -> RgbImage {
        RgbImage::from_fn(8, 8, |x, y| image::Rgb([(x * 30) as u8, (y * 30) as u8, 90]))
    }

    fn encode_job(job: &ImageJob) -> Result<EncodedImage, EngineError> {
        encode_picture(picture(), job, &Origin::new(job, 2, ("tiny", "r1"), [8, 8]))
    }

    fn encode(format: ImageFormat) -> EncodedImage {
        encode_job(&job(format)).unwrap()
    }

    /// A WebP that loses nothing and one that does are two kinds of file.
    fn jobs_of_all_kinds() -> [ImageJob; 4] {
        let lossy = ImageJob { quality: Some(80), ..job(ImageFormat::Webp) };
        [job(ImageFormat::Png), job(ImageFormat::Jpeg), job(ImageFormat::Webp), lossy]
    }

    #[test]
    fn every_format_can_be_read_back_and_says_how_it_was_made() {
        for job in jobs_of_all_kinds() {
            let (format, encoded) = (job.format, encode_job(&job).unwrap());
            let read = image::load_from_memory(&encoded.bytes).unwrap();
            assert_eq!((read.width(), read.height(), encoded.seed), (16, 16, 42));
            let text = String::from_utf8_lossy(&encoded.bytes);
            for part in [
                "\"seed\":42",
                "\"steps\":12",
                "\"scheduler\":\"ddim\"",
                "\"revision\":\"r1\"",
                "\"guidance\":3.5",
                "ch\\u00e2teau",
                "\"native_size\":[8,8]",
                ENGINE_VERSION,
            ] {
                assert!(text.contains(part), "{format:?} lacks {part}");
            }
        }
    }

    #[test]
    fn the_metadata_of_a_png_is_readable_json() {
        let encoded = encode(ImageFormat::Png);
        let reader = png::Decoder::new(Cursor::new(&encoded.bytes)).read_info().unwrap();
        let text = &reader.info().uncompressed_latin1_text;
        let json = &text.iter().find(|chunk| chunk.keyword == "chandelle").unwrap().text;
        let origin: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(origin["prompt"], "un château «rouge» 🏰");
    }

    #[test]
    fn a_file_without_metadata_says_nothing_of_how_it_was_made() {
        for job in jobs_of_all_kinds() {
            let format = job.format;
            let encoded = encode_job(&ImageJob { metadata: false, ..job.clone() }).unwrap();
            let text = String::from_utf8_lossy(&encoded.bytes);
            for part in ["seed", "tiny", "chandelle", "Software", "EXIF", "Exif"] {
                assert!(!text.contains(part), "{format:?} still says {part}");
            }
            let pixels = |bytes: &[u8]| image::load_from_memory(bytes).unwrap();
            assert_eq!(pixels(&encoded.bytes), pixels(&encode_job(&job).unwrap().bytes));
        }
    }

    #[test]
    fn quality_decides_the_size_of_a_jpeg() {
        let size = |quality| {
            let job = ImageJob { quality, ..job(ImageFormat::Jpeg) };
            encode_job(&job).unwrap().bytes.len()
        };
        assert!(size(Some(5)) < size(Some(60)) && size(Some(60)) < size(Some(100)));
        assert_eq!(size(None), size(Some(JPEG_QUALITY)));
    }

    #[test]
    fn a_webp_loses_nothing_unless_a_quality_is_asked_for() {
        let read = |quality| {
            let job = ImageJob { width: 8, height: 8, quality, ..job(ImageFormat::Webp) };
            image::load_from_memory(&encode_job(&job).unwrap().bytes).unwrap().to_rgb8()
        };
        assert_eq!(read(None), picture());
        assert_ne!(read(Some(75)), picture());
    }

    #[test]
    fn a_picture_made_from_a_picture_says_how_far_it_went() {
        let job = ImageJob { images: vec![picture()], strength: 0.4, ..job(ImageFormat::Png) };
        let text = String::from_utf8_lossy(&encode_job(&job).unwrap().bytes).into_owned();
        assert!(text.contains("\"strength\":0.4"));
        assert!(!String::from_utf8_lossy(&encode(ImageFormat::Png).bytes).contains("strength"));
    }

    #[test]
    fn numbers_without_effect_are_not_written() {
        let job = ImageJob { images: vec![picture()], ..job(ImageFormat::Png) };
        let written = |is_guided, has_strength| {
            let origin = Origin::new(&job, 0, ("tiny", "r1"), [8, 8]);
            let json = origin.with_effects_alone(is_guided, has_strength).to_json().unwrap();
            (json.contains("guidance"), json.contains("strength"))
        };
        assert_eq!(written(true, false), (true, false));
        assert_eq!(written(false, true), (false, true));
    }

    #[test]
    fn a_preview_is_a_small_jpeg_and_never_enlarged() {
        let size = |width, height| {
            let jpeg = encode_preview(RgbImage::new(width, height)).unwrap();
            assert_eq!(image::guess_format(&jpeg).unwrap(), image::ImageFormat::Jpeg);
            let read = image::load_from_memory(&jpeg).unwrap();
            (read.width(), read.height())
        };
        assert_eq!(size(1024, 768), (256, 192));
        assert_eq!(size(96, 64), (96, 64));
    }

    #[test]
    fn the_same_picture_gives_the_same_bytes() {
        assert_eq!(encode(ImageFormat::Png), encode(ImageFormat::Png));
    }
}
