//! Z-Image: picture and caption whose numbers of tokens are no multiples of 32, and the mistakes others make there.

use std::collections::HashMap;

use candle_core::Tensor;
use gpu_node::engines::{
    Engine,
    image::{
        ImageJob,
        pipeline::{LatentModel, Pipeline},
        z_image::{Transformer, ZImage},
    },
};

use super::{
    run::{denoise, flow_job, picture, pipeline, stepped, timesteps},
    support::{Events, Golden, assert_close, assert_far, golden, golden_json, place, tiny},
};

fn transformer() -> Transformer {
    Transformer::load(&tiny("z-image").join("transformer"), place().dtype, &place().device).unwrap()
}

/// All pictures of one case; those of the golden's first case have captions of different lengths.
fn run(transformer: &Transformer, golden: &HashMap<String, Golden>, case: usize) -> Tensor {
    let latents = &golden[&format!("latents_{case}")];
    let (count, _, height, width) = latents.dims4().unwrap();
    let time: Vec<f32> = golden[&format!("time_{case}")].to_vec1().unwrap();
    let pictures: Vec<Tensor> = (0..count)
        .map(|at| {
            let caption = golden
                .get(&format!("caption_{case}_{at}"))
                .unwrap_or(&golden[&format!("caption_{case}_0")]);
            let caption =
                transformer.caption(&caption.unsqueeze(0).unwrap(), [height, width]).unwrap();
            let picture = latents.narrow(0, at, 1).unwrap();
            transformer.forward(&picture, f64::from(time[0]), &caption).unwrap()
        })
        .collect();
    // The reference gives the direction from noise to picture.
    Tensor::cat(&pictures, 0).unwrap().neg().unwrap()
}

#[test]
fn the_transformer_agrees_with_and_without_filling() {
    let (transformer, golden) = (transformer(), golden("z-image", "transformer"));
    for case in 0..4 {
        let found = run(&transformer, &golden, case);
        assert_close(
            &format!("z-image transformer {case}"),
            &found,
            &golden[&format!("out_{case}")],
        );
    }
}

#[test]
fn pictures_of_one_caption_are_the_same_alone_and_together() {
    let (transformer, golden) = (transformer(), golden("z-image", "transformer"));
    let caption = golden["caption_3_0"].unsqueeze(0).unwrap();
    let caption = transformer.caption(&caption, [10, 6]).unwrap();
    let together = transformer.forward(&golden["latents_3"], 0.25, &caption).unwrap();
    assert_close("z-image batch", &together.neg().unwrap(), &golden["out_3"]);
    let second = golden["latents_3"].narrow(0, 1, 1).unwrap();
    let alone = transformer.forward(&second, 0.25, &caption).unwrap();
    let numbers = |xs: &Tensor| xs.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(numbers(&alone), numbers(&together.narrow(0, 1, 1).unwrap()));
}

#[test]
fn the_golden_notices_the_known_mistakes() {
    let golden = golden("z-image", "transformer");
    let found = run(&transformer(), &golden, 0);
    for mistake in [
        "wrong_offset",
        "wrong_axes",
        "wrong_picture_filling",
        "wrong_caption_filling",
        "wrong_modulation",
    ] {
        assert_far(mistake, &found, &golden[mistake].judged_as(&golden["out_0"]));
    }
    assert_far("the sign", &found.neg().unwrap(), &golden["out_0"]);
}

#[test]
fn a_caption_made_for_another_size_is_refused() {
    let (transformer, golden) = (transformer(), golden("z-image", "transformer"));
    let caption = golden["caption_3_0"].unsqueeze(0).unwrap();
    assert!(transformer.caption(&caption, [11, 6]).is_err());
    let small = transformer.caption(&caption, [8, 6]).unwrap();
    assert!(transformer.forward(&golden["latents_3"], 0.25, &small).is_err());
    let error = transformer.caption(&caption, [80, 6]).unwrap_err().to_string();
    assert!(error.contains("32 positions"), "{error}");
}

fn whole() -> Pipeline<ZImage> {
    pipeline(&tiny("z-image"), ZImage::load)
}

