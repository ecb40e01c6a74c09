//! FLUX.2-klein: pictures from words alone and with reference pictures of several sizes.

use candle_core::Tensor;
use gpu_node::engines::{
    Engine, EngineError,
    image::{
        ImageJob,
        flux2::{Flux2Klein, Transformer, schedule_shift},
        pipeline::{LatentModel, Pipeline},
    },
};
use image::RgbImage;
use serde_json::json;
use tempfile::TempDir;

use super::{
    run::{denoise, flow_job, picture, pipeline, stepped, timesteps},
    support::{
        Events, assert_close, assert_far, assert_far_in_f32, golden, golden_json, place, tiny,
    },
};

fn transformer() -> Transformer {
    Transformer::load(&tiny("flux-2").join("transformer"), place().dtype, &place().device).unwrap()
}

fn timestep(time: &Tensor) -> f64 {
    f64::from(time.to_vec1::<f32>().unwrap()[0]) * 1000.0
}

/// The golden's second case: one picture with two references.
fn with_references(transformer: &Transformer) -> Tensor {
    let golden = golden("flux-2", "transformer");
    let references = [0, 1].map(|at| golden[&format!("reference_1_{at}")].clone());
    let conditioning = transformer.conditioning(&golden["text_1"], &references, [4, 7]).unwrap();
    transformer.forward(&golden["latents_1"], timestep(&golden["time_1"]), &conditioning).unwrap()
}

#[test]
fn the_transformer_agrees_on_words_alone() {
    let (transformer, golden) = (transformer(), golden("flux-2", "transformer"));
    let pictures: Vec<Tensor> = (0..2)
        .map(|at| {
            let words = golden["text_0"].narrow(0, at, 1).unwrap();
            let conditioning = transformer.conditioning(&words, &[], [5, 3]).unwrap();
            let latents = golden["latents_0"].narrow(0, at, 1).unwrap();
            transformer.forward(&latents, timestep(&golden["time_0"]), &conditioning).unwrap()
        })
        .collect();
    let found = Tensor::cat(&pictures, 0).unwrap();
    assert_close("flux-2 transformer", &found, &golden["out_0"]);
}

#[test]
fn the_transformer_agrees_with_two_references() {
    let golden = golden("flux-2", "transformer");
    assert_close("flux-2 with references", &with_references(&transformer()), &golden["out_1"]);
}

#[test]
fn pictures_of_the_same_words_are_the_same_alone_and_together() {
    let (transformer, golden) = (transformer(), golden("flux-2", "transformer"));
    let words = golden["text_0"].narrow(0, 0, 1).unwrap();
    let references = [golden["reference_1_0"].clone()];
    let conditioning = transformer.conditioning(&words, &references, [5, 3]).unwrap();
    let numbers = |xs: &Tensor| xs.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let run = |latents: &Tensor| transformer.forward(latents, 500.0, &conditioning).unwrap();
    let together = run(&golden["latents_0"]);
    for at in 0..2 {
        let alone = run(&golden["latents_0"].narrow(0, at, 1).unwrap());
        assert_eq!(numbers(&alone), numbers(&together.narrow(0, at, 1).unwrap()));
    }
}

#[test]
fn the_golden_notices_the_known_mistakes() {
    let (golden, found) = (golden("flux-2", "transformer"), with_references(&transformer()));
    for mistake in ["wrong_axes", "wrong_times", "wrong_modulation", "wrong_last_modulation"] {
        assert_far(mistake, &found, &golden[mistake].judged_as(&golden["out_1"]));
    }
}

fn whole() -> Pipeline<Flux2Klein> {
    pipeline(&tiny("flux-2"), Flux2Klein::load)
}

