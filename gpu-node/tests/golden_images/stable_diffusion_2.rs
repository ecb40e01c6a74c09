//! Stable Diffusion 2.1 and SD-Turbo in the style of their published files: v and epsilon, heads of one width, prompts
//! padded with `!`, one step without guidance.

use std::path::Path;

use candle_core::{DType, Tensor};
use gpu_node::engines::image::{
    ImageJob,
    pipeline::{Denoising, LatentModel, Pipeline},
    stable_diffusion::{StableDiffusion, UNet},
    text_encoders::{ClipTextEncoder, PromptTokenizer},
};
use serde_json::json;
use shared::node::image::SchedulerKind;
use tempfile::TempDir;

use crate::{
    run::picture,
    support::{
        self, Events, assert_close, assert_far, assert_far_in_f32, changed, given, golden, job,
        options, place, tiny, whole_copy, with_setting,
    },
};

const MODEL: &str = "stable-diffusion-2";
const PROMPTS: [&str; 2] = ["a red fish on the left", "blue house"];
const SCHEDULE: &str = "scheduler/scheduler_config.json";

fn pipeline(folder: &Path) -> Pipeline<StableDiffusion> {
    Pipeline::new(StableDiffusion::load(folder, &options()).unwrap(), options())
}

/// The folder as SD-Turbo is published.
fn turbo() -> TempDir {
    let copy = whole_copy(&tiny(MODEL));
    std::fs::remove_dir_all(copy.path().join("scheduler")).unwrap();
    let published = copy.path().join("scheduler_turbo");
    std::fs::rename(published, copy.path().join("scheduler")).unwrap();
    copy
}

fn predicted(folder: &Path) -> Tensor {
    let golden = golden(MODEL, "unet");
    let unet = UNet::load(folder, place().dtype, &place().device).unwrap();
    unet.forward(&given(&golden["latents"]), 321.0, &given(&golden["text"]), None).unwrap()
}

/// The latents of one run, guided where the job is.
fn run(engine: &Pipeline<StableDiffusion>, job: &ImageJob, noise: &Tensor) -> Tensor {
    let towards = support::prompts(engine, PROMPTS);
    let away = support::prompts(engine, ["blue", "the red"]);
    let away = (job.guidance > 1.0).then_some((&away, job.guidance));
    let condition = engine.model().guided(&towards, away, [16, 24]).unwrap();
    let noise = |_: u64| -> candle_core::Result<Tensor> { Ok(noise.clone()) };
    let denoising = Denoising { job, condition: &condition, start: None, noise: &noise };
    engine.denoise(&denoising, &mut Events::all()).unwrap()
}

#[test]
fn the_text_encoder_agrees_on_prompts_with_their_own_padding() {
    let golden = golden(MODEL, "text");
    let encoder = tiny(MODEL).join("text_encoder");
    let encoder = ClipTextEncoder::load(&encoder, place().dtype, &place().device).unwrap();
    let tokenizer = PromptTokenizer::load(&tiny(MODEL).join("tokenizer"), 16).unwrap();
    let ids = golden["ids"].to_dtype(DType::U32).unwrap();
    for (prompt, expected) in PROMPTS.iter().zip(ids.to_vec2::<u32>().unwrap()) {
        assert_eq!(tokenizer.encode(prompt).unwrap(), expected, "{prompt:?}");
    }
    assert_close("sd2 text encoder", &encoder.forward(&ids).unwrap(), &golden["out"]);
}

#[test]
fn the_unet_agrees_whether_or_not_its_attention_is_upcast() {
    let (golden, folder) = (golden(MODEL, "unet"), tiny(MODEL).join("unet"));
    let found = predicted(&folder);
    assert_close("sd2 unet", &found, &golden["out"]);
    assert_close("sd2 unet, upcast", &found, &golden["upcast"]);
}

#[test]
fn the_golden_notices_other_heads_and_frequencies() {
    let (golden, folder) = (golden(MODEL, "unet"), tiny(MODEL).join("unet"));
    let wrong = |key: &str, value| predicted(with_setting(&folder, key, value).path());
    let heads = wrong("attention_head_dim", json!([2, 4]));
    assert_far_in_f32("the number of heads", &heads, &golden["out"]);
    let frequencies = wrong("flip_sin_to_cos", json!(false));
    assert_far("sines before cosines", &frequencies, &golden["out"]);
}

#[test]
fn two_steps_that_predict_v_agree() {
    let golden = golden(MODEL, "pipeline");
    let engine = pipeline(&tiny(MODEL));
    let latents = run(&engine, &job(), &golden["noise"]);
    assert_close("sd2 latents", &latents, &golden["latents"]);
    let pictures = picture(&engine.model().decode(&latents).unwrap());
    assert_close("sd2 pictures", &pictures, &golden["pictures"]);
    let other = changed(&tiny(MODEL), SCHEDULE, "prediction_type", json!("epsilon"));
    let latents = run(&pipeline(other.path()), &job(), &golden["noise"]);
    assert_far("the prediction type", &latents, &golden["latents"]);
}

#[test]
fn one_step_without_guidance_agrees_as_turbo_runs() {
    let golden = golden(MODEL, "turbo");
    let job = ImageJob { scheduler: SchedulerKind::Euler, steps: 1, guidance: 0.0, ..job() };
    let folder = turbo();
    let engine = pipeline(folder.path());
    let latents = run(&engine, &job, &golden["noise"]);
    assert_close("sd-turbo latents", &latents, &golden["latents"]);
    let pictures = picture(&engine.model().decode(&latents).unwrap());
    assert_close("sd-turbo pictures", &pictures, &golden["pictures"]);
    let other = changed(folder.path(), SCHEDULE, "timestep_spacing", json!("leading"));
    let latents = run(&pipeline(other.path()), &job, &golden["noise"]);
    assert_far("the spacing", &latents, &golden["latents"]);
}
