//! The tiny image models through candle's own operations, as on a card: the goldens hold there too.
#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that is wrong")]

mod golden;

use candle_core::{DType, Device};
use golden::{TOLERANCE, difference, golden, tiny};
use gpu_node::engines::{
    compute_as_on_a_card,
    image::{
        Vae,
        flux1::{FluxTransformer, FluxWords},
        flux2,
        sd3::{Sd3Transformer, Words},
        stable_diffusion::UNet,
        text_encoders::{ClipTextEncoder, T5Encoder},
        z_image,
    },
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

    let expected = golden("t5", "t5");
    let encoder = T5Encoder::load(&tiny("t5"), on_cpu.0, &on_cpu.1).unwrap();
    let out = encoder.forward(&expected["ids"].to_dtype(DType::U32).unwrap()).unwrap();
    errors.push(("t5", difference(&out, &expected["out"])));

    let expected = golden("stable-diffusion-3", "transformer");
    let folder = tiny("stable-diffusion-3").join("transformer");
    let transformer = Sd3Transformer::load(&folder, on_cpu.0, &on_cpu.1).unwrap();
    let words = Words { hidden: expected["words"].clone(), pooled: expected["pooled"].clone() };
    let out = transformer.forward(&expected["latents"], 321.0, &words).unwrap();
    errors.push(("transformer of SD 3.5", difference(&out, &expected["out_321"])));

    let expected = golden("flux-1", "transformer_dev");
    let folder = tiny("flux-1").join("transformer");
    let transformer = FluxTransformer::load(&folder, on_cpu.0, &on_cpu.1).unwrap();
    let words = FluxWords { hidden: expected["words"].clone(), pooled: expected["pooled"].clone() };
    let out = transformer.forward(&expected["latents"], 321.0, 3.5, &words).unwrap();
    errors.push(("transformer of FLUX.1", difference(&out, &expected["out_321"])));

    let expected = golden("z-image", "transformer");
    let folder = tiny("z-image").join("transformer");
    let transformer = z_image::Transformer::load(&folder, on_cpu.0, &on_cpu.1).unwrap();
    let caption = expected["caption_3_0"].unsqueeze(0).unwrap();
    let caption = transformer.caption(&caption, [10, 6]).unwrap();
    let out = transformer.forward(&expected["latents_3"], 0.25, &caption).unwrap();
    errors.push(("z-image transformer", difference(&out.neg().unwrap(), &expected["out_3"])));

    let expected = golden("flux-2", "transformer");
    let folder = tiny("flux-2").join("transformer");
    let transformer = flux2::Transformer::load(&folder, on_cpu.0, &on_cpu.1).unwrap();
    let references = [0, 1].map(|at| expected[&format!("reference_1_{at}")].clone());
    let conditioning = transformer.conditioning(&expected["text_1"], &references, [4, 7]).unwrap();
    let out = transformer.forward(&expected["latents_1"], 300.0, &conditioning).unwrap();
    errors.push(("flux-2 transformer", difference(&out, &expected["out_1"])));

    eprintln!("{errors:?}");
    for (part, error) in errors {
        assert!(error < TOLERANCE, "{part} is off by {error:e}");
    }
}
