//! The tiny Stable Diffusion XL: two encoders, the sizes and the pooled text, whole runs.

use std::path::PathBuf;

use candle_core::{DType, IndexOp, Tensor};
use gpu_node::engines::{
    Engine,
    image::{
        ImageJob, Vae,
        pipeline::{Denoising, LatentModel, Pipeline},
        stable_diffusion::{EncodedPrompt, StableDiffusion, UNet},
        text_encoders::{ClipTextEncoder, PromptTokenizer},
    },
};
use image::{Rgb, RgbImage};
use serde_json::json;
use shared::node::image::SchedulerKind;

use crate::support::{
    self, Events, Golden, assert_close, assert_far, assert_far_in_f32, changed, given, golden,
    golden_json, job, options, place, with_setting,
};

const MODEL: &str = "stable-diffusion-xl";

fn tiny() -> PathBuf {
    support::tiny(MODEL)
}

fn pipeline() -> Pipeline<StableDiffusion> {
    Pipeline::new(StableDiffusion::load(&tiny(), &options()).unwrap(), options())
}

fn text_encoder(folder: &std::path::Path) -> ClipTextEncoder {
    ClipTextEncoder::load(folder, place().dtype, &place().device).unwrap()
}

#[test]
fn both_encoders_agree_with_their_own_padding_and_pooling() {
    let golden = golden(MODEL, "text");
    let prompts: Vec<String> = serde_json::from_value(golden_json(MODEL, "prompts")).unwrap();
    for (number, suffix) in [(1, ""), (2, "_2")] {
        let part = |name: &str| &golden[&format!("{name}_{number}")];
        let tokenizer =
            PromptTokenizer::load(&tiny().join(format!("tokenizer{suffix}")), 16).unwrap();
        let ids: Vec<Vec<u32>> =
            prompts.iter().map(|prompt| tokenizer.encode(prompt).unwrap()).collect();
        let expected: Vec<Vec<u32>> = part("ids").to_dtype(DType::U32).unwrap().to_vec2().unwrap();
        assert_eq!(ids, expected, "tokenizer{suffix}");

        let ids = Tensor::new(ids, &place().device).unwrap();
        let states =
            text_encoder(&tiny().join(format!("text_encoder{suffix}"))).states(&ids).unwrap();
        assert_close(
            &format!("encoder {number} penultimate"),
            &states.penultimate,
            part("penultimate"),
        );
        assert_close(&format!("encoder {number} last"), &states.last, part("last"));
        assert_close(&format!("encoder {number} pooled"), &states.pooled, part("pooled"));
        assert_far("the layer", &states.last, part("penultimate"));
    }
}

#[test]
fn the_pooled_text_is_that_of_the_prompts_end() {
    let golden = golden(MODEL, "text");
    let ids = golden["ids_2"].to_dtype(DType::U32).unwrap();
    // As if a prompt ended where its padding begins.
    let folder = with_setting(&tiny().join("text_encoder_2"), "eos_token_id", json!(0));
    let states = text_encoder(folder.path()).states(&ids).unwrap();
    assert_far("where a prompt ends", &states.pooled, &golden["pooled_2"]);
}

#[test]
fn the_unet_agrees_when_told_sizes_and_pooled_text() {
    let golden = golden(MODEL, "unet");
    let unet = UNet::load(&tiny().join("unet"), place().dtype, &place().device).unwrap();
    let sizes: Vec<Vec<f64>> = golden["sizes"].to_dtype(DType::F64).unwrap().to_vec2().unwrap();
    let run = |pooled: &Tensor, sizes: &[Vec<f64>]| {
        let added = unet.embed_added(&given(pooled), sizes).unwrap();
        let (latents, text) = (given(&golden["latents"]), given(&golden["text"]));
        unet.forward(&latents, 321.0, &text, Some(&added)).unwrap()
    };
    let pooled: &Tensor = &golden["pooled"];
    assert_close("xl unet", &run(pooled, &sizes), &golden["out"]);

    let swapped: Vec<Vec<f64>> =
        sizes.iter().map(|s| vec![s[1], s[0], s[2], s[3], s[5], s[4]]).collect();
    assert_far("width before height", &run(pooled, &swapped), &golden["out"]);
    let moved: Vec<Vec<f64>> =
        sizes.iter().map(|s| vec![s[4], s[5], s[2], s[3], s[0], s[1]]).collect();
    assert_far("the target before the original", &run(pooled, &moved), &golden["out"]);
    let zeros = pooled.zeros_like().unwrap();
    assert_far("no pooled text", &run(&zeros, &sizes), &golden["out"]);
    let alone = unet.forward(&given(&golden["latents"]), 321.0, &given(&golden["text"]), None);
    assert!(alone.is_err(), "a UNet that is told sizes does not run without them");
}

#[test]
fn the_vae_agrees_both_ways_with_its_own_scaling() {
    let golden = golden(MODEL, "vae");
    let vae = Vae::load(&tiny().join("vae"), DType::F32, &place().device).unwrap();
    let encoded = vae.encode(&golden["pictures"], &golden["noise"]).unwrap();
    assert_close("xl vae encoder", &encoded, &golden["encoded"]);
    assert_close("xl vae decoder", &vae.decode(&golden["latents"]).unwrap(), &golden["decoded"]);
    let plain = vae.encode(&golden["pictures"], &golden["noise"].zeros_like().unwrap()).unwrap();
    assert_far("the noise of the encoder", &plain, &golden["encoded"]);
}

