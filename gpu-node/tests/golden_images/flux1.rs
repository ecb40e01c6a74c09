//! FLUX.1 dev and schnell.

use std::path::Path;

use candle_core::{DType, Device, IndexOp, Tensor};
use gpu_node::engines::{
    Engine, EngineError,
    image::{
        ImageJob, Vae,
        flux1::{Flux1, FluxCondition, FluxTransformer, FluxWords},
        pipeline::{Denoising, LatentModel, Pipeline},
    },
};
use serde_json::json;
use shared::node::image::SchedulerKind;
use tempfile::TempDir;

use crate::support::{
    Events, assert_close, assert_far, assert_far_in_f32, changed, given, golden, job, options,
    place, swapped, tiny, whole_copy, with_setting, with_weights,
};

const MODEL: &str = "flux-1";

fn transformer(folder: &Path) -> FluxTransformer {
    FluxTransformer::load(folder, place().dtype, &place().device).unwrap()
}

fn forward(transformer: &FluxTransformer, golden: &str, timestep: f64, guidance: f64) -> Tensor {
    let golden = crate::support::golden(MODEL, golden);
    let words = FluxWords { hidden: given(&golden["words"]), pooled: given(&golden["pooled"]) };
    transformer.forward(&given(&golden["latents"]), timestep, guidance, &words).unwrap()
}

#[test]
fn the_transformer_agrees_with_and_without_guidance() {
    for (folder, name) in
        [("transformer", "transformer_dev"), ("transformer_schnell", "transformer_schnell")]
    {
        let (golden, transformer) = (golden(MODEL, name), transformer(&tiny(MODEL).join(folder)));
        for (out, timestep, guidance) in
            [("out_1000", 1000.0, 3.5), ("out_321", 321.0, 3.5), ("other_guidance", 321.0, 1.5)]
        {
            let found = forward(&transformer, name, timestep, guidance);
            assert_close(&format!("{name} {out}"), &found, &golden[out]);
        }
        assert_eq!(transformer.has_guidance(), folder == "transformer");
    }
    let transformer = transformer(&tiny(MODEL).join("transformer"));
    let out = forward(&transformer, "transformer_dev", 321.0, 1.5);
    assert_far("the guidance", &out, &golden(MODEL, "transformer_dev")["out_321"]);
}

#[test]
fn the_golden_notices_swapped_scales_and_shifts() {
    let expected = &golden(MODEL, "transformer_schnell")["out_321"];
    let words = "transformer_blocks.0.norm1_context.linear";
    let with_swaps = |swaps: &[(&str, [usize; 3])]| {
        let folder = with_weights(&tiny(MODEL).join("transformer_schnell"), |weights| {
            swaps.iter().for_each(|(layer, parts)| swapped(weights, layer, *parts));
        });
        forward(&transformer(folder.path()), "transformer_schnell", 321.0, 0.0)
    };
    for (layer, parts) in [
        ("transformer_blocks.0.norm1.linear", [0, 1, 6]),
        ("transformer_blocks.0.norm1.linear", [3, 4, 6]),
        ("single_transformer_blocks.1.norm.linear", [0, 1, 3]),
        ("norm_out.linear", [0, 1, 2]),
    ] {
        assert_far(&format!("{layer} {parts:?}"), &with_swaps(&[(layer, parts)]), expected);
    }
    let of_words = [(words, [0, 1, 6]), (words, [3, 4, 6])];
    for swap in of_words {
        assert_far_in_f32(&format!("{words} {:?}", swap.1), &with_swaps(&[swap]), expected);
    }
    let out = with_swaps(&of_words);
    assert_far("all scales and shifts of the words", &out, expected);
}