/// The same model, said to be as it was before its distillation.
fn undistilled() -> (TempDir, Pipeline<Flux2Klein>) {
    let folder = tempfile::tempdir().unwrap();
    for part in ["scheduler", "text_encoder", "tokenizer", "transformer", "vae"] {
        let to = folder.path().join(part);
        std::fs::create_dir(&to).unwrap();
        for file in std::fs::read_dir(tiny("flux-2").join(part)).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
    let index = json!({ "_class_name": "Flux2KleinPipeline", "is_distilled": false });
    std::fs::write(folder.path().join("model_index.json"), index.to_string()).unwrap();
    let pipeline = pipeline(folder.path(), Flux2Klein::load);
    (folder, pipeline)
}

fn prompts() -> [String; 2] {
    serde_json::from_value(golden_json("flux-2", "pipeline")["prompts"].clone()).unwrap()
}

fn references() -> Vec<RgbImage> {
    let golden = golden("flux-2", "pipeline");
    (0..2)
        .map(|at| {
            let pixels = &golden[&format!("reference_{at}")];
            let (height, width, _) = pixels.dims3().unwrap();
            let bytes = pixels.flatten_all().unwrap().to_vec1().unwrap();
            RgbImage::from_raw(width as u32, height as u32, bytes).unwrap()
        })
        .collect()
}

/// Latents as the autoencoder has them, in the patches and with the spread that the transformer reads.
fn of_the_transformer(latents: &Tensor) -> Tensor {
    let path = tiny("flux-2").join("vae/diffusion_pytorch_model.safetensors");
    let weights = candle_core::safetensors::load(path, &place().device).unwrap();
    let [mean, variance] = ["bn.running_mean", "bn.running_var"]
        .map(|name| weights[name].reshape((1, (), 1, 1)).unwrap());
    let (batch, channels, height, width) = latents.dims4().unwrap();
    let patches = latents
        .reshape(&[batch, channels, height / 2, 2, width / 2, 2][..])
        .and_then(|latents| latents.permute([0, 1, 3, 5, 2, 4]))
        .and_then(|latents| latents.reshape((batch, 4 * channels, height / 2, width / 2)))
        .unwrap();
    let spread = (variance + 1e-4).unwrap().sqrt().unwrap();
    patches.broadcast_sub(&mean).unwrap().broadcast_div(&spread).unwrap()
}

#[test]
fn the_schedule_is_shifted_by_size_and_steps() {
    let (pipeline, golden) = (whole(), golden("flux-2", "scheduler"));
    let cases = golden_json("flux-2", "scheduler");
    for (index, size) in [[5, 3], [64, 64], [187, 23], [32, 32]].into_iter().enumerate() {
        let case = &cases[index];
        let steps = case["steps"].as_u64().unwrap() as u32;
        let mu = schedule_shift(size[0] * size[1], steps as usize);
        assert!((mu - case["mu"].as_f64().unwrap()).abs() < 1e-9, "{mu} is not {case}");
        let job = ImageJob { steps, ..flow_job("") };
        let found = timesteps(pipeline.model(), &job, [16, size[0], size[1]]);
        assert_close("flux-2 timesteps", &found, &golden[&format!("timesteps_{index}")]);
    }
    let (job, latent) = (ImageJob { steps: 4, ..flow_job("") }, [16, 64, 64]);
    let found = stepped(pipeline.model(), (&job, latent), [&golden["noise"], &golden["outputs"]]);
    assert_close("flux-2 scheduler", &found, &golden["samples"]);
    let found = timesteps(pipeline.model(), &job, [16, 5, 3]);
    assert_far("another size", &found, &golden["timesteps_1"]);
}

#[test]
fn the_autoencoder_agrees_both_ways() {
    let (pipeline, golden) = (whole(), golden("flux-2", "vae"));
    let decoded = pipeline.model().decode(&golden["latents"]).unwrap();
    assert_close("flux-2 vae decoder", &decoded, &golden["decoded"]);
    assert_far("no batch norm", &decoded, &golden["wrong_decoded"]);
    let noise = golden["encoded"].ones_like().unwrap();
    let encoded = pipeline.model().encode(&golden["pictures"], &noise).unwrap();
    assert_close("flux-2 vae encoder", &encoded, &golden["encoded"]);
}

#[test]
fn two_steps_agree_with_guidance_where_the_model_knows_it() {
    let golden = golden("flux-2", "pipeline");
    let run = |pipeline: &Pipeline<Flux2Klein>| {
        let latents = [0, 1].map(|at| {
            let job = ImageJob { guidance: 4.0, ..flow_job(&prompts()[at]) };
            denoise(pipeline, &job, &golden["noise"].narrow(0, at, 1).unwrap(), None)
        });
        Tensor::cat(&latents, 0).unwrap()
    };
    let (_folder, undistilled) = undistilled();
    let (distilled, guided) = (whole(), run(&undistilled));
    let latents = run(&distilled);
    let decoded = picture(&distilled.model().decode(&latents).unwrap());
    assert_close("flux-2 pictures", &decoded, &golden["pictures"]);
    assert_far("guidance", &guided, &golden["latents"].map(of_the_transformer));
    assert_close("flux-2 with guidance", &guided, &golden["guided"].map(of_the_transformer));
    assert_close("flux-2 latents", &latents, &golden["latents"].map(of_the_transformer));
}

#[test]
fn an_edit_of_two_pictures_agrees() {
    let (pipeline, golden) = (whole(), golden("flux-2", "pipeline"));
    let edit = ImageJob { images: references(), ..flow_job(&prompts()[0]) };
    let noise = golden["noise"].narrow(0, 0, 1).unwrap();
    let expected = golden["edited"].map(of_the_transformer);
    assert_close("flux-2 edit", &denoise(&pipeline, &edit, &noise, None), &expected);
    let swapped = ImageJob { images: references().into_iter().rev().collect(), ..edit };
    assert_far_in_f32("swapped references", &denoise(&pipeline, &swapped, &noise, None), &expected);
}

#[test]
fn an_edit_is_the_same_again_and_its_strength_means_nothing() {
    let mut pipeline = whole();
    let job = ImageJob { metadata: false, num_images: 2, ..flow_job("a fish") };
    let edit = ImageJob { images: references(), ..job };
    let pictures = pipeline.run(edit.clone(), &mut Events::all()).unwrap();
    let other = ImageJob { strength: 0.1, ..edit.clone() };
    assert_eq!(pictures, pipeline.run(other, &mut Events::all()).unwrap());
    let alone = ImageJob { num_images: 1, seed: 8, ..edit };
    assert_eq!(pipeline.run(alone.clone(), &mut Events::all()).unwrap(), pictures[1..]);
    let told = ImageJob { metadata: true, ..alone };
    let file = &pipeline.run(told, &mut Events::all()).unwrap()[0].bytes;
    let file = String::from_utf8_lossy(file);
    assert!(file.contains("\"steps\"") && !file.contains("\"strength\""));
}

#[test]
fn more_pictures_than_a_card_can_count_are_the_callers_mistake() {
    let edit = ImageJob { images: references(), num_images: 1 << 20, ..flow_job("a fish") };
    let outcome = whole().run(edit, &mut Events::all());
    let Err(EngineError::InvalidInput(text)) = outcome else { panic!("a million are too many") };
    assert!(text.contains("pictures of this size with these references"), "{text}");
}

#[test]
fn a_reference_that_is_too_small_is_the_callers_mistake() {
    let edit = ImageJob { images: vec![RgbImage::new(63, 200)], ..flow_job("a fish") };
    let outcome = whole().run(edit, &mut Events::all());
    let Err(EngineError::InvalidInput(text)) = outcome else { panic!("63 pixels are too few") };
    assert!(text.contains("64 pixels"), "{text}");
}
