//! What another picture in a pass takes is what the models say it takes, by a count of all that is allocated.
#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that is wrong")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use candle_core::{DType, Device, Tensor};
use gpu_node::engines::image::{
    ImageJob,
    flux1::Flux1,
    flux2::Flux2Klein,
    pipeline::{LatentModel, Noisy, PipelineOptions},
    sd3::StableDiffusion3,
    stable_diffusion::StableDiffusion,
    z_image::ZImage,
};
use shared::node::image::{ImageFormat, SchedulerKind};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[allow(unsafe_code, reason = "only an allocator sees what is allocated")]
// SAFETY: everything is left to the system's allocator; the counters change nothing of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The most that one step of so many pictures has allocated at once.
fn step_bytes<M: LatentModel>(model: &M, job: &ImageJob) -> usize {
    let native = [job.height as usize, job.width as usize];
    let condition = model.condition(job, native).unwrap();
    let [channels, height, width] = model.latent_dims(native[0], native[1]);
    let dims = (job.num_images as usize, channels, height, width);
    let latents = Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    model.predict(500.0, &[Noisy { latents, condition: &condition }]).unwrap();
    MOST.load(Ordering::Relaxed) - before
}

fn check<M: LatentModel>(
    name: &str,
    load: fn(&Path, &PipelineOptions) -> candle_core::Result<M>,
    guidance: f64,
) {
    let options = PipelineOptions {
        model: name.into(),
        revision: "memory".into(),
        upscale: 1,
        input_images: 0,
        device: Device::Cpu,
        dtype: DType::F32,
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny").join(name);
    let model = load(&folder, &options).unwrap();
    let job = ImageJob {
        prompt: "a red fish on the left".into(),
        negative_prompt: String::new(),
        width: 48,
        height: 48,
        steps: 1,
        guidance,
        seed: 7,
        scheduler: SchedulerKind::FlowMatchEuler,
        num_images: 1,
        format: ImageFormat::Png,
        quality: None,
        images: Vec::new(),
        strength: 1.0,
        previews: 0,
        metadata: false,
    };
    // The first step of a process also fills what lives on.
    step_bytes(&model, &job);
    let (one, five) = (step_bytes(&model, &job), {
        let job = ImageJob { num_images: 5, ..job.clone() };
        step_bytes(&model, &job)
    });
    let taken = five.saturating_sub(one) / 4;
    let said = model.picture_bytes(&job, model.latent_dims(48, 48)) as usize;
    eprintln!("{name}, guidance {guidance}: {taken} bytes a picture, said to be {said}");
    assert!(said >= taken, "{name} takes {taken} bytes a picture and says {said}");
    assert!(said <= 5 * taken, "{name} takes {taken} bytes a picture and says {said}");
}

/// One test, because the count is the whole process's.
#[test]
fn another_picture_takes_no_more_than_the_model_says() {
    for guidance in [1.0, 5.0] {
        check("stable-diffusion", StableDiffusion::load, guidance);
        check("stable-diffusion-xl", StableDiffusion::load, guidance);
        check("stable-diffusion-3", StableDiffusion3::load, guidance);
    }
    check("flux-1", Flux1::load, 3.5);
    for guidance in [0.0, 3.0] {
        check("z-image", ZImage::load, guidance);
    }
    check("flux-2", Flux2Klein::load, 1.0);
}