#[test]
fn the_schedule_is_shifted_and_its_timesteps_too() {
    let (pipeline, golden) = (whole(), golden("z-image", "scheduler"));
    for steps in [2, 8, 9] {
        let (job, latent) = (ImageJob { steps, ..flow_job("") }, [4, 6, 10]);
        let found = timesteps(pipeline.model(), &job, latent);
        assert_close("z-image timesteps", &found, &golden[&format!("timesteps_{steps}")]);
        let given = ["noise", "outputs"].map(|name| &*golden[&format!("{name}_{steps}")]);
        let found = stepped(pipeline.model(), (&job, latent), given);
        assert_close("z-image scheduler", &found, &golden[&format!("samples_{steps}")]);
    }
    let found = timesteps(pipeline.model(), &ImageJob { steps: 8, ..flow_job("") }, [4, 6, 10]);
    assert_far("a schedule without shift", &found, &golden["wrong_timesteps_8"]);
}

#[test]
fn the_autoencoder_agrees_both_ways() {
    let (pipeline, golden) = (whole(), golden("z-image", "vae"));
    let decoded = pipeline.model().decode(&golden["latents"]).unwrap();
    assert_close("z-image vae decoder", &decoded, &golden["decoded"]);
    let noise = golden["mean"].zeros_like().unwrap();
    let encoded = pipeline.model().encode(&golden["pictures"], &noise).unwrap();
    let expected = golden["mean"].map(|mean| ((mean - 0.1159).unwrap() * 0.3611).unwrap());
    assert_close("z-image vae encoder", &encoded, &expected);
}

#[test]
fn two_steps_agree_with_and_without_guidance() {
    let (pipeline, golden) = (whole(), golden("z-image", "pipeline"));
    let texts = golden_json("z-image", "pipeline");
    let text = |kind: &str, at: usize| texts[kind][at].as_str().unwrap();
    let run = |guidance: f64| {
        let latents: Vec<Tensor> = (0..2)
            .map(|at| {
                let negative_prompt = text("negative", at).to_owned();
                let job = ImageJob { guidance, negative_prompt, ..flow_job(text("prompts", at)) };
                denoise(&pipeline, &job, &golden["noise"].narrow(0, at, 1).unwrap(), None)
            })
            .collect();
        Tensor::cat(&latents, 0).unwrap()
    };
    let (turbo, guided) = (run(0.0), run(3.5));
    assert_close("z-image turbo", &turbo, &golden["turbo"]);
    assert_close("z-image with guidance", &guided, &golden["guided"]);
    assert_far("guidance", &guided, &golden["turbo"]);
    let pictures = picture(&pipeline.model().decode(&turbo).unwrap());
    assert_close("z-image pictures", &pictures, &golden["pictures"]);
}

#[test]
fn a_run_from_a_picture_agrees() {
    let (pipeline, golden) = (whole(), golden("z-image", "from_picture"));
    let prompts = golden_json("z-image", "prompts");
    let job = ImageJob { steps: 5, strength: 0.6, ..flow_job(prompts[0].as_str().unwrap()) };
    let start = pipeline.model().encode(&golden["picture"], &golden["encoder_noise"]).unwrap();
    let found = denoise(&pipeline, &job, &golden["noise"], Some(start.clone()));
    assert_close("z-image from a picture", &found, &golden["latents"]);
    let other =
        denoise(&pipeline, &ImageJob { strength: 0.8, ..job }, &golden["noise"], Some(start));
    assert_far("the strength", &other, &golden["latents"]);
}

#[test]
fn a_picture_is_the_same_again_alone_and_in_a_batch() {
    let mut pipeline = whole();
    let batch = ImageJob { num_images: 3, guidance: 2.0, ..flow_job("a red fish") };
    let pictures = pipeline.run(batch.clone(), &mut Events::all()).unwrap();
    assert_eq!(pictures, pipeline.run(batch.clone(), &mut Events::all()).unwrap());
    let alone = ImageJob { seed: 9, num_images: 1, ..batch };
    assert_eq!(pipeline.run(alone, &mut Events::all()).unwrap(), pictures[2..]);
    assert_eq!((pictures[0].width, pictures[0].height), (48, 80));
}
