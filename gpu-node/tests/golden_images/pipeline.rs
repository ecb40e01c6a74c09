//! How runs of a pipeline behave: batches, threads, pictures to start from, previews, cancellation.

use gpu_node::engines::{
    Engine, EngineError,
    image::{ImageEvent, ImageJob, pipeline::Pipeline, stable_diffusion::StableDiffusion},
};
use image::{Rgb, RgbImage};
use shared::node::image::{ImageFormat, SchedulerKind};

use crate::{
    stable_diffusion::{pictures, pipeline, tiny},
    support::{Events, job, options},
};

#[test]
fn a_picture_is_the_same_again_alone_and_in_a_batch() {
    let mut engine = pipeline();
    for scheduler in [SchedulerKind::Ddim, SchedulerKind::EulerAncestral] {
        let batch = ImageJob { num_images: 3, scheduler, ..job() };
        let pictures = engine.run(batch.clone(), &mut Events::all()).unwrap();
        assert_eq!(pictures, engine.run(batch, &mut Events::all()).unwrap());
        assert_eq!(pictures.iter().map(|picture| picture.seed).collect::<Vec<_>>(), [7, 8, 9]);
        let alone = ImageJob { seed: 9, scheduler, ..job() };
        assert_eq!(engine.run(alone, &mut Events::all()).unwrap(), pictures[2..]);
        assert_ne!(pictures[0].bytes, pictures[1].bytes);
    }
}

#[test]
fn words_without_effect_are_refused_and_numbers_are_not_recorded() {
    let mut engine = pipeline();
    let unguided = ImageJob { guidance: 1.0, ..job() };
    assert!(!engine.joins(&[&unguided], &unguided));
    let outcome = engine.run(unguided.clone(), &mut Events::all());
    let Err(EngineError::InvalidInput(text)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(text, "a negative prompt changes nothing at a guidance of 1");
    let unguided = ImageJob { negative_prompt: String::new(), ..unguided };
    assert!(engine.joins(&[&unguided], &unguided));
    for (job, is_said) in [(unguided, false), (job(), true)] {
        let pictures = engine.run(job, &mut Events::all()).unwrap();
        let file = String::from_utf8_lossy(&pictures[0].bytes).into_owned();
        assert_eq!(file.contains("\"guidance\""), is_said);
    }
}

#[test]
fn more_pictures_than_are_computed_at_once_are_the_same_pictures() {
    let mut whole = pipeline();
    let mut parts = pipeline().with_pixels_max(2 * 24 * 16);
    let start = RgbImage::from_pixel(24, 16, Rgb([200, 40, 90]));
    for images in [Vec::new(), vec![start]] {
        let many =
            ImageJob { num_images: 5, images, strength: 0.8, steps: 4, previews: 1, ..job() };
        let mut heard = Events::all();
        let pictures = parts.run(many.clone(), &mut heard).unwrap();
        assert_eq!(pictures, whole.run(many.clone(), &mut Events::all()).unwrap());
        let steps: Vec<(u32, u32)> = heard
            .seen
            .iter()
            .filter_map(|event| match event {
                ImageEvent::Step { step, steps } => Some((*step, *steps)),
                ImageEvent::Preview { .. } => None,
            })
            .collect();
        let count = steps.len() as u32;
        assert!(
            count.is_multiple_of(3)
                && steps.iter().copied().eq((1..=count).map(|step| (step, count)))
        );
        let previews = heard.seen.iter().filter(|e| matches!(e, ImageEvent::Preview { .. }));
        assert_eq!(previews.count(), 5);
        assert!(!parts.joins(&[&job()], &many) && !parts.joins(&[&many], &job()));
    }
    let alone = ImageJob { num_images: 2, ..job() };
    assert!(parts.joins(&[&job()], &alone));
}

#[test]
fn a_picture_does_not_depend_on_the_number_of_threads() {
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| pipeline().run(job(), &mut Events::all()).unwrap())
    };
    assert_eq!(run(1), run(5));
}

