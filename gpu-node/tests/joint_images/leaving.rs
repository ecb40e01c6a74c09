//! Jobs that leave a pass before its end, by their callers' wish or by their own fault.

use gpu_node::engines::{
    Engine, EngineError,
    image::{
        ImageEvent, ImageJob, flux1::Flux1, sd3::StableDiffusion3,
        stable_diffusion::StableDiffusion, z_image::ZImage,
    },
};
use shared::node::image::SchedulerKind;

use super::support::{Bench, Fault, Heard, job, tiny};

fn jobs() -> [ImageJob; 3] {
    let base = ImageJob {
        // Draws noise at each step and keeps nothing, where the next one remembers the step before.
        scheduler: SchedulerKind::EulerAncestral,
        steps: 5,
        ..job("a red fish on the left", 7)
    };
    [
        base.clone(),
        ImageJob { prompt: "blue house".into(), num_images: 2, seed: 40, ..base.clone() },
        ImageJob { negative_prompt: "the red".into(), guidance: 2.0, seed: 3, ..base },
    ]
}

fn stable_diffusion() -> Bench<StableDiffusion> {
    Bench::new(&tiny("stable-diffusion"), StableDiffusion::load)
}

#[test]
fn a_job_that_nobody_wants_leaves_the_batch_and_its_neighbours_as_they_were() {
    let mut bench = stable_diffusion();
    for scheduler in [SchedulerKind::EulerAncestral, SchedulerKind::DpmppMultistep] {
        let jobs = jobs().map(|job| ImageJob { scheduler, previews: 1, ..job });
        let alone = bench.alone(&jobs);
        for (gone, pictures, left) in [(0, 4, 3), (1, 4, 2), (2, 4, 3)] {
            let heard = Heard { stop: Some((gone, 2)), ..Heard::default() };
            let heard = bench.together(&jobs, Fault::None, heard);
            assert_eq!(bench.batches(), [pictures, pictures, left, left, left]);
            assert!(matches!(heard.failure(gone), EngineError::Cancelled));
            for place in [0, 1, 2].into_iter().filter(|place| *place != gone) {
                assert_eq!(heard.pictures(place), alone[place].0, "{gone} took {place} along");
                assert_eq!(heard.events(place), alone[place].1);
            }
            // Its end comes before anybody's third step.
            let end = heard.log.iter().position(|told| *told == (gone, None)).unwrap();
            let is_third = |event: &Option<ImageEvent>| {
                matches!(event, Some(ImageEvent::Step { step: 3, .. }))
            };
            let third = heard.log.iter().position(|(_, event)| is_third(event)).unwrap();
            assert!(end < third);
            assert_eq!(heard.log.iter().rposition(|(place, _)| *place == gone).unwrap(), end);
        }
    }
}

#[test]
fn neighbours_of_other_families_go_on_too() {
    fn check<M: gpu_node::engines::image::pipeline::LatentModel>(
        mut bench: Bench<M>,
        base: ImageJob,
    ) {
        let jobs = [
            base.clone(),
            ImageJob { prompt: "blue house".into(), seed: 40, ..base.clone() },
            ImageJob { prompt: "the river".into(), seed: 3, ..base },
        ];
        let alone = bench.alone(&jobs);
        let heard = Heard { stop: Some((1, 1)), ..Heard::default() };
        let heard = bench.together(&jobs, Fault::None, heard);
        assert!(matches!(heard.failure(1), EngineError::Cancelled));
        assert_eq!(bench.batches(), [3, 2, 2]);
        for place in [0, 2] {
            assert_eq!(heard.pictures(place), alone[place].0);
        }
    }
    let small = ImageJob { width: 28, height: 20, ..job("a red fish", 7) };
    check(Bench::new(&tiny("stable-diffusion-3"), StableDiffusion3::load), small.clone());
    check(Bench::new(&tiny("flux-1"), Flux1::load), small.clone());
    let large = ImageJob { width: 48, height: 80, guidance: 2.0, ..small };
    check(Bench::new(&tiny("z-image"), ZImage::load), large);
}

