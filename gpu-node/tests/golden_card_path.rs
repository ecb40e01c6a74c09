//! The tiny Stable Diffusion through candle's own operations, as on a card: the goldens hold there too.
#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that is wrong")]

mod golden;

use candle_core::{DType, Device};
use golden::{TOLERANCE, difference, golden, tiny};
use gpu_node::engines::{
    compute_as_on_a_card,
    image::{Vae, stable_diffusion::UNet, text_encoders::ClipTextEncoder},
};

/// One test, because the choice holds for the whole process.
#[test]
fn every_part_agrees() {
    compute_as_on_a_card();
    let on_cpu = (DType::F32, Device::Cpu);
    let mut errors = Vec::new();

    let text = golden("stable-diffusion", "text");
    let encoder =
        ClipTextEncoder::load(&tiny("stable-diffusion").join("text_encoder"), on_cpu.0, &on_cpu.1)
            .unwrap();
    let out = encoder.forward(&text["ids"].to_dtype(DType::U32).unwrap()).unwrap();
    errors.push(("text encoder", difference(&out, &text["out"])));

    let expected = golden("stable-diffusion", "unet");
    let unet = UNet::load(&tiny("stable-diffusion").join("unet"), on_cpu.0, &on_cpu.1).unwrap();
    let out = unet.forward(&expected["latents"], 321.0, &expected["text"], None).unwrap();
    errors.push(("unet", difference(&out, &expected["out_321"])));

    let expected = golden("stable-diffusion", "unet_linear");
    let unet =
        UNet::load(&tiny("stable-diffusion").join("unet_linear"), on_cpu.0, &on_cpu.1).unwrap();
    let out = unet.forward(&expected["latents"], 77.0, &expected["text"], None).unwrap();
    errors.push(("unet of the second style", difference(&out, &expected["out"])));

    let expected = golden("stable-diffusion", "vae");
    let vae = Vae::load(&tiny("stable-diffusion").join("vae"), on_cpu.0, &on_cpu.1).unwrap();
    let (mean, _) = vae.moments(&expected["pictures"]).unwrap();
    errors.push(("vae encoder", difference(&mean, &expected["mean"])));
    let decoded = vae.decode(&expected["latents"]).unwrap();
    errors.push(("vae decoder", difference(&decoded, &expected["decoded"])));

    eprintln!("{errors:?}");
    for (part, error) in errors {
        assert!(error < TOLERANCE, "{part} is off by {error:e}");
    }
}
