//! Stable Diffusion 3 and 3.5.

use std::path::Path;

use candle_core::{DType, IndexOp, Tensor};
use gpu_node::engines::{
    Engine, EngineError,
    image::{
        ImageJob, Vae,
        pipeline::{Denoising, LatentModel, Pipeline},
        sd3::{GuidedWords, Sd3Transformer, StableDiffusion3, Words},
    },
};
use image::{Rgb, RgbImage};
use serde_json::json;
use shared::node::image::SchedulerKind;

use crate::support::{
    Events, assert_close, assert_far, assert_far_in_f32, changed, given, golden, job, options,
    place, swapped, tiny, with_setting, with_weights,
};

const MODEL: &str = "stable-diffusion-3";

fn transformer(folder: &Path) -> Sd3Transformer {
    Sd3Transformer::load(folder, place().dtype, &place().device).unwrap()
}

fn forward(transformer: &Sd3Transformer, golden: &str, timestep: f64) -> Tensor {
    let golden = crate::support::golden(MODEL, golden);
    let words = Words { hidden: given(&golden["words"]), pooled: given(&golden["pooled"]) };
    transformer.forward(&given(&golden["latents"]), timestep, &words).unwrap()
}

#[test]
fn the_transformer_agrees_with_and_without_second_attention() {
    for part in ["transformer", "transformer_plain"] {
        let (golden, transformer) = (golden(MODEL, part), transformer(&tiny(MODEL).join(part)));
        for (name, timestep) in [("out_321", 321.0), ("out_1000", 1000.0), ("out_8", 8.92857)] {
            let out = forward(&transformer, part, timestep);
            assert_close(&format!("{part} {name}"), &out, &golden[name]);
        }
        assert_far("the timestep", &forward(&transformer, part, 331.0), &golden["out_321"]);
    }
}

#[test]
fn a_sample_is_the_same_alone_and_in_a_batch() {
    let golden = golden(MODEL, "transformer");
    let transformer = transformer(&tiny(MODEL).join("transformer"));
    let both = forward(&transformer, "transformer", 321.0);
    let one = |name: &str| golden[name].narrow(0, 1, 1).unwrap();
    let words = Words { hidden: one("words"), pooled: one("pooled") };
    let alone = transformer.forward(&one("latents"), 321.0, &words).unwrap();
    let values = |tensor: &Tensor| -> Vec<f32> { tensor.flatten_all().unwrap().to_vec1().unwrap() };
    assert_eq!(values(&alone), values(&both.i(1..2).unwrap()));
}

#[test]
fn the_golden_notices_swapped_scales_and_shifts() {
    let expected = &golden(MODEL, "transformer")["out_321"];
    let with_swaps = |swaps: &[(&str, [usize; 3])]| {
        let folder = with_weights(&tiny(MODEL).join("transformer"), |weights| {
            swaps.iter().for_each(|(layer, parts)| swapped(weights, layer, *parts));
        });
        forward(&transformer(folder.path()), "transformer", 321.0)
    };
    for (layer, parts) in [
        ("transformer_blocks.0.norm1.linear", [0, 1, 9]),
        ("transformer_blocks.1.norm1.linear", [3, 4, 9]),
        ("transformer_blocks.0.norm1.linear", [6, 7, 9]),
        ("transformer_blocks.2.norm1.linear", [2, 5, 6]),
        ("transformer_blocks.0.norm1_context.linear", [0, 1, 6]),
        ("norm_out.linear", [0, 1, 2]),
    ] {
        assert_far(&format!("{layer} {parts:?}"), &with_swaps(&[(layer, parts)]), expected);
    }
    let last = ("transformer_blocks.2.norm1_context.linear", [0, 1, 2]);
    assert_far_in_f32(&format!("{} {:?}", last.0, last.1), &with_swaps(&[last]), expected);
    let words = [0, 1].map(|block| format!("transformer_blocks.{block}.norm1_context.linear"));
    let all = [last, (words[0].as_str(), [0, 1, 6]), (words[1].as_str(), [0, 1, 6])];
    assert_far("all scales and shifts of the words", &with_swaps(&all), expected);
}