#[test]
fn the_golden_notices_another_order_of_axes_and_of_pairs() {
    let expected = &golden(MODEL, "transformer_schnell")["out_321"];
    let folder = tiny(MODEL).join("transformer_schnell");
    for axes in [json!([6, 6, 4]), json!([6, 4, 6])] {
        let folder = with_setting(&folder, "axes_dims_rope", axes);
        let out = forward(&transformer(folder.path()), "transformer_schnell", 321.0, 0.0);
        assert_far("the order of axes", &out, expected);
    }
    // Rows and columns swapped: the transposed picture of the transposed latents.
    let golden = golden(MODEL, "transformer_schnell");
    let words = FluxWords { hidden: given(&golden["words"]), pooled: given(&golden["pooled"]) };
    let flipped = given(&golden["latents"]).transpose(2, 3).unwrap().contiguous().unwrap();
    let out = transformer(&folder).forward(&flipped, 321.0, 0.0, &words).unwrap();
    assert_far("rows for columns", &out.transpose(2, 3).unwrap(), expected);
    // Heads in halves instead of pairs.
    let halves: Vec<u32> = (0..32).map(|row| row / 16 * 16 + row % 2 * 8 + row % 16 / 2).collect();
    let halves = Tensor::new(halves, &Device::Cpu).unwrap();
    let folder = with_weights(&folder, |weights| {
        let names: Vec<String> = weights
            .keys()
            .filter(|name| [".to_q.", ".to_k."].iter().any(|part| name.contains(part)))
            .cloned()
            .collect();
        for name in names {
            let moved = weights[&name].index_select(&halves, 0).unwrap();
            weights.insert(name, moved);
        }
    });
    let out = forward(&transformer(folder.path()), "transformer_schnell", 321.0, 0.0);
    assert_far("halves for pairs", &out, expected);
}

#[test]
fn an_unsupported_configuration_is_refused_by_name() {
    for (key, value) in [
        ("patch_size", json!(2)),
        ("out_channels", json!(128)),
        ("axes_dims_rope", json!([4, 4, 4])),
    ] {
        let folder = with_setting(&tiny(MODEL).join("transformer"), key, value);
        let error =
            FluxTransformer::load(folder.path(), place().dtype, &place().device).unwrap_err();
        assert!(error.to_string().contains(key), "{error}");
    }
}

/// The folder as dev is published, or as schnell is.
fn folder(name: &str) -> TempDir {
    let copy = whole_copy(&tiny(MODEL));
    if name == "schnell" {
        for part in ["transformer", "scheduler"] {
            std::fs::remove_dir_all(copy.path().join(part)).unwrap();
            let published = copy.path().join(format!("{part}_schnell"));
            std::fs::rename(published, copy.path().join(part)).unwrap();
        }
    }
    copy
}

fn pipeline(folder: &Path) -> Pipeline<Flux1> {
    Pipeline::new(Flux1::load(folder, &options()).unwrap(), options())
}

fn words(model: &Flux1) -> FluxWords {
    let [first, second] =
        ["a red fish on the left", "blue house"].map(|prompt| model.encode_prompt(prompt).unwrap());
    FluxWords {
        hidden: Tensor::cat(&[first.hidden, second.hidden], 0).unwrap(),
        pooled: Tensor::cat(&[first.pooled, second.pooled], 0).unwrap(),
    }
}

fn two_steps() -> ImageJob {
    ImageJob {
        width: 28,
        height: 20,
        guidance: 3.5,
        negative_prompt: String::new(),
        scheduler: SchedulerKind::FlowMatchEuler,
        ..job()
    }
}

fn run(pipeline: &Pipeline<Flux1>, guidance: f64, noise: &Tensor) -> Tensor {
    let condition = FluxCondition { words: words(pipeline.model()), guidance };
    let noise = |_: u64| -> candle_core::Result<Tensor> { Ok(noise.clone()) };
    let job = two_steps();
    let denoising = Denoising { job: &job, condition: &condition, start: None, noise: &noise };
    pipeline.denoise(&denoising, &mut Events::all()).unwrap()
}

#[test]
fn prompts_and_a_whole_run_agree_for_dev_and_schnell() {
    for name in ["dev", "schnell"] {
        let (golden, folder) = (golden(MODEL, name), folder(name));
        let pipeline = pipeline(folder.path());
        let words = words(pipeline.model());
        assert_close(&format!("{name} words"), &words.hidden, &golden["words"]);
        assert_close(&format!("{name} pooled"), &words.pooled, &golden["pooled"]);
        let latents = run(&pipeline, 3.5, &golden["noise"]);
        assert_close(&format!("{name} latents"), &latents, &golden["latents"]);
        let pictures = pipeline.model().decode(&latents).unwrap();
        let pictures = ((pictures * 0.5).unwrap() + 0.5).unwrap().clamp(0.0, 1.0).unwrap();
        assert_close(&format!("{name} pictures"), &pictures, &golden["pictures"]);
    }
}