#[test]
fn every_scheduler_and_format_gives_a_picture_of_the_asked_size() {
    let mut engine = pipeline();
    for scheduler in [
        SchedulerKind::Ddim,
        SchedulerKind::Euler,
        SchedulerKind::EulerAncestral,
        SchedulerKind::DpmppMultistep,
    ] {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Webp] {
            let job = ImageJob { scheduler, format, steps: 3, ..job() };
            let pictures = engine.run(job, &mut Events::all()).unwrap();
            let picture = image::load_from_memory(&pictures[0].bytes).unwrap();
            assert_eq!((picture.width(), picture.height()), (24, 16));
        }
    }
}

#[test]
fn a_run_stops_at_the_step_where_nobody_listens_any_more() {
    let mut events = Events { seen: Vec::new(), stop_after: 2 };
    let outcome = pipeline().run(ImageJob { steps: 9, ..job() }, &mut events);
    assert!(matches!(outcome, Err(EngineError::Cancelled)));
    assert_eq!(events.steps(), [(1, 9), (2, 9)]);
}

#[test]
fn a_run_from_a_picture_leaves_out_the_first_steps() {
    let picture = RgbImage::from_fn(40, 16, |x, y| Rgb([x as u8 * 6, y as u8 * 15, 90]));
    let from = |strength: f64| ImageJob {
        images: vec![picture.clone()],
        strength,
        steps: 5,
        num_images: 2,
        ..job()
    };
    let mut events = Events::all();
    let run = |strength, events: &mut Events| pipeline().run(from(strength), events).unwrap();
    let near = run(0.5, &mut events);
    assert_eq!(events.steps(), [(1, 2), (2, 2)]);
    assert_ne!(near[0].bytes, near[1].bytes);
    let alone = ImageJob { seed: 8, num_images: 1, ..from(0.5) };
    assert_eq!(pictures(alone)[0].bytes, near[1].bytes);
    let mut events = Events::all();
    assert_ne!(run(1.0, &mut events)[0].bytes, near[0].bytes);
    assert_eq!(events.steps().len(), 5);
    let mut events = Events::all();
    run(0.0, &mut events);
    assert!(events.seen.is_empty());

    let outcome = pipeline().run(from(0.1), &mut Events::all());
    let Err(EngineError::InvalidInput(text)) = outcome else { panic!("no step is left") };
    assert_eq!(text, "strength 0.1 of 5 steps leaves no step to run: it needs at least 10 steps");
}

#[test]
fn a_model_that_starts_from_words_refuses_a_picture() {
    let options = options();
    let none = gpu_node::engines::image::pipeline::PipelineOptions { input_images: 0, ..options };
    let mut engine = Pipeline::new(StableDiffusion::load(&tiny(), &none).unwrap(), none);
    let job = ImageJob { images: vec![RgbImage::new(8, 8)], ..job() };
    let outcome = engine.run(job, &mut Events::all());
    assert!(matches!(outcome, Err(EngineError::InvalidInput(_))));
}

#[test]
fn previews_come_between_the_steps_for_each_picture_and_change_nothing() {
    for scheduler in [
        SchedulerKind::Ddim,
        SchedulerKind::Euler,
        SchedulerKind::EulerAncestral,
        SchedulerKind::DpmppMultistep,
    ] {
        let job = ImageJob { steps: 6, num_images: 2, scheduler, ..job() };
        let mut events = Events::all();
        let with = pipeline().run(ImageJob { previews: 2, ..job.clone() }, &mut events).unwrap();
        let seen: Vec<(u32, u32)> = events
            .seen
            .iter()
            .filter_map(|event| match event {
                ImageEvent::Preview { index, step, jpeg } => {
                    let preview = image::load_from_memory(jpeg).unwrap();
                    assert_eq!((preview.width(), preview.height()), (24, 16));
                    Some((*step, *index))
                }
                ImageEvent::Step { .. } => None,
            })
            .collect();
        assert_eq!(seen, [(2, 0), (2, 1), (4, 0), (4, 1)]);
        assert_eq!(with, pictures(job));
    }
}

#[test]
fn a_size_the_model_cannot_make_is_the_callers_mistake() {
    let outcome = pipeline().run(ImageJob { width: 22, ..job() }, &mut Events::all());
    let Err(EngineError::InvalidInput(text)) = outcome else { panic!("22 is no multiple of 4") };
    assert_eq!(text, "width and height must be multiples of 4, not 22");
}