#[test]
fn the_golden_notices_a_wrong_configuration() {
    let expected = &golden(MODEL, "transformer")["out_321"];
    for (key, value) in [("qk_norm", json!(null)), ("num_attention_heads", json!(4))] {
        let mut folder = with_setting(&tiny(MODEL).join("transformer"), key, value);
        if key == "num_attention_heads" {
            folder = with_setting(folder.path(), "attention_head_dim", json!(6));
            folder = with_setting(folder.path(), "qk_norm", json!(null));
        }
        assert_far(key, &forward(&transformer(folder.path()), "transformer", 321.0), expected);
    }
    let folder = with_weights(&tiny(MODEL).join("transformer"), |weights| {
        let name = "pos_embed.pos_embed".to_owned();
        let rolled = weights[&name].roll(1, 1).unwrap();
        weights.insert(name, rolled);
    });
    let out = forward(&transformer(folder.path()), "transformer", 321.0);
    assert_far("positions off by one", &out, expected);
}

#[test]
fn a_picture_beyond_the_position_table_is_refused() {
    let transformer = transformer(&tiny(MODEL).join("transformer"));
    let golden = golden(MODEL, "transformer");
    let words = Words { hidden: golden["words"].clone(), pooled: golden["pooled"].clone() };
    let latents = Tensor::zeros((2, 16, 4, 30), place().dtype, &place().device).unwrap();
    let error = transformer.forward(&latents, 1.0, &words).unwrap_err().to_string();
    assert!(error.contains("14 × 14 positions"), "{error}");
}

#[test]
fn an_unsupported_configuration_is_refused_by_name() {
    for (key, value) in [("qk_norm", json!("layer_norm")), ("caption_projection_dim", json!(48))] {
        let folder = with_setting(&tiny(MODEL).join("transformer"), key, value);
        let error =
            Sd3Transformer::load(folder.path(), place().dtype, &place().device).unwrap_err();
        assert!(error.to_string().contains(key), "{error}");
    }
}

fn pipeline(folder: &Path) -> Pipeline<StableDiffusion3> {
    Pipeline::new(StableDiffusion3::load(folder, &options()).unwrap(), options())
}

fn both<const COUNT: usize>(parts: [&Tensor; COUNT]) -> Tensor {
    Tensor::cat(&parts, 0).unwrap()
}

fn words(model: &StableDiffusion3, prompts: [&str; 2]) -> Words {
    let [first, second] = prompts.map(|prompt| model.encode_prompt(prompt).unwrap());
    Words {
        hidden: both([&first.hidden, &second.hidden]),
        pooled: both([&first.pooled, &second.pooled]),
    }
}

const PROMPTS: [&str; 2] = ["a red fish on the left", "blue house"];
const AWAY: [&str; 2] = ["blue", ""];

#[test]
fn prompts_through_all_three_encoders_agree() {
    let golden = golden(MODEL, "words");
    let pipeline = pipeline(&tiny(MODEL));
    for (prompts, hidden, pooled) in
        [(PROMPTS, "words", "pooled"), (AWAY, "away_words", "away_pooled")]
    {
        let words = words(pipeline.model(), prompts);
        assert_close(hidden, &words.hidden, &golden[hidden]);
        assert_close(pooled, &words.pooled, &golden[pooled]);
    }
}

#[test]
fn the_vae_agrees_both_ways_and_notices_its_shift() {
    let golden = golden(MODEL, "vae");
    let folder = tiny(MODEL).join("vae");
    let vae = Vae::load(&folder, DType::F32, &place().device).unwrap();
    let (mean, log_variance) = vae.moments(&golden["pictures"]).unwrap();
    assert_close("vae mean", &mean, &golden["mean"]);
    assert_close("vae variance", &log_variance, &golden["log_variance"]);
    let encoded = vae.encode(&golden["pictures"], &golden["noise"]).unwrap();
    assert_close("vae encoder", &encoded, &golden["encoded"]);
    assert_close("vae decoder", &vae.decode(&golden["latents"]).unwrap(), &golden["decoded"]);

    let folder = with_setting(&folder, "shift_factor", json!(0.0));
    let other = Vae::load(folder.path(), DType::F32, &place().device).unwrap();
    let encoded = other.encode(&golden["pictures"], &golden["noise"]).unwrap();
    assert_far("the shift, encoding", &encoded, &golden["encoded"]);
    let decoded = other.decode(&golden["latents"]).unwrap();
    assert_far("the shift, decoding", &decoded, &golden["decoded"]);
}

fn two_steps(guidance: f64) -> ImageJob {
    ImageJob { width: 28, height: 20, guidance, scheduler: SchedulerKind::FlowMatchEuler, ..job() }
}

fn run(pipeline: &Pipeline<StableDiffusion3>, job: &ImageJob, condition: &GuidedWords) -> Tensor {
    let noise = golden(MODEL, "pipeline")["noise"].clone();
    let noise = |_: u64| -> candle_core::Result<Tensor> { Ok(noise.clone()) };
    let denoising = Denoising { job, condition, start: None, noise: &noise };
    pipeline.denoise(&denoising, &mut Events::all()).unwrap()
}