#[test]
fn whole_runs_agree_with_each_kind_of_guidance() {
    let golden = golden(MODEL, "pipeline");
    let engine = pipeline();
    let model = engine.model();
    let towards = support::prompts(&engine, ["a red fish on the left", "blue house"]);
    let away = support::prompts(&engine, ["blue", "the red"]);
    let zeros = model.prompts().encode_negative("").unwrap();
    let zeros = EncodedPrompt::cat(&[&zeros, &zeros]).unwrap();
    let job = ImageJob { scheduler: SchedulerKind::Euler, ..job() };
    let run = |away: Option<&EncodedPrompt>, size: [usize; 2]| {
        let condition = model.guided(&towards, away.map(|away| (away, 5.0)), size).unwrap();
        let noise = |_| golden["noise"].i(0);
        let denoising = Denoising { job: &job, condition: &condition, start: None, noise: &noise };
        engine.denoise(&denoising, &mut Events::all()).unwrap()
    };
    let latents = run(Some(&away), [16, 24]);
    assert_close("xl latents with a negative prompt", &latents, &golden["latents"]);
    assert_close("xl latents without one", &run(Some(&zeros), [16, 24]), &golden["zeros"]);
    assert_close("xl latents without guidance", &run(None, [16, 24]), &golden["unguided"]);
    assert_far_in_f32("the picture's size", &run(Some(&away), [24, 16]), &golden["latents"]);

    let empty = support::prompts(&engine, ["", ""]);
    assert_close("xl latents away from empty", &run(Some(&empty), [16, 24]), &golden["empty"]);
    assert_far_in_f32("zeros for an empty prompt", &run(Some(&empty), [16, 24]), &golden["zeros"]);

    let pictures = model.decode(&latents).unwrap();
    let pictures = ((pictures * 0.5).unwrap() + 0.5).unwrap().clamp(0.0, 1.0).unwrap();
    assert_close("xl pictures", &pictures, &golden["pictures"]);
}

#[test]
fn an_empty_negative_prompt_is_encoded_where_the_index_says_so() {
    let folder = changed(&tiny(), "model_index.json", "force_zeros_for_empty_prompt", json!(false));
    let model = StableDiffusion::load(folder.path(), &options()).unwrap();
    let negative = model.prompts().encode_negative("").unwrap();
    let encoded = model.prompts().encode("").unwrap();
    assert_close("an encoded empty prompt", &negative.text, &Golden::exact(encoded.text.clone()));
    let zeros = pipeline().model().prompts().encode_negative("").unwrap();
    assert_close("zeros", &zeros.text, &Golden::exact(encoded.text.zeros_like().unwrap()));
}

#[test]
fn turbo_runs_agree_at_trailing_timesteps_only() {
    let golden = golden(MODEL, "pipeline");
    let run = |spacing: &str| {
        let file = "scheduler/scheduler_config.json";
        let folder = changed(&tiny(), file, "timestep_spacing", json!(spacing));
        let model = StableDiffusion::load(folder.path(), &options()).unwrap();
        let engine = Pipeline::new(model, options());
        let towards = support::prompts(&engine, ["a red fish on the left", "blue house"]);
        let job = ImageJob { scheduler: SchedulerKind::EulerAncestral, guidance: 0.0, ..job() };
        let denoising = Denoising {
            job: &job,
            condition: &engine.model().guided(&towards, None, [16, 24]).unwrap(),
            start: None,
            noise: &|draw| golden["noise"].i(draw as usize),
        };
        engine.denoise(&denoising, &mut Events::all()).unwrap()
    };
    assert_close("xl turbo", &run("trailing"), &golden["turbo"]);
    assert_far("the spacing", &run("leading"), &golden["turbo"]);
}

#[test]
fn a_run_from_a_picture_agrees() {
    let golden = golden("stable-diffusion", "from_picture");
    let engine = pipeline();
    let run =
        |strength| support::run_from_picture(&engine, &golden, SchedulerKind::Euler, strength);
    assert_close("xl from a picture", &run(0.5), &golden["xl"]);
    assert_far("the strength", &run(0.7), &golden["xl"]);
}

#[test]
fn a_job_gives_pictures_that_are_the_same_alone_and_in_a_batch() {
    let picture = RgbImage::from_fn(30, 30, |x, y| Rgb([x as u8 * 8, y as u8 * 8, 40]));
    for images in [Vec::new(), vec![picture]] {
        let batch = ImageJob {
            scheduler: SchedulerKind::EulerAncestral,
            num_images: 2,
            steps: 4,
            strength: 0.6,
            images,
            ..job()
        };
        let both = pipeline().run(batch.clone(), &mut Events::all()).unwrap();
        let alone = ImageJob { seed: 8, num_images: 1, ..batch };
        assert_eq!(pipeline().run(alone, &mut Events::all()).unwrap(), both[1..]);
    }
}

#[test]
fn the_refiner_and_mixed_parts_are_refused() {
    let refused = |key: &str, value| {
        let folder = changed(&tiny(), "model_index.json", key, value);
        StableDiffusion::load(folder.path(), &options()).err().unwrap().to_string()
    };
    assert!(
        refused("requires_aesthetics_score", json!(true)).contains("requires_aesthetics_score")
    );
    assert!(refused("_class_name", json!("StableDiffusionPipeline")).contains("kinds"));
    assert!(refused("_class_name", json!("KolorsPipeline")).contains("_class_name"));
}
