//! Every family: jobs with words, seeds, guidance and pictures of their own.

use std::{fs, path::Path};

use gpu_node::engines::{
    Engine,
    image::{
        ImageJob,
        flux1::Flux1,
        flux2::Flux2Klein,
        pipeline::{LatentModel, PipelineOptions},
        sd3::StableDiffusion3,
        stable_diffusion::StableDiffusion,
        z_image::ZImage,
    },
};
use image::{Rgb, RgbImage};
use serde_json::json;
use shared::node::image::SchedulerKind;
use tempfile::TempDir;

use super::support::{Bench, Fault, Heard, job, tiny};

/// Longer than any of the others, also in tokens.
const LONG: &str = "a very long row of small blue houses on the left of a wide river, seen from a high bridge \
                    in the early light, with many red boats, two old men and one black dog under the trees";

/// Runs the jobs in one pass and each by itself, and then with rows mixed up, which must be noticed.
fn check<M: LatentModel>(
    folder: &Path,
    load: fn(&Path, &PipelineOptions) -> candle_core::Result<M>,
    jobs: [ImageJob; 3],
) {
    let mut bench = Bench::new(folder, load);
    assert!(bench.pipeline.joins(&[&jobs[0]], &jobs[1]), "{jobs:?}");
    assert!(bench.pipeline.joins(&[&jobs[0], &jobs[1]], &jobs[2]), "{jobs:?}");
    let alone = bench.alone(&jobs);
    let heard = bench.together(&jobs, Fault::None, Heard::default());
    let pictures: usize = jobs.iter().map(|job| job.num_images as usize).sum();
    assert_eq!(bench.batches(), vec![pictures; jobs[0].steps as usize]);
    for (place, (pictures, events)) in alone.iter().enumerate() {
        assert_eq!(heard.pictures(place), pictures, "job {place} got something else");
        assert_eq!(&heard.events(place), events);
    }

    let jobs = jobs.map(|job| ImageJob { num_images: 1, seed: 7, ..job });
    let alone = bench.alone(&jobs);
    for fault in [Fault::SwapsOutputs, Fault::SwapsWords] {
        let heard = bench.together(&jobs, fault, Heard::default());
        for place in [0, 2] {
            let found = &heard.pictures(place)[0].bytes;
            assert_ne!(found, &alone[place].0[0].bytes, "{fault:?} of job {place} goes unnoticed");
        }
    }
}

#[test]
fn stable_diffusion() {
    let base = ImageJob { scheduler: SchedulerKind::Ddim, ..job("a red fish on the left", 7) };
    for scheduler in [SchedulerKind::EulerAncestral, SchedulerKind::DpmppMultistep] {
        let jobs = [
            ImageJob { previews: 1, ..base.clone() },
            // Without guidance, and so once in the batch where the others are twice.
            ImageJob {
                prompt: LONG.into(),
                guidance: 1.0,
                num_images: 2,
                seed: 40,
                ..base.clone()
            },
            ImageJob {
                negative_prompt: "the blue".into(),
                guidance: 3.0,
                previews: 2,
                ..base.clone()
            },
        ];
        for model in ["stable-diffusion", "stable-diffusion-xl"] {
            let jobs = jobs.clone().map(|job| ImageJob { scheduler, ..job });
            check(&tiny(model), StableDiffusion::load, jobs);
        }
    }
}

#[test]
fn stable_diffusion_3() {
    let base = ImageJob { width: 28, height: 20, ..job("a red fish on the left", 7) };
    let jobs = [
        ImageJob { previews: 1, ..base.clone() },
        ImageJob { prompt: LONG.into(), guidance: 1.0, num_images: 2, seed: 40, ..base.clone() },
        ImageJob {
            prompt: "blue house".into(),
            negative_prompt: "red".into(),
            guidance: 3.0,
            ..base
        },
    ];
    check(&tiny("stable-diffusion-3"), StableDiffusion3::load, jobs);
}

/// FLUX.1 as schnell is published.
fn schnell() -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let from = tiny("flux-1");
    fs::copy(from.join("model_index.json"), copy.path().join("model_index.json")).unwrap();
    for (published, part) in [
        ("scheduler_schnell", "scheduler"),
        ("text_encoder", "text_encoder"),
        ("text_encoder_2", "text_encoder_2"),
        ("tokenizer", "tokenizer"),
        ("tokenizer_2", "tokenizer_2"),
        ("transformer_schnell", "transformer"),
        ("vae", "vae"),
    ] {
        copy_part(&from.join(published), &copy.path().join(part));
    }
    copy
}