#[test]
fn a_whole_run_agrees_with_and_without_guidance() {
    let golden = golden(MODEL, "pipeline");
    let pipeline = pipeline(&tiny(MODEL));
    let (towards, away) = (words(pipeline.model(), PROMPTS), words(pipeline.model(), AWAY));
    let guided = GuidedWords::new(towards.clone(), Some((away.clone(), 4.5))).unwrap();
    let latents = run(&pipeline, &two_steps(4.5), &guided);
    assert_close("sd3 latents", &latents, &golden["latents"]);
    let pictures = pipeline.model().decode(&latents).unwrap();
    let pictures = ((pictures * 0.5).unwrap() + 0.5).unwrap().clamp(0.0, 1.0).unwrap();
    assert_close("sd3 pictures", &pictures, &golden["pictures"]);

    let alone = GuidedWords::new(towards.clone(), None).unwrap();
    let latents = run(&pipeline, &two_steps(1.0), &alone);
    assert_close("sd3 latents without guidance", &latents, &golden["without_guidance"]);

    let swapped = GuidedWords::new(away, Some((towards, 4.5))).unwrap();
    let latents = run(&pipeline, &two_steps(4.5), &swapped);
    assert_far("swapped guidance", &latents, &golden["latents"]);
}

#[test]
fn a_run_from_a_picture_agrees() {
    let golden = golden(MODEL, "from_picture");
    let pipeline = pipeline(&tiny(MODEL));
    let (towards, away) = (words(pipeline.model(), PROMPTS), words(pipeline.model(), AWAY));
    let guided = GuidedWords::new(towards, Some((away, 4.5))).unwrap();
    let draw = |index: usize| golden["noise"].i(index).unwrap();
    let pictures = ((&*golden["picture"] * 2.0).unwrap() - 1.0).unwrap();
    let start = pipeline.model().encode(&pictures, &draw(0)).unwrap();
    let run = |strength| {
        let noise = |_: u64| -> candle_core::Result<Tensor> { Ok(draw(1)) };
        let job = ImageJob { steps: 5, strength, ..two_steps(4.5) };
        let start = Some(start.clone());
        let denoising = Denoising { job: &job, condition: &guided, start, noise: &noise };
        pipeline.denoise(&denoising, &mut Events::all()).unwrap()
    };
    assert_close("sd3 from a picture", &run(0.6), &golden["latents"]);
    assert_far("the strength", &run(0.8), &golden["latents"]);
}

#[test]
fn the_run_notices_another_shift() {
    let golden = golden(MODEL, "pipeline");
    let folder = changed(&tiny(MODEL), "scheduler/scheduler_config.json", "shift", json!(1.0));
    let pipeline = pipeline(folder.path());
    let (towards, away) = (words(pipeline.model(), PROMPTS), words(pipeline.model(), AWAY));
    let guided = GuidedWords::new(towards, Some((away, 4.5))).unwrap();
    let latents = run(&pipeline, &two_steps(4.5), &guided);
    assert_far_in_f32("the shift of the schedule", &latents, &golden["latents"]);
}

#[test]
fn orders_the_model_cannot_follow_are_the_callers_mistake() {
    let mut pipeline = pipeline(&tiny(MODEL));
    for (job, expected) in [
        (ImageJob { width: 30, ..two_steps(4.5) }, "multiples of 4"),
        (ImageJob { width: 60, ..two_steps(4.5) }, "at most 56 pixels"),
        (ImageJob { scheduler: SchedulerKind::Ddim, ..two_steps(4.5) }, "flow_match_euler only"),
    ] {
        let outcome = pipeline.run(job, &mut Events::all());
        let Err(EngineError::InvalidInput(text)) = outcome else { panic!("{outcome:?}") };
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_picture_is_the_same_alone_and_in_a_batch_and_may_start_from_one() {
    let mut pipeline = pipeline(&tiny(MODEL));
    let start = RgbImage::from_fn(9, 5, |x, y| Rgb([x as u8 * 20, y as u8 * 40, 100]));
    for images in [Vec::new(), vec![start]] {
        let batch = ImageJob { num_images: 2, images, strength: 0.6, ..two_steps(3.0) };
        let pictures = pipeline.run(batch.clone(), &mut Events::all()).unwrap();
        let alone = ImageJob { seed: batch.seed_of(1), num_images: 1, ..batch };
        assert_eq!(pipeline.run(alone, &mut Events::all()).unwrap(), pictures[1..]);
        assert_ne!(pictures[0].bytes, pictures[1].bytes);
    }
}
