//! What the goldens of every image model share: checks, folders changed on purpose, a job and its events.

use std::{collections::HashMap, path::Path};

use candle_core::{Device, IndexOp, Tensor};
use gpu_node::engines::{
    Sink, Stopped,
    image::{
        ImageEvent, ImageJob,
        pipeline::{Denoising, LatentModel, Pipeline, PipelineOptions},
        stable_diffusion::{EncodedPrompt, StableDiffusion},
    },
};
use serde_json::Value;
use shared::node::image::{ImageFormat, SchedulerKind};
use tempfile::TempDir;

pub(crate) use crate::golden::{
    Golden, TOLERANCE, assert_close, assert_far, assert_far_in_f32, difference, given, golden,
    place, tiny,
};

/// One JSON file beside the goldens of a model.
pub(crate) fn golden_json(model: &str, name: &str) -> Value {
    let path = tiny(model).join("golden").join(format!("{name}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A copy of one folder with its weights passed through `change`.
pub(crate) fn with_weights(
    folder: &Path,
    change: impl Fn(&mut HashMap<String, Tensor>),
) -> TempDir {
    let copy = copied(folder);
    for entry in std::fs::read_dir(copy.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            let mut weights = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
            change(&mut weights);
            candle_core::safetensors::save(&weights, &path).unwrap();
        }
    }
    copy
}

/// Two equal parts of a layer's outputs, swapped.
pub(crate) fn swapped(weights: &mut HashMap<String, Tensor>, layer: &str, parts: [usize; 3]) {
    let [first, second, count] = parts;
    for kind in ["weight", "bias"] {
        let name = format!("{layer}.{kind}");
        let Some(tensor) = weights.get(&name) else { continue };
        let mut chunks = tensor.chunk(count, 0).unwrap();
        chunks.swap(first, second);
        let tensor = Tensor::cat(&chunks, 0).unwrap();
        weights.insert(name, tensor);
    }
}

/// A copy of one folder with one setting of its configuration changed.
pub(crate) fn with_setting(folder: &Path, key: &str, value: Value) -> TempDir {
    let copy = copied(folder);
    set(&copy.path().join("config.json"), key, value);
    copy
}

/// A copy of a whole model with one setting of one file (`scheduler/scheduler_config.json`) changed.
pub(crate) fn changed(model: &Path, file: &str, key: &str, value: Value) -> TempDir {
    let copy = whole_copy(model);
    set(&copy.path().join(file), key, value);
    copy
}

/// A copy of a whole model: its files and those of its parts.
pub(crate) fn whole_copy(model: &Path) -> TempDir {
    let copy = copied(model);
    for part in std::fs::read_dir(model).unwrap() {
        let part = part.unwrap();
        if part.path().is_dir() {
            let target = copy.path().join(part.file_name());
            std::fs::create_dir(&target).unwrap();
            copy_files(&part.path(), &target);
        }
    }
    copy
}

fn set(path: &Path, key: &str, value: Value) {
    let mut config: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    config[key] = value;
    std::fs::write(path, config.to_string()).unwrap();
}

fn copied(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_files(folder, copy.path());
    copy
}

fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Where this run computes, and room for one picture to start from.
pub(crate) fn options() -> PipelineOptions {
    PipelineOptions {
        model: "tiny".into(),
        revision: "golden".into(),
        upscale: 1,
        input_images: 1,
        device: place().device.clone(),
        dtype: place().dtype,
    }
}

/// Two steps of DDIM for one picture.
pub(crate) fn job() -> ImageJob {
    ImageJob {
        prompt: "a red fish on the left".into(),
        negative_prompt: "blue".into(),
        width: 24,
        height: 16,
        steps: 2,
        guidance: 5.0,
        seed: 7,
        scheduler: SchedulerKind::Ddim,
        num_images: 1,
        format: ImageFormat::Png,
        quality: None,
        images: Vec::new(),
        strength: 1.0,
        previews: 0,
        metadata: true,
    }
}

/// Remembers a run's events, and may stop it.
pub(crate) struct Events {
    pub(crate) seen: Vec<ImageEvent>,
    pub(crate) stop_after: u32,
}

impl Events {
    pub(crate) fn all() -> Self {
        Self { seen: Vec::new(), stop_after: u32::MAX }
    }

    /// The steps a run told of, and of how many.
    pub(crate) fn steps(&self) -> Vec<(u32, u32)> {
        let step = |event: &ImageEvent| match event {
            ImageEvent::Step { step, steps } => Some((*step, *steps)),
            ImageEvent::Preview { .. } => None,
        };
        self.seen.iter().filter_map(step).collect()
    }
}

impl Sink<ImageEvent> for Events {
    fn emit(&mut self, event: ImageEvent) -> Result<(), Stopped> {
        let stops = matches!(event, ImageEvent::Step { step, .. } if step >= self.stop_after);
        self.seen.push(event);
        if stops { Err(Stopped) } else { Ok(()) }
    }
}

/// Prompts of one batch, each for its own picture.
pub(crate) fn prompts(engine: &Pipeline<StableDiffusion>, words: [&str; 2]) -> EncodedPrompt {
    let encode = |words: &str| engine.model().prompts().encode(words).unwrap();
    EncodedPrompt::cat(&[&encode(words[0]), &encode(words[1])]).unwrap()
}

/// Five steps, less those that the strength leaves out, from the golden's pictures.
pub(crate) fn run_from_picture(
    engine: &Pipeline<StableDiffusion>,
    golden: &HashMap<String, Golden>,
    scheduler: SchedulerKind,
    strength: f64,
) -> Tensor {
    let towards = prompts(engine, ["a red fish on the left", "blue house"]);
    let away = prompts(engine, ["blue", "the red"]);
    let pictures = ((&*golden["picture"] * 2.0).unwrap() - 1.0).unwrap();
    // The reference draws for the encoder, the start, and then each step it runs.
    let draw = |index: u64| golden["noise"].i(index as usize);
    let left_out = 5 - (5.0 * strength) as u64;
    let noise = |step: u64| if step == 0 { draw(1) } else { draw(step - left_out + 1) };
    let job = ImageJob { steps: 5, strength, scheduler, ..job() };
    let denoising = Denoising {
        job: &job,
        condition: &engine.model().guided(&towards, Some((&away, 5.0)), [16, 24]).unwrap(),
        start: Some(engine.model().encode(&pictures, &draw(0).unwrap()).unwrap()),
        noise: &noise,
    };
    engine.denoise(&denoising, &mut Events::all()).unwrap()
}
