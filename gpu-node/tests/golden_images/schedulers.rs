//! Every sampler against the reference library on the same model outputs, step by step.

use std::path::Path;

use candle_core::{Device, IndexOp, Tensor};
use gpu_node::engines::image::schedulers::{ScheduleConfig, scheduler};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::node::image::SchedulerKind;

use crate::support::{TOLERANCE, difference, golden, tiny};

#[derive(Deserialize)]
struct Case {
    scheduler: SchedulerKind,
    steps: usize,
    config: Value,
}

fn cases() -> Vec<Case> {
    let text =
        std::fs::read_to_string(tiny("stable-diffusion").join("golden/schedulers.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn read(config: &Value) -> candle_core::Result<ScheduleConfig> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("scheduler_config.json"), config.to_string()).unwrap();
    ScheduleConfig::read(folder.path())
}

/// The largest difference over all steps, each from the reference's own sample before it.
fn worst_step(case: &Case, config: &Value, index: usize) -> f64 {
    let golden = golden("stable-diffusion", "schedulers");
    let part = |name: &str| golden[&format!("{index}.{name}")].clone();
    let outputs = &golden[&format!("outputs.{}", case.steps)];
    let mut scheduler = scheduler(case.scheduler, &read(config).unwrap(), case.steps).unwrap();
    let timesteps = Tensor::new(scheduler.timesteps(), &Device::Cpu).unwrap();
    let mut worst = difference(&timesteps, &part("timesteps"));
    let samples = part("samples");
    for step in 0..case.steps {
        let sample = samples.i(step).unwrap();
        let input = (&sample * scheduler.input_scale(step)).unwrap();
        worst = worst.max(difference(&input, &part("inputs").i(step).unwrap()));
        let noise = golden["noise"].i(step).unwrap();
        let noise = scheduler.draws_noise().then_some(&noise);
        let next = scheduler.step(step, &outputs.i(step).unwrap(), &sample, noise).unwrap();
        worst = worst.max(difference(&next, &samples.i(step + 1).unwrap()));
    }
    worst
}

#[test]
fn every_step_of_every_configuration_agrees() {
    for (index, case) in cases().iter().enumerate() {
        let worst = worst_step(case, &case.config, index);
        eprintln!("{index} {:?} {}: {worst:.1e}", case.scheduler, case.config);
        // Without any signal sigma starts at 4096, and the reference's own f32 loses digits there.
        let is_extreme = case.config["rescale_betas_zero_snr"] == true;
        let tolerance = if is_extreme { 5.0 * TOLERANCE } else { TOLERANCE };
        assert!(worst < tolerance, "{:?} {} is off by {worst:e}", case.scheduler, case.config);
    }
}

#[test]
fn a_run_from_the_same_noise_ends_in_the_same_place() {
    let golden = golden("stable-diffusion", "schedulers");
    for (index, case) in cases().iter().enumerate() {
        let mut scheduler =
            scheduler(case.scheduler, &read(&case.config).unwrap(), case.steps).unwrap();
        let samples = &golden[&format!("{index}.samples")];
        let outputs = &golden[&format!("outputs.{}", case.steps)];
        let unit = (samples.i(0).unwrap() / scheduler.initial_sigma()).unwrap();
        let unit_of_reference = golden["0.samples"].i(0).unwrap();
        let worst = difference(&unit, &unit_of_reference);
        assert!(worst < TOLERANCE, "{:?} starts off by {worst:e}", case.config);
        let mut sample = samples.i(0).unwrap();
        for step in 0..case.steps {
            let noise = golden["noise"].i(step).unwrap();
            let noise = scheduler.draws_noise().then_some(&noise);
            sample = scheduler.step(step, &outputs.i(step).unwrap(), &sample, noise).unwrap();
        }
        let worst = difference(&sample, &samples.i(case.steps).unwrap());
        assert!(worst < TOLERANCE, "{:?} {} ends off by {worst:e}", case.scheduler, case.config);
    }
}

#[test]
fn the_goldens_notice_a_wrong_prediction_spacing_or_schedule() {
    for (index, case) in cases().iter().enumerate().filter(|(index, _)| *index < 33) {
        for (key, values) in [
            ("prediction_type", ["epsilon", "v_prediction"]),
            ("timestep_spacing", ["leading", "trailing"]),
            ("beta_schedule", ["scaled_linear", "linear"]),
        ] {
            let other = if case.config[key] == values[0] { values[1] } else { values[0] };
            let mut config = case.config.clone();
            config[key] = json!(other);
            let worst = worst_step(case, &config, index);
            assert!(
                worst > 20.0 * TOLERANCE,
                "{} as {other} is off by {worst:e} only",
                case.config
            );
        }
    }
}

#[test]
fn a_setting_that_nothing_follows_is_refused_by_name() {
    for (key, value) in [
        ("use_karras_sigmas", json!(true)),
        ("thresholding", json!(true)),
        ("beta_schedule", json!("sigmoid")),
        ("prediction_type", json!("flow_prediction")),
        ("timestep_spacing", json!("karras")),
        ("algorithm_type", json!("sde-dpmsolver++")),
        ("solver_order", json!(3)),
    ] {
        let error = read(&json!({ key: value })).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn a_run_longer_than_the_schedule_is_refused() {
    let config = read(&json!({"num_train_timesteps": 10})).unwrap();
    assert!(scheduler(SchedulerKind::Ddim, &config, 11).is_err());
    assert!(scheduler(SchedulerKind::Euler, &config, 0).is_err());
}

#[test]
fn a_missing_file_is_an_error_with_its_name() {
    let error = ScheduleConfig::read(Path::new("/nowhere")).unwrap_err().to_string();
    assert!(error.contains("scheduler_config.json"), "{error}");
}
