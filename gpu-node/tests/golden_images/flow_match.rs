//! The flow-matching sampler against the reference library on the same model outputs, step by step.

use candle_core::{Device, IndexOp, Tensor};
use gpu_node::engines::image::schedulers::{FlowMatchConfig, FlowSigmas, Scheduler};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::node::image::SchedulerKind;

use crate::support::{difference, golden, tiny};

const TOLERANCE: f64 = 1e-6;

#[derive(Deserialize)]
struct Case {
    name: String,
    steps: usize,
    config: Value,
    sigmas: Option<Vec<f64>>,
    tokens: Option<usize>,
    mu: Option<f64>,
}

impl Case {
    fn sigmas(&self) -> FlowSigmas {
        match &self.sigmas {
            Some(sigmas) => FlowSigmas::Given(sigmas.clone()),
            None => FlowSigmas::OfSteps(self.steps),
        }
    }

    fn scheduler(&self, config: &Value) -> Box<dyn Scheduler> {
        let config = read(config).unwrap();
        let mu = self.tokens.map(|tokens| config.size_shift(tokens));
        config.scheduler(SchedulerKind::FlowMatchEuler, self.sigmas(), mu).unwrap()
    }
}

fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(tiny("flow-match").join("golden/flow_match.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn read(config: &Value) -> candle_core::Result<FlowMatchConfig> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("scheduler_config.json"), config.to_string()).unwrap();
    FlowMatchConfig::read(folder.path())
}

/// The largest difference over a whole run from the same noise.
fn worst(case: &Case, config: &Value, index: usize) -> f64 {
    let golden = golden("flow-match", "flow_match");
    let mut scheduler = case.scheduler(config);
    let timesteps = Tensor::new(scheduler.timesteps(), &Device::Cpu).unwrap();
    let mut worst = difference(&timesteps, &golden[&format!("{index}.timesteps")]);
    let samples = &golden[&format!("{index}.samples")];
    let mut sample = golden["noise"].clone();
    for step in 0..case.steps {
        let output = golden["outputs"].i(step).unwrap();
        sample = scheduler.step(step, &output, &sample, None).unwrap();
        worst = worst.max(difference(&sample, &samples.i(step + 1).unwrap()));
    }
    worst
}

#[test]
fn every_step_of_every_configuration_agrees() {
    for (index, case) in cases().iter().enumerate() {
        let worst = worst(case, &case.config, index);
        eprintln!("{}: {worst:.1e}", case.name);
        assert!(worst < TOLERANCE, "{} is off by {worst:e}", case.name);
    }
}

#[test]
fn a_picture_is_put_under_the_same_noise_at_every_step() {
    let golden = golden("flow-match", "flow_match");
    for (index, case) in cases().iter().enumerate() {
        let (scheduler, mixed) = (case.scheduler(&case.config), &golden[&format!("{index}.mixed")]);
        for step in 0..case.steps {
            let found = scheduler.add_noise(step, &golden["picture"], &golden["noise"]).unwrap();
            let worst = difference(&found, &mixed.i(step).unwrap());
            assert!(worst < TOLERANCE, "{} is off by {worst:e} at step {step}", case.name);
        }
    }
}

#[test]
fn the_shift_of_a_picture_follows_its_length() {
    for case in cases() {
        let (Some(tokens), Some(mu)) = (case.tokens, case.mu) else { continue };
        let found = read(&case.config).unwrap().size_shift(tokens);
        assert!((found - mu).abs() < 1e-12, "{}: {found} is not {mu}", case.name);
    }
}

#[test]
fn the_goldens_notice_a_wrong_setting() {
    for (name, key, value) in [
        ("stable diffusion 3.5", "shift", json!(1.0)),
        ("flux schnell", "shift", json!(3.0)),
        ("flux schnell", "use_dynamic_shifting", json!(true)),
        ("flux dev", "use_dynamic_shifting", json!(false)),
        ("flux dev", "max_shift", json!(1.0)),
        ("z-image", "shift", json!(1.0)),
        ("linear", "time_shift_type", json!("exponential")),
        ("stretched to an end", "shift_terminal", json!(null)),
        ("another training", "num_train_timesteps", json!(1000)),
    ] {
        let cases = cases();
        let index = cases.iter().position(|case| case.name == name).unwrap();
        let mut config = cases[index].config.clone();
        config[key] = value;
        let worst = worst(&cases[index], &config, index);
        assert!(worst > 1e-2, "{name} with another {key} is off by {worst:e} only");
    }
}

#[test]
fn even_sigmas_end_one_step_above_zero() {
    assert_eq!(FlowSigmas::even(4), FlowSigmas::Given(vec![1.0, 0.75, 0.5, 0.25]));
    assert_eq!(FlowSigmas::even(1), FlowSigmas::Given(vec![1.0]));
}

#[test]
fn other_samplers_and_empty_runs_are_refused() {
    let config = read(&json!({"shift": 3.0})).unwrap();
    for kind in [SchedulerKind::Ddim, SchedulerKind::Euler, SchedulerKind::DpmppMultistep] {
        let Err(error) = config.scheduler(kind, FlowSigmas::OfSteps(4), None) else {
            panic!("{kind:?} is no flow-matching sampler");
        };
        assert!(error.to_string().contains("flow_match_euler only"), "{error}");
    }
    let flow = SchedulerKind::FlowMatchEuler;
    assert!(config.scheduler(flow, FlowSigmas::OfSteps(0), None).is_err());
    let dynamic = read(&json!({"use_dynamic_shifting": true})).unwrap();
    assert!(dynamic.scheduler(flow, FlowSigmas::even(4), None).is_err());
}

#[test]
fn a_setting_that_nothing_follows_is_refused_by_name() {
    for (key, value) in [
        ("use_karras_sigmas", json!(true)),
        ("use_beta_sigmas", json!(true)),
        ("stochastic_sampling", json!(true)),
        ("invert_sigmas", json!(true)),
        ("time_shift_type", json!("cosine")),
        ("_class_name", json!("DDIMScheduler")),
    ] {
        let error = read(&json!({ key: value })).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
}