fn copy_part(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn flux_1_dev_and_schnell() {
    let base = ImageJob { width: 28, height: 20, guidance: 3.5, ..job("a red fish", 7) };
    let jobs = [
        ImageJob { previews: 1, ..base.clone() },
        ImageJob { prompt: LONG.into(), guidance: 1.5, num_images: 2, seed: 40, ..base.clone() },
        ImageJob { prompt: "blue house".into(), guidance: 7.0, ..base },
    ];
    check(&tiny("flux-1"), Flux1::load, jobs.clone());
    check(schnell().path(), Flux1::load, jobs);
}

#[test]
fn z_image_with_and_without_guidance() {
    let base = ImageJob { width: 48, height: 80, guidance: 0.0, ..job("a red fish", 7) };
    let jobs = [
        ImageJob { previews: 1, ..base.clone() },
        ImageJob { prompt: "two blue houses".into(), num_images: 2, seed: 40, ..base.clone() },
        ImageJob { prompt: "the river".into(), ..base },
    ];
    check(&tiny("z-image"), ZImage::load, jobs.clone());

    // What to steer away from may have any length, and one job is not steered: captions of one length run together.
    let [first, second, third] = jobs;
    let jobs = [
        ImageJob { guidance: 3.5, negative_prompt: LONG.into(), ..first },
        ImageJob { guidance: 0.0, ..second },
        ImageJob { guidance: 2.0, negative_prompt: "blue".into(), ..third },
    ];
    check(&tiny("z-image"), ZImage::load, jobs);
}

#[test]
fn captions_of_other_lengths_stay_apart_and_are_right_in_one_pass_too() {
    let mut bench = Bench::new(&tiny("z-image"), ZImage::load);
    let base = ImageJob { width: 48, height: 80, guidance: 2.0, ..job("a red fish", 7) };
    let jobs = [
        base.clone(),
        ImageJob { prompt: LONG.into(), seed: 40, ..base.clone() },
        ImageJob { prompt: "the river".into(), seed: 3, ..base },
    ];
    assert!(!bench.pipeline.joins(&[&jobs[0]], &jobs[1]));
    assert!(bench.pipeline.joins(&[&jobs[0]], &jobs[2]));
    let alone = bench.alone(&jobs);
    let heard = bench.together(&jobs, Fault::None, Heard::default());
    for (place, (pictures, _)) in alone.iter().enumerate() {
        assert_eq!(heard.pictures(place), pictures);
    }
}

/// FLUX.2-klein as it was before its distillation: it takes a guidance.
fn undistilled() -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for part in ["scheduler", "text_encoder", "tokenizer", "transformer", "vae"] {
        copy_part(&tiny("flux-2").join(part), &copy.path().join(part));
    }
    let index = json!({ "_class_name": "Flux2KleinPipeline", "is_distilled": false });
    fs::write(copy.path().join("model_index.json"), index.to_string()).unwrap();
    copy
}

#[test]
fn flux_2_distilled_and_not() {
    let base = ImageJob { width: 48, height: 80, guidance: 4.0, steps: 2, ..job("a red fish", 7) };
    let jobs = [
        ImageJob { previews: 1, ..base.clone() },
        ImageJob { prompt: LONG.into(), guidance: 1.0, num_images: 2, seed: 40, ..base.clone() },
        ImageJob {
            prompt: "blue house".into(),
            negative_prompt: "red".into(),
            guidance: 2.0,
            ..base
        },
    ];
    check(undistilled().path(), Flux2Klein::load, jobs.clone());
    let unsteered = |job| ImageJob { negative_prompt: String::new(), ..job };
    check(&tiny("flux-2"), Flux2Klein::load, jobs.map(unsteered));
}

#[test]
fn edits_stay_apart_and_are_right_in_one_pass_too() {
    let mut bench = Bench::new(&tiny("flux-2"), Flux2Klein::load);
    let picture = |width| RgbImage::from_fn(width, 64, |x, y| Rgb([x as u8, 3 * y as u8, 90]));
    let base = ImageJob { width: 48, height: 80, steps: 2, ..job("a red fish", 7) };
    let jobs = [
        ImageJob { images: vec![picture(64)], ..base.clone() },
        ImageJob { images: vec![picture(96), picture(64)], ..base.clone() },
        base,
    ];
    for (one, other) in [(0, 1), (0, 2), (2, 0)] {
        assert!(!bench.pipeline.joins(&[&jobs[one]], &jobs[other]));
    }
    let alone = bench.alone(&jobs);
    let heard = bench.together(&jobs, Fault::None, Heard::default());
    for (place, (pictures, _)) in alone.iter().enumerate() {
        assert_eq!(heard.pictures(place), pictures);
    }
}

#[test]
fn runs_from_pictures_join_when_they_go_equally_far() {
    let picture = |red| RgbImage::from_fn(40, 16, |x, y| Rgb([red, x as u8 * 6, y as u8 * 15]));
    let base = ImageJob {
        images: vec![picture(20)],
        strength: 0.7,
        steps: 5,
        scheduler: SchedulerKind::EulerAncestral,
        ..job("a red fish", 7)
    };
    let jobs = [
        base.clone(),
        ImageJob { images: vec![picture(200)], seed: 40, num_images: 2, ..base.clone() },
        ImageJob { prompt: "blue house".into(), guidance: 1.0, ..base.clone() },
    ];
    let mut bench = Bench::new(&tiny("stable-diffusion"), StableDiffusion::load);
    assert!(bench.pipeline.joins(&[&jobs[0], &jobs[1]], &jobs[2]));
    for other in
        [ImageJob { strength: 0.5, ..base.clone() }, ImageJob { images: Vec::new(), ..base }]
    {
        assert!(!bench.pipeline.joins(&[&jobs[0]], &other), "{other:?}");
    }
    let alone = bench.alone(&jobs);
    let heard = bench.together(&jobs, Fault::None, Heard::default());
    assert_eq!(bench.batches(), [4, 4, 4]);
    for (place, (pictures, events)) in alone.iter().enumerate() {
        assert_eq!(heard.pictures(place), pictures);
        assert_eq!(&heard.events(place), events);
    }
}

#[test]
fn jobs_of_other_sizes_and_steps_stay_apart() {
    let bench = Bench::new(&tiny("stable-diffusion"), StableDiffusion::load);
    let base = ImageJob { scheduler: SchedulerKind::Ddim, ..job("a red fish", 7) };
    for other in [
        ImageJob { steps: 4, ..base.clone() },
        ImageJob { width: 32, ..base.clone() },
        ImageJob { height: 24, ..base.clone() },
        ImageJob { scheduler: SchedulerKind::Euler, ..base.clone() },
        ImageJob { num_images: 8, ..base.clone() },
    ] {
        assert!(!bench.pipeline.joins(&[&base], &other), "{other:?}");
    }
    assert!(bench.pipeline.joins(&[&base], &ImageJob { num_images: 7, ..base.clone() }));
}
