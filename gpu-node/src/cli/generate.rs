//! `gpu-node generate`: a prompt in, a picture in a file or a text on standard output, with no server.

use std::{path::PathBuf, time::Instant};

use anyhow::{Context, Result, anyhow, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use shared::node::image::{ImageFormat, ImageInput, SchedulerKind};

use super::write::{TextArgs, write_text};
use crate::{
    engines::{
        Devices, Engine, Sink, Stopped,
        image::{ImageEvent, ImageJob},
    },
    registry::{Defaults, Manifest, Registry, load_image_engine},
    say::say,
};

#[derive(Args)]
pub struct GenerateArgs {
    /// The folder of `<name>/manifest.toml`.
    #[arg(long, env = "MODELS_DIR", default_value = "models")]
    models_dir: PathBuf,
    #[arg(long, default_value = "embedded-scene")]
    model: String,
    #[arg(long)]
    prompt: String,
    #[arg(long)]
    negative_prompt: Option<String>,
    /// Where to write; the format follows the name (png, jpg, webp). Pictures after the first get `-1`, `-2`, …
    #[arg(long, default_value = "out.png")]
    out: PathBuf,
    /// Chosen at random when absent, and printed.
    #[arg(long)]
    seed: Option<u64>,
    #[arg(long)]
    width: Option<u32>,
    #[arg(long)]
    height: Option<u32>,
    #[arg(long)]
    steps: Option<u32>,
    #[arg(long)]
    guidance: Option<f64>,
    /// ddim, euler, euler_ancestral, dpmpp_multistep or flow_match_euler.
    #[arg(long, value_parser = parse_scheduler)]
    scheduler: Option<SchedulerKind>,
    #[arg(long, default_value_t = 1)]
    num_images: u32,
    /// A picture to start from (PNG, JPEG or WebP); repeat it for models that read several.
    #[arg(long)]
    image: Vec<PathBuf>,
    /// How far from its picture a run goes: 0 keeps it, 1 forgets it.
    #[arg(long)]
    strength: Option<f64>,
    /// Of a JPEG or WebP, 1 to 100; without it a WebP loses nothing.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    quality: Option<u32>,
    /// Do not write into the file how it was made.
    #[arg(long)]
    no_metadata: bool,
    #[command(flatten)]
    text: TextArgs,
}

fn parse_scheduler(text: &str) -> Result<SchedulerKind, String> {
    text.parse().map_err(|()| {
        "must be ddim, euler, euler_ancestral, dpmpp_multistep or flow_match_euler".to_owned()
    })
}

struct Bar(ProgressBar);

impl Sink<ImageEvent> for Bar {
    fn emit(&mut self, event: ImageEvent) -> Result<(), Stopped> {
        if let ImageEvent::Step { step, steps } = event {
            self.0.set_length(steps.into());
            self.0.set_position(step.into());
        }
        Ok(())
    }
}

/// Runs the command.
pub fn run(args: GenerateArgs) -> Result<()> {
    let registry = Registry::open(&args.models_dir)?;
    let manifest = registry
        .find(&args.model)
        .with_context(|| format!("no model {:?} in {}", args.model, args.models_dir.display()))?;
    match &manifest.defaults {
        Defaults::Text(defaults) => {
            write_text(manifest, defaults, args.prompt, args.seed, args.text)
        }
        _ => draw(manifest, args),
    }
}

fn draw(manifest: &Manifest, args: GenerateArgs) -> Result<()> {
    let extension = args.out.extension().and_then(|extension| extension.to_str()).unwrap_or("");
    let format: ImageFormat = extension
        .parse()
        .map_err(|()| anyhow!("--out must end in .png, .jpg or .webp, not {extension:?}"))?;
    if let Some(strength) = args.strength.filter(|strength| !(0.0..=1.0).contains(strength)) {
        bail!("--strength must be between 0 and 1, not {strength}");
    }
    let read = |path: &PathBuf| {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(STANDARD.encode(bytes))
    };
    let input = ImageInput {
        negative_prompt: args.negative_prompt,
        width: args.width,
        height: args.height,
        steps: args.steps,
        guidance: args.guidance,
        seed: args.seed,
        scheduler: args.scheduler,
        num_images: Some(args.num_images),
        format: Some(format),
        quality: args.quality,
        images: args.image.iter().map(read).collect::<Result<_>>()?,
        strength: args.strength,
        metadata: args.no_metadata.then_some(false),
        ..ImageInput::from_prompt(args.prompt)
    };
    let defaults = manifest
        .defaults
        .image()
        .with_context(|| format!("the model {:?} makes no images", args.model))?;
    let job =
        ImageJob::resolve(&input, defaults, rand::random::<u64>() >> 11).map_err(|errors| {
            let texts: Vec<String> =
                errors.iter().map(|e| format!("{} {}", &e.pointer[1..], e.detail)).collect();
            anyhow!(texts.join("; "))
        })?;
    let devices = Devices::detect();
    let started = Instant::now();
    let mut engine = load_image_engine(manifest, &devices)?;
    let loaded = started.elapsed();
    let bar = ProgressBar::new(job.steps.into())
        .with_style(ProgressStyle::with_template("{bar:40} step {pos} of {len}, {elapsed}")?);
    let pictures = engine.run(job, &mut Bar(bar.clone()))?;
    bar.finish();
    let total = started.elapsed();
    for (index, picture) in pictures.iter().enumerate() {
        let path = match index {
            0 => args.out.clone(),
            _ => {
                let stem = args.out.file_stem().and_then(|stem| stem.to_str()).unwrap_or("out");
                args.out.with_file_name(format!("{stem}-{index}.{}", format.extension()))
            }
        };
        std::fs::write(&path, &picture.bytes)
            .with_context(|| format!("cannot write {}", path.display()))?;
        say(format_args!(
            "{}: {}×{}, {} bytes, seed {}, on {}",
            path.display(),
            picture.width,
            picture.height,
            picture.bytes.len(),
            picture.seed,
            devices.kind()
        ));
    }
    say(format_args!(
        "loaded in {:.2} s, made in {:.2} s",
        loaded.as_secs_f64(),
        (total - loaded).as_secs_f64()
    ));
    Ok(())
}
