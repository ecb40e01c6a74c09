//! The tiny Stable Diffusion against the reference libraries, part by part and as a whole.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, IndexOp, Tensor};
use gpu_node::engines::{
    Engine, EngineError,
    image::{
        EncodedImage, ImageJob, Vae,
        pipeline::{Denoising, LatentModel, Pipeline},
        stable_diffusion::{EncodedPrompt, StableDiffusion, UNet},
        text_encoders::{ClipTextEncoder, PromptTokenizer},
    },
};
use serde_json::json;
use shared::node::image::SchedulerKind;

use crate::support::{
    self, Events, Golden, assert_close, assert_far, assert_far_in_f32, changed, difference, given,
    job, options, place, with_setting,
};

pub(crate) fn tiny() -> PathBuf {
    support::tiny("stable-diffusion")
}

fn golden(name: &str) -> HashMap<String, Golden> {
    support::golden("stable-diffusion", name)
}

fn text_encoder(folder: &Path) -> ClipTextEncoder {
    ClipTextEncoder::load(folder, place().dtype, &place().device).unwrap()
}

fn predicted(unet: &UNet, golden: &HashMap<String, Golden>, timestep: f64) -> Tensor {
    let (latents, text) = (given(&golden["latents"]), given(&golden["text"]));
    unet.forward(&latents, timestep, &text, None).unwrap()
}

fn unet(folder: &Path) -> UNet {
    UNet::load(folder, place().dtype, &place().device).unwrap()
}

pub(crate) fn pipeline() -> Pipeline<StableDiffusion> {
    Pipeline::new(StableDiffusion::load(&tiny(), &options()).unwrap(), options())
}

pub(crate) fn pictures(job: ImageJob) -> Vec<EncodedImage> {
    pipeline().run(job, &mut Events::all()).unwrap()
}

