//! FLUX.2-klein: pictures from words alone and with reference pictures of several sizes.

use candle_core::{DType, Device, Tensor};
use gpu_node::engines::image::flux2::Transformer;

use super::support::{assert_close, assert_far, golden, tiny};

fn transformer() -> Transformer {
    Transformer::load(&tiny("flux-2").join("transformer"), DType::F32, &Device::Cpu).unwrap()
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
        assert_far(mistake, &found, &golden[mistake]);
    }
}
