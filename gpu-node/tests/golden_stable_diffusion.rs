//! The tiny Stable Diffusion against the reference libraries, part by part and as a whole.
#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that is wrong")]

mod golden;

use std::path::Path;

use candle_core::{DType, Device, IndexOp, Tensor};
use golden::{TOLERANCE, difference, golden, tiny};
use gpu_node::engines::{
    Engine, EngineError, Sink, Stopped,
    image::{
        ImageEvent, ImageJob,
        stable_diffusion::{
            ClipTextEncoder, Denoising, PipelineOptions, PromptTokenizer, StableDiffusion, UNet,
            Vae,
        },
    },
};
use serde_json::{Value, json};
use shared::node::image::{ImageFormat, SchedulerKind};
use tempfile::TempDir;

fn assert_close(what: &str, found: &Tensor, expected: &Tensor) {
    let difference = difference(found, expected);
    eprintln!("{what}: differs by {difference:.1e}");
    assert!(difference < TOLERANCE, "{what} differs by {difference:e}");
}

/// For tests that change something on purpose: a golden that does not notice proves nothing.
fn assert_far(what: &str, found: &Tensor, expected: &Tensor) {
    let difference = difference(found, expected);
    eprintln!("{what}: differs by {difference:.1e}, as it should");
    assert!(difference > 20.0 * TOLERANCE, "the golden does not notice {what}: {difference:e}");
}

struct Steps {
    seen: Vec<u32>,
    stop_after: u32,
}

impl Sink<ImageEvent> for Steps {
    fn emit(&mut self, event: ImageEvent) -> Result<(), Stopped> {
        let ImageEvent::Step { step, .. } = event else { return Ok(()) };
        self.seen.push(step);
        if step >= self.stop_after { Err(Stopped) } else { Ok(()) }
    }
}

fn all_steps() -> Steps {
    Steps { seen: Vec::new(), stop_after: u32::MAX }
}

/// A copy of one part with one setting changed.
fn changed(part: &str, key: &str, value: Value) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(tiny().join(part)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let path = folder.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config[key] = value;
    std::fs::write(path, config.to_string()).unwrap();
    folder
}

fn text_encoder(folder: &Path) -> ClipTextEncoder {
    ClipTextEncoder::load(folder, DType::F32, &Device::Cpu).unwrap()
}

fn unet(folder: &Path) -> UNet {
    UNet::load(folder, DType::F32, &Device::Cpu).unwrap()
}

fn pipeline() -> StableDiffusion {
    let options = PipelineOptions {
        model: "tiny".into(),
        revision: "golden".into(),
        upscale: 1,
        device: Device::Cpu,
        dtype: DType::F32,
    };
    StableDiffusion::load(&tiny(), options).unwrap()
}

fn job() -> ImageJob {
    ImageJob {
        prompt: "a red fish on the left".into(),
        negative_prompt: "blue".into(),
        width: 24,
        height: 16,
        steps: 2,
        guidance: 5.0,
        seed: 7,
        scheduler: SchedulerKind::Ddim,
        num_images: 1,
        format: ImageFormat::Png,
        quality: None,
        images: Vec::new(),
        strength: 1.0,
        previews: 0,
        metadata: true,
    }
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
        assert_far("the activation", &out, &gelu["out"]);
    }
    let folder = changed("text_encoder", "hidden_act", json!("gelu"));
    let out = text_encoder(folder.path()).forward(&ids).unwrap();
    assert_close("text encoder with gelu", &out, &gelu["out"]);
}

#[test]
fn the_text_encoder_reads_positions_in_order() {
    let golden = golden("text");
    let ids = golden["ids"].to_dtype(DType::U32).unwrap();
    let backwards: Vec<u32> = (0..16).rev().collect();
    let backwards = Tensor::new(backwards, &Device::Cpu).unwrap();
    let flip = |xs: &Tensor| xs.index_select(&backwards, 1).unwrap();
    let out = text_encoder(&tiny().join("text_encoder")).forward(&flip(&ids)).unwrap();
    assert_far("the order of positions", &flip(&out), &golden["out"]);
}

