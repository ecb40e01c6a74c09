//! A job of more pictures than are computed at once, one part of them after the other.
//!
//! Each picture draws from its own seed, so that the parts give the same files as the whole.

use crate::engines::{
    EngineError, Sink, Stopped,
    image::{EncodedImage, ImageEvent, ImageJob},
};

/// The job cut into jobs of at most so many pictures.
pub(super) fn parts_of(job: ImageJob, at_once: u32) -> Vec<ImageJob> {
    let at_once = at_once.max(1);
    if job.num_images <= at_once {
        return vec![job];
    }
    // As even as they come: three and two take less memory than four and one.
    let count = job.num_images.div_ceil(at_once);
    (0..count)
        .map(|part| {
            let begin = |part: u32| part * job.num_images / count;
            let num_images = begin(part + 1) - begin(part);
            ImageJob { num_images, seed: job.seed_of(begin(part)), ..job.clone() }
        })
        .collect()
}

/// Runs the parts one by one, and tells of them as of one run.
pub(super) fn run_parts(
    parts: Vec<ImageJob>,
    sink: &mut dyn Sink<ImageEvent>,
    mut run: impl FnMut(ImageJob, &mut dyn Sink<ImageEvent>) -> Result<Vec<EncodedImage>, EngineError>,
) -> Result<Vec<EncodedImage>, EngineError> {
    let count = parts.len() as u32;
    let mut pictures = Vec::new();
    for (part, job) in (0..count).zip(parts) {
        let first = pictures.len() as u32;
        pictures
            .extend(run(job, &mut PartSink { sink: &mut *sink, part, count, first, steps: 0 })?);
    }
    Ok(pictures)
}

/// Counts a part's steps after those of the parts before it, and its pictures too.
struct PartSink<'a> {
    sink: &'a mut dyn Sink<ImageEvent>,
    part: u32,
    count: u32,
    first: u32,
    /// Of this part; each has as many.
    steps: u32,
}

impl Sink<ImageEvent> for PartSink<'_> {
    fn emit(&mut self, event: ImageEvent) -> Result<(), Stopped> {
        self.sink.emit(match event {
            ImageEvent::Step { step, steps } => {
                self.steps = steps;
                ImageEvent::Step { step: self.part * steps + step, steps: self.count * steps }
            }
            ImageEvent::Preview { index, step, jpeg } => {
                let step = self.part * self.steps + step;
                ImageEvent::Preview { index: self.first + index, step, jpeg }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use shared::node::image::{ImageFormat, SchedulerKind};

    use super::*;

    fn job(num_images: u32) -> ImageJob {
        ImageJob {
            prompt: "a fish".into(),
            negative_prompt: String::new(),
            width: 64,
            height: 64,
            steps: 2,
            guidance: 1.0,
            seed: 7,
            scheduler: SchedulerKind::Ddim,
            num_images,
            format: ImageFormat::Png,
            quality: None,
            images: Vec::new(),
            strength: 1.0,
            previews: 1,
            metadata: true,
        }
    }

    #[derive(Default)]
    struct Heard(Vec<ImageEvent>);

    impl Sink<ImageEvent> for Heard {
        fn emit(&mut self, event: ImageEvent) -> Result<(), Stopped> {
            self.0.push(event);
            Ok(())
        }
    }

    #[test]
    fn every_picture_is_in_one_part_with_its_own_seed() {
        for (pictures, at_once, expected) in [
            (1, 4, &[(1, 7)][..]),
            (4, 4, &[(4, 7)]),
            (5, 4, &[(2, 7), (3, 9)]),
            (8, 3, &[(2, 7), (3, 9), (3, 12)]),
            (2, 0, &[(1, 7), (1, 8)]),
        ] {
            let parts: Vec<(u32, u64)> = parts_of(job(pictures), at_once)
                .iter()
                .map(|part| (part.num_images, part.seed))
                .collect();
            assert_eq!(parts, expected);
        }
    }

    #[test]
    fn parts_tell_of_themselves_as_one_run() {
        let mut heard = Heard::default();
        let ended = run_parts(parts_of(job(3), 2), &mut heard, |part, sink| {
            for step in 1..=part.steps {
                sink.emit(ImageEvent::Step { step, steps: part.steps })?;
            }
            for index in 0..part.num_images {
                sink.emit(ImageEvent::Preview { index, step: part.steps, jpeg: Vec::new() })?;
            }
            let picture = |index| EncodedImage {
                bytes: Vec::new(),
                content_type: "image/png",
                width: part.width,
                height: part.height,
                seed: part.seed_of(index),
            };
            Ok((0..part.num_images).map(picture).collect())
        });
        let seeds: Vec<u64> = ended.unwrap().iter().map(|picture| picture.seed).collect();
        assert_eq!(seeds, [7, 8, 9]);
        let step = |step| ImageEvent::Step { step, steps: 4 };
        let preview = |index, step| ImageEvent::Preview { index, step, jpeg: Vec::new() };
        let expected =
            [step(1), step(2), preview(0, 2), step(3), step(4), preview(1, 4), preview(2, 4)];
        assert_eq!(heard.0, expected);
    }
}