#[test]
fn a_pass_ends_when_nobody_is_left() {
    let mut bench = stable_diffusion();
    let [first, ..] = jobs();
    let heard = Heard { stop: Some((0, 2)), ..Heard::default() };
    let heard = bench.together(&[first], Fault::None, heard);
    assert!(matches!(heard.failure(0), EngineError::Cancelled));
    assert_eq!(bench.batches(), [1, 1]);
}

#[test]
fn what_a_job_asks_too_much_is_its_own_matter() {
    let mut bench = Bench::new(&tiny("flux-1"), Flux1::load);
    let base = ImageJob { width: 28, height: 20, ..job("a red fish", 7) };
    let jobs = [
        base.clone(),
        ImageJob { negative_prompt: "blue".into(), ..base.clone() },
        ImageJob { prompt: "blue house".into(), ..base },
    ];
    let heard = bench.together(&jobs, Fault::None, Heard::default());
    let EngineError::InvalidInput(text) = heard.failure(1) else {
        panic!("it has a negative prompt")
    };
    assert!(text.contains("no negative prompt"), "{text}");
    assert_eq!(heard.log[0], (1, None), "its caller need not wait for the others");
    let good = [jobs[0].clone(), jobs[2].clone()];
    let alone = bench.alone(&good);
    assert_eq!((heard.pictures(0), heard.pictures(2)), (&*alone[0].0, &*alone[1].0));
}

#[test]
fn numbers_that_go_astray_fail_their_own_job_alone() {
    let mut bench = stable_diffusion();
    let jobs = jobs();
    let alone = bench.alone(&jobs);
    let heard = bench.together(&jobs, Fault::LosesItsNumbers(1), Heard::default());
    assert!(heard.failure(1).to_string().contains("no longer finite"), "{}", heard.failure(1));
    for place in [0, 2] {
        assert_eq!(heard.pictures(place), alone[place].0);
    }
}

#[test]
fn a_batch_that_does_not_fit_is_computed_in_parts() {
    let mut bench = stable_diffusion();
    let jobs = jobs();
    let alone = bench.alone(&jobs);
    let heard = bench.together(&jobs, Fault::HoldsAtMost(3), Heard::default());
    assert_eq!(bench.batches()[..3], [4, 3, 1], "four do not fit, and then the parts do");
    assert_eq!(bench.batches()[3..], [[3, 1]; 4].concat(), "and nobody tries four again");
    for (place, (pictures, events)) in alone.iter().enumerate() {
        assert_eq!(heard.pictures(place), pictures);
        assert_eq!(&heard.events(place), events);
    }
}

#[test]
fn a_job_that_does_not_even_fit_alone_takes_nobody_with_it() {
    let mut bench = stable_diffusion();
    let jobs = jobs();
    let alone = bench.alone(&jobs);
    let heard = bench.together(&jobs, Fault::HoldsAtMost(1), Heard::default());
    assert!(matches!(heard.failure(1), EngineError::OutOfMemory(_)), "{:?}", heard.failure(1));
    for place in [0, 2] {
        assert_eq!(heard.pictures(place), alone[place].0);
    }
}

#[test]
fn a_job_with_other_steps_is_refused_by_the_pass_it_was_put_in() {
    let mut bench = stable_diffusion();
    let [first, second, third] = jobs();
    let jobs = [first, ImageJob { steps: 4, ..second }, ImageJob { width: 32, ..third }];
    let heard = bench.together(&jobs, Fault::None, Heard::default());
    assert!(matches!(heard.failure(1), EngineError::Failed(_)));
    assert!(matches!(heard.failure(2), EngineError::Failed(_)));
    assert_eq!(heard.pictures(0), bench.alone(&jobs[..1])[0].0);
    assert!(!bench.pipeline.joins(&[&jobs[0]], &jobs[1]));
}
