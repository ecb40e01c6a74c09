//! Times the parts of an image model, and a lane whose requests run apart or together.
//!
//! `image_speed parts FOLDER THREADS RUNS SIDE` prints milliseconds as `scripts/bench/image/diffusers_speed.py` does;
//! `image_speed lane MODELS_DIR THREADS` prints pictures a second of the embedded model. One JSON object each.

use std::{
    io::Write,
    path::Path,
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    time::Instant,
};

use anyhow::{Context, Result, anyhow, bail};
use candle_core::{DType, Device, Tensor};
use gpu_node::{
    engines::{
        Devices, EngineError,
        image::{
            EncodedImage, ImageEngine, ImageEvent, ImageJob, ModelDefaults, Vae,
            stable_diffusion::UNet,
        },
    },
    registry::{Registry, load_image_engine},
    scheduler::{Lane, LaneJob, LaneSettings, MemoryBudget, Metrics, Observer, Outcome, Place},
};
use serde_json::{Value, json};
use shared::{ids::JobId, node::image::ImageInput};

const REQUESTS: u8 = 8;
const ROUNDS: usize = 5;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let figures = match arguments[..] {
        ["parts", folder, threads, runs, side] => {
            use_threads(threads)?;
            parts(Path::new(folder), runs.parse()?, side.parse()?)?
        }
        ["lane", models_dir, threads] => {
            use_threads(threads)?;
            lane(Path::new(models_dir))?
        }
        _ => bail!("`parts FOLDER THREADS RUNS SIDE` or `lane MODELS_DIR THREADS` is missing"),
    };
    writeln!(std::io::stdout(), "{figures}")?;
    Ok(())
}

fn use_threads(threads: &str) -> Result<()> {
    Ok(rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn median_ms(runs: usize, call: impl Fn() -> candle_core::Result<Tensor>) -> Result<f64> {
    call()?;
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let begin = Instant::now();
        call()?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(times))
}

fn parts(folder: &Path, runs: usize, side: usize) -> Result<Value> {
    let (device, latent) = (Device::Cpu, side / 8);
    let normal = |dims: &[usize]| Tensor::randn(0.0_f32, 1.0, dims, &device);
    let (latents, text) = (normal(&[2, 4, latent, latent])?, normal(&[2, 77, 768])?);
    let unet = UNet::load(&folder.join("unet"), DType::F32, &device)?;
    let unet_ms = median_ms(runs, || unet.forward(&latents, 321.0, &text, None))?;
    drop(unet);
    let vae = Vae::load_decoder(&folder.join("vae"), DType::F32, &device)?;
    let one = latents.narrow(0, 0, 1)?;
    let vae_ms = median_ms(runs, || vae.decode(&one))?;
    Ok(json!({ "unet_ms": unet_ms, "vae_ms": vae_ms }))
}

/// Says that one more job has ended.
struct Bell(Sender<Result<(), String>>);

impl Observer<ImageEngine> for Bell {
    fn queued(&self, _: Place) {}
    fn started(&self) {}
    fn emitted(&self, _: ImageEvent) {}
    fn ended(&self, outcome: Outcome<Vec<EncodedImage>>) {
        let end = match outcome {
            Outcome::Completed { .. } => Ok(()),
            other => Err(other.name().to_owned()),
        };
        // Nobody listens any more only when the measurement has failed already.
        let _ = self.0.send(end);
    }
}

/// Pictures per second of jobs that wait for each other, and of jobs that wait together.
fn lane(models_dir: &Path) -> Result<Value> {
    let registry = Registry::open(models_dir)?;
    let manifest = registry.find("embedded-scene").context("no embedded-scene")?.clone();
    let defaults = manifest.defaults.image().context("it makes no images")?.clone();
    let settings = LaneSettings {
        model: manifest.name.clone(),
        capacity: REQUESTS.into(),
        memory_bytes: manifest.memory_bytes,
    };
    let (budget, metrics) = (Arc::new(MemoryBudget::new(None)), Arc::new(Metrics::default()));
    let load = Box::new(move || {
        load_image_engine(&manifest, &Devices::cpu())
            .map_err(|error| EngineError::Failed(error.to_string()))
    });
    let lane: Lane<ImageEngine> = Lane::start(settings, load, budget, metrics)?;
    run(&lane, &defaults, 1)?;
    let (mut apart, mut together) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        apart.push(run(&lane, &defaults, 1)?);
        together.push(run(&lane, &defaults, REQUESTS)?);
    }
    Ok(json!({ "apart": median(apart), "together": median(together) }))
}

/// Runs all requests, so many of them in the lane at once.
fn run(lane: &Lane<ImageEngine>, defaults: &ModelDefaults, at_once: u8) -> Result<f64> {
    let (sender, ended) = mpsc::channel::<Result<(), String>>();
    let wait = || ended.recv()?.map_err(|end| anyhow!("a job was {end}"));
    let begin = Instant::now();
    for number in 0..REQUESTS {
        if number >= at_once {
            wait()?;
        }
        let input = ImageInput::from_prompt(format!("{number} red stars over a forest"));
        let input = ImageJob::resolve(&input, defaults, number.into())
            .map_err(|errors| anyhow!("{errors:?}"))?;
        let observer = Arc::new(Bell(sender.clone()));
        let job = LaneJob { id: JobId::from_random([number; 16]), input, weight: 1.0, observer };
        lane.submit(job).map_err(|refused| anyhow!("{refused:?}"))?;
    }
    (0..at_once).try_for_each(|_| wait())?;
    Ok(f64::from(REQUESTS) / begin.elapsed().as_secs_f64())
}