#[test]
fn a_run_from_a_picture_agrees() {
    let golden = golden(MODEL, "from_picture");
    let pipeline = pipeline(&tiny(MODEL));
    let condition = FluxCondition { words: words(pipeline.model()), guidance: 3.5 };
    let draw = |index: usize| golden["noise"].i(index).unwrap();
    let pictures = ((&*golden["picture"] * 2.0).unwrap() - 1.0).unwrap();
    let start = pipeline.model().encode(&pictures, &draw(0)).unwrap();
    let run = |strength| {
        let noise = |_: u64| -> candle_core::Result<Tensor> { Ok(draw(1)) };
        let job = ImageJob { steps: 5, strength, ..two_steps() };
        let start = Some(start.clone());
        let denoising = Denoising { job: &job, condition: &condition, start, noise: &noise };
        pipeline.denoise(&denoising, &mut Events::all()).unwrap()
    };
    assert_close("flux from a picture", &run(0.6), &golden["latents"]);
    assert_far("the strength", &run(0.8), &golden["latents"]);
}

#[test]
fn the_run_notices_another_schedule_and_guidance() {
    for (name, key, value) in [
        ("dev", "use_dynamic_shifting", json!(false)),
        ("dev", "base_shift", json!(0.9)),
        ("schnell", "shift", json!(3.0)),
    ] {
        let (golden, folder) = (golden(MODEL, name), folder(name));
        let other = changed(folder.path(), "scheduler/scheduler_config.json", key, value);
        let latents = run(&pipeline(other.path()), 3.5, &golden["noise"]);
        assert_far(&format!("{name} {key}"), &latents, &golden["latents"]);
    }
    let golden = golden(MODEL, "dev");
    let latents = run(&pipeline(&tiny(MODEL)), 1.5, &golden["noise"]);
    assert_far("the guidance of dev", &latents, &golden["latents"]);
}

#[test]
fn the_vae_agrees_both_ways_and_notices_its_shift() {
    let golden = golden(MODEL, "vae");
    let folder = tiny(MODEL).join("vae");
    let vae = Vae::load(&folder, DType::F32, &place().device).unwrap();
    let encoded = vae.encode(&golden["pictures"], &golden["noise"]).unwrap();
    assert_close("flux vae encoder", &encoded, &golden["encoded"]);
    assert_close("flux vae decoder", &vae.decode(&golden["latents"]).unwrap(), &golden["decoded"]);
    let folder = with_setting(&folder, "shift_factor", json!(0.0));
    let other = Vae::load(folder.path(), DType::F32, &place().device).unwrap();
    let encoded = other.encode(&golden["pictures"], &golden["noise"]).unwrap();
    assert_far("the shift, encoding", &encoded, &golden["encoded"]);
    let decoded = other.decode(&golden["latents"]).unwrap();
    assert_far("the shift, decoding", &decoded, &golden["decoded"]);
}

#[test]
fn orders_the_model_cannot_follow_are_the_callers_mistake() {
    let mut pipeline = pipeline(&tiny(MODEL));
    for (job, expected) in [
        (ImageJob { width: 30, ..two_steps() }, "multiples of 4"),
        (ImageJob { negative_prompt: "blue".into(), ..two_steps() }, "no negative prompt"),
        (ImageJob { scheduler: SchedulerKind::Euler, ..two_steps() }, "flow_match_euler only"),
    ] {
        let outcome = pipeline.run(job, &mut Events::all());
        let Err(EngineError::InvalidInput(text)) = outcome else { panic!("{outcome:?}") };
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_picture_is_the_same_alone_and_in_a_batch() {
    let mut pipeline = pipeline(&tiny(MODEL));
    let batch = ImageJob { num_images: 2, ..two_steps() };
    let pictures = pipeline.run(batch.clone(), &mut Events::all()).unwrap();
    let alone = ImageJob { seed: batch.seed_of(1), num_images: 1, ..batch };
    assert_eq!(pipeline.run(alone, &mut Events::all()).unwrap(), pictures[1..]);
    assert_ne!(pictures[0].bytes, pictures[1].bytes);
}