#[test]
fn the_unet_agrees_at_odd_sizes_and_any_timestep() {
    let golden = golden("unet");
    let unet = unet(&tiny().join("unet"));
    for (name, timestep) in [("out_321", 321.0), ("out_0", 0.0), ("out_fraction", 640.4545)] {
        let out = unet.forward(&golden["latents"], timestep, &golden["text"]).unwrap();
        assert_close(&format!("unet {name}"), &out, &golden[name]);
    }
    let out = unet.forward(&golden["latents"], 322.0, &golden["text"]).unwrap();
    assert_far("the timestep", &out, &golden["out_321"]);
}

#[test]
fn a_unet_of_the_second_style_agrees() {
    let golden = golden("unet_linear");
    let out = unet(&tiny().join("unet_linear"))
        .forward(&golden["latents"], 77.0, &golden["text"])
        .unwrap();
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
        let folder = changed("unet", key, value);
        let out = unet(folder.path()).forward(&golden["latents"], 321.0, &golden["text"]).unwrap();
        assert_far(key, &out, &golden["out_321"]);
    }
}

#[test]
fn an_unsupported_configuration_is_refused_by_name() {
    for (key, value) in [
        ("dual_cross_attention", json!(true)),
        ("addition_embed_type", json!("text_time")),
        ("act_fn", json!("mish")),
        ("down_block_types", json!(["AttnDownBlock2D", "DownBlock2D"])),
        ("mid_block_type", json!("UNetMidBlock2DSimpleCrossAttn")),
    ] {
        let folder = changed("unet", key, value);
        let error = UNet::load(folder.path(), DType::F32, &Device::Cpu).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
    let folder = changed("vae", "latents_mean", json!([0.1]));
    let error = Vae::load(folder.path(), DType::F32, &Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("latents_mean"), "{error}");
}

#[test]
fn the_vae_agrees_both_ways() {
    let golden = golden("vae");
    let vae = Vae::load(&tiny().join("vae"), DType::F32, &Device::Cpu).unwrap();
    let (mean, log_variance) = vae.encode(&golden["pictures"]).unwrap();
    assert_close("vae mean", &mean, &golden["mean"]);
    assert_close("vae variance", &log_variance, &golden["log_variance"]);
    assert_close("vae decoder", &vae.decode(&golden["latents"]).unwrap(), &golden["decoded"]);

    let folder = changed("vae", "scaling_factor", json!(0.13025));
    let other = Vae::load_decoder(folder.path(), DType::F32, &Device::Cpu).unwrap();
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
    let text = |prompts: [&str; 2]| {
        let parts = prompts.map(|prompt| engine.encode_prompt(prompt).unwrap());
        Tensor::cat(&parts, 0).unwrap()
    };
    let towards = text(["a red fish on the left", "blue house"]);
    let away = text(["blue", "the red"]);
    let job = job();
    let run = |text: (&Tensor, Option<&Tensor>)| {
        let text = (text.0.clone(), text.1.cloned());
        let denoising = Denoising { job: &job, text, noise: golden["noise"].clone() };
        engine.denoise(&denoising, &mut all_steps()).unwrap()
    };
    let latents = run((&towards, Some(&away)));
    assert_close("latents with guidance", &latents, &golden["latents"]);
    assert_close("latents without", &run((&towards, None)), &golden["without_guidance"]);
    assert_far("swapped guidance", &run((&away, Some(&towards))), &golden["latents"]);

    let pictures = engine.decode(&latents).unwrap();
    let pictures = ((pictures * 0.5).unwrap() + 0.5).unwrap().clamp(0.0, 1.0).unwrap();
    assert_close("pictures", &pictures, &golden["pictures"]);
}

#[test]
fn a_picture_is_the_same_again_alone_and_in_a_batch() {
    let mut engine = pipeline();
    for scheduler in [SchedulerKind::Ddim, SchedulerKind::EulerAncestral] {
        let batch = ImageJob { num_images: 3, scheduler, ..job() };
        let pictures = engine.run(batch.clone(), &mut all_steps()).unwrap();
        assert_eq!(pictures, engine.run(batch, &mut all_steps()).unwrap());
        assert_eq!(pictures.iter().map(|picture| picture.seed).collect::<Vec<_>>(), [7, 8, 9]);
        let alone = ImageJob { seed: 9, scheduler, ..job() };
        assert_eq!(engine.run(alone, &mut all_steps()).unwrap(), pictures[2..]);
        assert_ne!(pictures[0].bytes, pictures[1].bytes);
    }
}

#[test]
fn a_picture_does_not_depend_on_the_number_of_threads() {
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| pipeline().run(job(), &mut all_steps()).unwrap())
    };
    assert_eq!(run(1), run(5));
}

