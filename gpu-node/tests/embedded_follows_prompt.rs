//! The embedded model shows the colour and the object that captions it never saw ask for.
#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that is wrong")]

mod measure;

use std::path::{Path, PathBuf};

use gpu_node::{
    engines::{
        Devices, Engine, Sink, Stopped,
        image::{ImageEngine, ImageEvent, ImageJob, ModelDefaults},
    },
    registry::{Defaults, Registry, load_image_engine},
};
use measure::{Measure, Shown};
use serde::Deserialize;
use shared::node::image::ImageInput;

/// An unoptimised build has time for a glance only.
const CAPTIONS: usize = if cfg!(debug_assertions) { 10 } else { 200 };

/// Another random generator than the training's draws other pictures: two standard deviations of a rate.
const MARGIN: f64 = if cfg!(debug_assertions) { 0.35 } else { 0.06 };

#[derive(Deserialize)]
struct Caption {
    seed: u64,
    prompt: String,
    labels: Labels,
}

#[derive(Deserialize)]
struct Labels {
    colour: String,
    object: String,
}

#[derive(Deserialize)]
struct Figures {
    model: Rates,
}

#[derive(Debug, Deserialize)]
struct Rates {
    colour: f64,
    object: f64,
}

struct Quiet;

impl Sink<ImageEvent> for Quiet {
    fn emit(&mut self, _: ImageEvent) -> Result<(), Stopped> {
        Ok(())
    }
}

fn models_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models")
}

fn check() -> PathBuf {
    models_dir().join("embedded-scene/check")
}

fn captions() -> Vec<Caption> {
    let text = std::fs::read_to_string(check().join("heldout.jsonl")).unwrap();
    let all: Vec<Caption> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(all.len(), 200);
    // Spread over all of them, since neighbours may resemble each other.
    all.into_iter().step_by(200 / CAPTIONS).collect()
}

/// The model without its upscale: the measure is made for its own pixels.
fn embedded() -> (ModelDefaults, ImageEngine) {
    let mut manifest =
        Registry::open(models_dir()).unwrap().find("embedded-scene").unwrap().clone();
    let mut defaults = manifest.defaults.image().unwrap().clone();
    let upscale = std::mem::replace(&mut defaults.upscale, 1);
    defaults.width /= upscale;
    defaults.height /= upscale;
    manifest.defaults = Defaults::Image(defaults.clone());
    let engine = load_image_engine(&manifest, &Devices::cpu()).unwrap();
    (defaults, engine)
}

fn picture(engine: &mut ImageEngine, defaults: &ModelDefaults, caption: &Caption) -> Vec<u8> {
    let input = ImageInput::from_prompt(caption.prompt.clone());
    let job = ImageJob::resolve(&input, defaults, caption.seed).unwrap();
    assert_eq!(job.steps, 12);
    let pictures = engine.run(job, &mut Quiet).unwrap();
    image::load_from_memory(&pictures[0].bytes).unwrap().into_rgb8().into_raw()
}

fn rates(shown: &[Shown], captions: &[&Caption]) -> Rates {
    let rate = |is_right: fn(&Shown, &Labels) -> bool| {
        let pairs = shown.iter().zip(captions);
        pairs.filter(|(shown, caption)| is_right(shown, &caption.labels)).count() as f64
            / captions.len() as f64
    };
    Rates {
        colour: rate(|shown, labels| shown.colour == labels.colour),
        object: rate(|shown, labels| shown.object == labels.object),
    }
}

#[test]
fn shows_the_asked_colour_and_object() {
    let text = std::fs::read_to_string(check().join("figures.json")).unwrap();
    let Figures { model: reported } = serde_json::from_str(&text).unwrap();
    let (defaults, mut engine) = embedded();
    let measure = Measure::load(&check());
    let captions = captions();
    let side = defaults.width as usize;
    let shown: Vec<Shown> = captions
        .iter()
        .map(|caption| measure.look(&picture(&mut engine, &defaults, caption), side))
        .collect();

    let asked: Vec<&Caption> = captions.iter().collect();
    let found = rates(&shown, &asked);
    eprintln!("{CAPTIONS} captions: {found:?}; reported {reported:?}");
    assert!(found.colour >= reported.colour - MARGIN, "{found:?}");
    assert!(found.object >= reported.object - MARGIN, "{found:?}");

    // The same pictures against other captions: a measure that always agrees would agree here too.
    let others: Vec<&Caption> = captions.iter().cycle().skip(CAPTIONS / 2).take(CAPTIONS).collect();
    let chance = rates(&shown, &others);
    eprintln!("against other captions: {chance:?}");
    assert!(chance.colour < found.colour - 0.2 && chance.object < found.object - 0.2, "{chance:?}");
}
