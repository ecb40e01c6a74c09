//! Z-Image: picture and caption whose numbers of tokens are no multiples of 32, and the mistakes others make there.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use gpu_node::engines::image::z_image::Transformer;

use super::support::{assert_close, assert_far, golden, tiny};

fn transformer() -> Transformer {
    Transformer::load(&tiny("z-image").join("transformer"), DType::F32, &Device::Cpu).unwrap()
}

/// All pictures of one case; those of the golden's first case have captions of different lengths.
fn run(transformer: &Transformer, golden: &HashMap<String, Tensor>, case: usize) -> Tensor {
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
        assert_far(mistake, &found, &golden[mistake]);
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