#[test]
fn every_scheduler_and_format_gives_a_picture_of_the_asked_size() {
    let mut engine = pipeline();
    for scheduler in [
        SchedulerKind::Ddim,
        SchedulerKind::Euler,
        SchedulerKind::EulerAncestral,
        SchedulerKind::DpmppMultistep,
    ] {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Webp] {
            let job = ImageJob { scheduler, format, steps: 3, ..job() };
            let pictures = engine.run(job, &mut all_steps()).unwrap();
            let picture = image::load_from_memory(&pictures[0].bytes).unwrap();
            assert_eq!((picture.width(), picture.height()), (24, 16));
        }
    }
}

#[test]
fn a_run_stops_at_the_step_where_nobody_listens_any_more() {
    let mut sink = Steps { seen: Vec::new(), stop_after: 2 };
    let outcome = pipeline().run(ImageJob { steps: 9, ..job() }, &mut sink);
    assert!(matches!(outcome, Err(EngineError::Cancelled)));
    assert_eq!(sink.seen, [1, 2]);
}

#[test]
fn a_size_the_model_cannot_make_is_the_callers_mistake() {
    let outcome = pipeline().run(ImageJob { width: 22, ..job() }, &mut all_steps());
    let Err(EngineError::InvalidInput(text)) = outcome else { panic!("22 is no multiple of 4") };
    assert_eq!(text, "width and height must be multiples of 4, not 22");
}

#[test]
fn numbers_gone_astray_are_an_error_and_no_black_picture() {
    let engine = pipeline();
    let job = job();
    let text = engine.encode_prompt("a fish").unwrap();
    let noise = Tensor::full(f32::INFINITY, (1, 4, 4, 4), &Device::Cpu).unwrap();
    let denoising = Denoising { job: &job, text: (text, None), noise };
    let outcome = engine.denoise(&denoising, &mut all_steps());
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
        let shards: &mut [std::collections::HashMap<String, Tensor>; 2] = &mut shards;
        shards[index % 2].insert(name.clone(), tensor.clone());
        map.insert(name.clone(), json!(format!("part-{}.safetensors", index % 2)));
    }
    for (index, shard) in shards.iter().enumerate() {
        let path = folder.path().join(format!("part-{index}.safetensors"));
        candle_core::safetensors::save(shard, path).unwrap();
    }
    let index = folder.path().join("diffusion_pytorch_model.safetensors.index.json");
    std::fs::write(&index, json!({ "weight_map": map }).to_string()).unwrap();
    let out = unet(folder.path()).forward(&golden["latents"], 321.0, &golden["text"]).unwrap();
    assert_close("shards", &out, &golden["out_321"]);

    std::fs::remove_file(index).unwrap();
    let half: std::collections::HashMap<_, _> = weights
        .iter()
        .map(|(name, tensor)| (name.clone(), tensor.to_dtype(DType::F16).unwrap()))
        .collect();
    let path = folder.path().join("diffusion_pytorch_model.fp16.safetensors");
    candle_core::safetensors::save(&half, path).unwrap();
    let out = unet(folder.path()).forward(&golden["latents"], 321.0, &golden["text"]).unwrap();
    let error = difference(&out, &golden["out_321"]);
    assert!(error < 2e-2, "half precision is off by {error}");
    assert!(out.i(0).is_ok());
}
