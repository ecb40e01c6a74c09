//! Several jobs in one pass through candle's own operations, as on a card: there the bytes may differ, by how much is said here.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test ends at the first thing that is wrong, and uses its part"
)]

#[path = "joint_images/support.rs"]
mod support;

use std::path::Path;

use gpu_node::engines::{
    compute_as_on_a_card,
    image::{
        EncodedImage, ImageJob,
        flux1::Flux1,
        flux2::Flux2Klein,
        pipeline::{LatentModel, PipelineOptions},
        sd3::StableDiffusion3,
        stable_diffusion::StableDiffusion,
        z_image::ZImage,
    },
};
use shared::node::image::SchedulerKind;
use support::{Bench, Fault, Heard, job, tiny};

fn pixels(pictures: &[EncodedImage]) -> Vec<u8> {
    image::load_from_memory(&pictures[0].bytes).unwrap().into_rgb8().into_raw()
}

/// The largest difference of a pixel between a pass of three and each alone, and how many of all pixels differ.
fn check<M: LatentModel>(
    model: &str,
    load: fn(&Path, &PipelineOptions) -> candle_core::Result<M>,
    base: ImageJob,
) {
    let mut bench = Bench::new(&tiny(model), load);
    let jobs = [
        base.clone(),
        ImageJob { prompt: "blue house".into(), seed: 40, ..base.clone() },
        ImageJob { prompt: "the river".into(), seed: 3, ..base },
    ];
    let alone = bench.alone(&jobs);
    let heard = bench.together(&jobs, Fault::None, Heard::default());
    let (mut most, mut differing, mut all) = (0, 0, 0);
    for (place, (expected, _)) in alone.iter().enumerate() {
        for (found, expected) in pixels(heard.pictures(place)).into_iter().zip(pixels(expected)) {
            let difference = found.abs_diff(expected);
            most = most.max(difference);
            (differing, all) = (differing + usize::from(difference > 0), all + 1);
        }
    }
    eprintln!("{model}: {differing} of {all} bytes differ, by {most} at most");
    assert!(most <= 1, "{model}: a pixel of a joint pass is off by {most}");
}

/// One test, because the choice holds for the whole process.
#[test]
fn a_pass_of_three_is_within_one_step_of_a_pixel_of_each_alone() {
    compute_as_on_a_card();
    let small = ImageJob { width: 28, height: 20, ..job("a red fish", 7) };
    let scheduler = SchedulerKind::Ddim;
    let of_unet = ImageJob { scheduler, width: 32, height: 32, ..small.clone() };
    check("stable-diffusion", StableDiffusion::load, of_unet.clone());
    check("stable-diffusion-xl", StableDiffusion::load, of_unet);
    check("stable-diffusion-3", StableDiffusion3::load, small.clone());
    check("flux-1", Flux1::load, small.clone());
    let large = ImageJob { width: 48, height: 80, ..small };
    check("z-image", ZImage::load, ImageJob { guidance: 2.0, ..large.clone() });
    check("flux-2", Flux2Klein::load, large);
}