fn prompts() -> Vec<String> {
    let text = std::fs::read_to_string(tiny().join("golden/prompts.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn prompts_become_the_same_ids() {
    let expected: Vec<Vec<i64>> = golden("text")["ids"].to_vec2().unwrap();
    let vocabulary = tempfile::tempdir().unwrap();
    for name in ["vocab.json", "merges.txt", "tokenizer_config.json"] {
        std::fs::copy(tiny().join("tokenizer").join(name), vocabulary.path().join(name)).unwrap();
    }
    for folder in [tiny().join("tokenizer").as_path(), vocabulary.path()] {
        let tokenizer = PromptTokenizer::load(folder, 16).unwrap();
        for (prompt, expected) in prompts().iter().zip(&expected) {
            let ids: Vec<i64> =
                tokenizer.encode(prompt).unwrap().into_iter().map(i64::from).collect();
            assert_eq!(&ids, expected, "{prompt:?} from {}", folder.display());
        }
    }
}

#[test]
fn the_text_encoder_agrees_with_either_kind_of_keys_and_either_activation() {
    let (golden, gelu) = (golden("text"), golden("text_gelu"));
    let ids = golden["ids"].to_dtype(DType::U32).unwrap();
    for part in ["text_encoder", "text_encoder_prefixed"] {
        let out = text_encoder(&tiny().join(part)).forward(&ids).unwrap();
        assert_close(part, &out, &golden["out"]);
        assert_far_in_f32("the activation", &out, &gelu["out"]);
    }
    let folder = with_setting(&tiny().join("text_encoder"), "hidden_act", json!("gelu"));
    let out = text_encoder(folder.path()).forward(&ids).unwrap();
    assert_close("text encoder with gelu", &out, &gelu["out"]);
}

#[test]
fn the_text_encoder_reads_positions_in_order() {
    let golden = golden("text");
    let ids = golden["ids"].to_dtype(DType::U32).unwrap();
    let backwards: Vec<u32> = (0..16).rev().collect();
    let backwards = Tensor::new(backwards, &place().device).unwrap();
    let flip = |xs: &Tensor| xs.index_select(&backwards, 1).unwrap();
    let out = text_encoder(&tiny().join("text_encoder")).forward(&flip(&ids)).unwrap();
    assert_far("the order of positions", &flip(&out), &golden["out"]);
}

#[test]
fn the_unet_agrees_at_odd_sizes_and_any_timestep() {
    let golden = golden("unet");
    let unet = unet(&tiny().join("unet"));
    for (name, timestep) in [("out_321", 321.0), ("out_0", 0.0), ("out_fraction", 640.4545)] {
        let out = predicted(&unet, &golden, timestep);
        assert_close(&format!("unet {name}"), &out, &golden[name]);
    }
    let out = predicted(&unet, &golden, 322.0);
    assert_far_in_f32("the timestep", &out, &golden["out_321"]);
}

#[test]
fn a_unet_of_the_second_style_agrees() {
    let golden = golden("unet_linear");
    let out = predicted(&unet(&tiny().join("unet_linear")), &golden, 77.0);
    assert_close("unet with linear projections", &out, &golden["out"]);
}

#[test]
fn the_goldens_notice_a_wrong_unet_configuration() {
    let golden = golden("unet");
    for (key, value) in [
        ("attention_head_dim", json!(8)),
        ("flip_sin_to_cos", json!(false)),
        ("freq_shift", json!(1)),
        ("norm_num_groups", json!(4)),
        ("norm_eps", json!(1e-2)),
    ] {
        let folder = with_setting(&tiny().join("unet"), key, value);
        let out = predicted(&unet(folder.path()), &golden, 321.0);
        let check = match key {
            "attention_head_dim" | "norm_eps" => assert_far_in_f32,
            _ => assert_far,
        };
        check(key, &out, &golden["out_321"]);
    }
}

#[test]
fn an_unsupported_configuration_is_refused_by_name() {
    for (key, value) in [
        ("dual_cross_attention", json!(true)),
        ("addition_embed_type", json!("text_image")),
        ("act_fn", json!("mish")),
        ("down_block_types", json!(["AttnDownBlock2D", "DownBlock2D"])),
        ("mid_block_type", json!("UNetMidBlock2DSimpleCrossAttn")),
    ] {
        let folder = with_setting(&tiny().join("unet"), key, value);
        let error =
            UNet::load(folder.path(), place().dtype, &place().device).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
    let folder = with_setting(&tiny().join("vae"), "latents_mean", json!([0.1]));
    let error = Vae::load(folder.path(), DType::F32, &place().device).unwrap_err().to_string();
    assert!(error.contains("latents_mean"), "{error}");
}

#[test]
fn the_vae_agrees_both_ways() {
    let golden = golden("vae");
    let vae = Vae::load(&tiny().join("vae"), DType::F32, &place().device).unwrap();
    let (mean, log_variance) = vae.moments(&golden["pictures"]).unwrap();
    assert_close("vae mean", &mean, &golden["mean"]);
    assert_close("vae variance", &log_variance, &golden["log_variance"]);
    assert_close("vae decoder", &vae.decode(&golden["latents"]).unwrap(), &golden["decoded"]);

    let folder = with_setting(&tiny().join("vae"), "scaling_factor", json!(0.13025));
    let other = Vae::load_decoder(folder.path(), DType::F32, &place().device).unwrap();
    assert_far(
        "the scaling factor",
        &other.decode(&golden["latents"]).unwrap(),
        &golden["decoded"],
    );
}

#[test]
fn a_whole_run_agrees_with_and_without_guidance() {
    let golden = golden("pipeline");
    let engine = pipeline();
    let towards = support::prompts(&engine, ["a red fish on the left", "blue house"]);
    let away = support::prompts(&engine, ["blue", "the red"]);
    let job = job();
    let run = |towards: &EncodedPrompt, away: Option<&EncodedPrompt>| {
        let away = away.map(|away| (away, job.guidance));
        let condition = engine.model().guided(towards, away, [16, 24]).unwrap();
        let noise = |_| Ok(golden["noise"].clone());
        let denoising = Denoising { job: &job, condition: &condition, start: None, noise: &noise };
        engine.denoise(&denoising, &mut Events::all()).unwrap()
    };
    let latents = run(&towards, Some(&away));
    assert_close("latents with guidance", &latents, &golden["latents"]);
    assert_close("latents without", &run(&towards, None), &golden["without_guidance"]);
    assert_far("swapped guidance", &run(&away, Some(&towards)), &golden["latents"]);

    let pictures = engine.model().decode(&latents).unwrap();
    let pictures = ((pictures * 0.5).unwrap() + 0.5).unwrap().clamp(0.0, 1.0).unwrap();
    assert_close("pictures", &pictures, &golden["pictures"]);
}

#[test]
fn numbers_gone_astray_are_an_error_and_no_black_picture() {
    let engine = pipeline();
    let job = job();
    let fish = engine.model().prompts().encode("a fish").unwrap();
    let condition = engine.model().guided(&fish, None, [16, 16]).unwrap();
    let noise = |_| Tensor::full(f32::INFINITY, (1, 4, 4, 4), &place().device);
    let denoising = Denoising { job: &job, condition: &condition, start: None, noise: &noise };
    let outcome = engine.denoise(&denoising, &mut Events::all());
    assert!(matches!(outcome, Err(EngineError::Failed(_))));
}

#[test]
fn half_precision_files_and_shards_load_like_whole_ones() {
    let golden = golden("unet");
    let weights = candle_core::safetensors::load(
        tiny().join("unet/diffusion_pytorch_model.safetensors"),
        &Device::Cpu,
    )
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.json");
    std::fs::copy(tiny().join("unet/config.json"), config).unwrap();

    let (mut map, mut shards) = (serde_json::Map::new(), [Default::default(), Default::default()]);
    for (index, (name, tensor)) in weights.iter().enumerate() {
        let shards: &mut [HashMap<String, Tensor>; 2] = &mut shards;
        shards[index % 2].insert(name.clone(), tensor.clone());
        map.insert(name.clone(), json!(format!("part-{}.safetensors", index % 2)));
    }
    for (index, shard) in shards.iter().enumerate() {
        let path = folder.path().join(format!("part-{index}.safetensors"));
        candle_core::safetensors::save(shard, path).unwrap();
    }
    let index = folder.path().join("diffusion_pytorch_model.safetensors.index.json");
    std::fs::write(&index, json!({ "weight_map": map }).to_string()).unwrap();
    let out = predicted(&unet(folder.path()), &golden, 321.0);
    assert_close("shards", &out, &golden["out_321"]);

    std::fs::remove_file(index).unwrap();
    let half: HashMap<_, _> = weights
        .iter()
        .map(|(name, tensor)| (name.clone(), tensor.to_dtype(DType::F16).unwrap()))
        .collect();
    let path = folder.path().join("diffusion_pytorch_model.fp16.safetensors");
    candle_core::safetensors::save(&half, path).unwrap();
    let out = predicted(&unet(folder.path()), &golden, 321.0);
    let error = difference(&out, &golden["out_321"]);
    assert!(error < 2e-2, "half precision is off by {error}");
    assert!(out.i(0).is_ok());
}

/// Draws as the reference made them: the first noise, then one tensor for each step that was run.
fn draws(noise: &Tensor, first_step: u64) -> impl Fn(u64) -> candle_core::Result<Tensor> {
    move |draw| match draw {
        0 => noise.i(0),
        draw => noise.i((draw - first_step) as usize),
    }
}

#[test]
fn the_runs_that_turbo_is_made_for_agree() {
    let golden = golden("turbo");
    let turbo = |prediction: &str, spacing: &str| {
        let file = "scheduler/scheduler_config.json";
        let folder = changed(&tiny(), file, "prediction_type", json!(prediction));
        let folder = changed(folder.path(), file, "timestep_spacing", json!(spacing));
        Pipeline::new(StableDiffusion::load(folder.path(), &options()).unwrap(), options())
    };
    let run = |engine: &Pipeline<StableDiffusion>, scheduler, steps| {
        let towards = support::prompts(engine, ["a red fish on the left", "blue house"]);
        let job = ImageJob { steps, scheduler, guidance: 0.0, ..job() };
        let denoising = Denoising {
            job: &job,
            condition: &engine.model().guided(&towards, None, [16, 24]).unwrap(),
            start: None,
            noise: &draws(&golden["noise"], 0),
        };
        engine.denoise(&denoising, &mut Events::all()).unwrap()
    };
    let engine = turbo("epsilon", "trailing");
    let predicts_v = turbo("v_prediction", "trailing");
    for steps in [1, 2] {
        for (name, engine, scheduler) in [
            ("euler", &engine, SchedulerKind::Euler),
            ("ancestral", &engine, SchedulerKind::EulerAncestral),
            ("ancestral_v", &predicts_v, SchedulerKind::EulerAncestral),
        ] {
            let name = format!("{name}_{steps}");
            assert_close(&name, &run(engine, scheduler, steps), &golden[&name]);
        }
    }
    let leading = run(&turbo("epsilon", "leading"), SchedulerKind::EulerAncestral, 2);
    assert_far("the spacing", &leading, &golden["ancestral_2"]);
    let other = run(&predicts_v, SchedulerKind::EulerAncestral, 2);
    assert_far("the prediction type", &other, &golden["ancestral_2"]);
}

#[test]
fn runs_that_start_from_a_picture_agree_with_every_scheduler() {
    let golden = golden("from_picture");
    let engine = pipeline();
    for (name, scheduler) in [
        ("ddim", SchedulerKind::Ddim),
        ("euler", SchedulerKind::Euler),
        ("euler_ancestral", SchedulerKind::EulerAncestral),
        ("dpmpp_multistep", SchedulerKind::DpmppMultistep),
    ] {
        let run = |strength| support::run_from_picture(&engine, &golden, scheduler, strength);
        assert_close(&format!("{name} from a picture"), &run(0.5), &golden[name]);
        assert_far("the strength", &run(0.7), &golden[name]);
    }
}

#[test]
fn a_schedule_of_flows_is_refused() {
    let file = "scheduler/scheduler_config.json";
    let folder = changed(&tiny(), file, "_class_name", json!("FlowMatchEulerDiscreteScheduler"));
    let error = StableDiffusion::load(folder.path(), &options()).err().unwrap().to_string();
    assert!(error.contains("_class_name"), "{error}");
}
