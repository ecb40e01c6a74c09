//! Stable Diffusion 3 and 3.5.

use std::path::Path;

use candle_core::{DType, Device, IndexOp, Tensor};
use gpu_node::engines::image::sd3::{Sd3Transformer, Words};
use serde_json::json;

use crate::support::{assert_close, assert_far, golden, swapped, tiny, with_setting, with_weights};

const MODEL: &str = "stable-diffusion-3";

fn transformer(folder: &Path) -> Sd3Transformer {
    Sd3Transformer::load(folder, DType::F32, &Device::Cpu).unwrap()
}

fn forward(transformer: &Sd3Transformer, golden: &str, timestep: f64) -> Tensor {
    let golden = crate::support::golden(MODEL, golden);
    let words = Words { hidden: golden["words"].clone(), pooled: golden["pooled"].clone() };
    transformer.forward(&golden["latents"], timestep, &words).unwrap()
}

#[test]
fn the_transformer_agrees_with_and_without_second_attention() {
    for part in ["transformer", "transformer_plain"] {
        let (golden, transformer) = (golden(MODEL, part), transformer(&tiny(MODEL).join(part)));
        for (name, timestep) in [("out_321", 321.0), ("out_1000", 1000.0), ("out_8", 8.92857)] {
            let out = forward(&transformer, part, timestep);
            assert_close(&format!("{part} {name}"), &out, &golden[name]);
        }
        assert_far("the timestep", &forward(&transformer, part, 331.0), &golden["out_321"]);
    }
}

#[test]
fn a_sample_is_the_same_alone_and_in_a_batch() {
    let golden = golden(MODEL, "transformer");
    let transformer = transformer(&tiny(MODEL).join("transformer"));
    let both = forward(&transformer, "transformer", 321.0);
    let one = |name: &str| golden[name].narrow(0, 1, 1).unwrap();
    let words = Words { hidden: one("words"), pooled: one("pooled") };
    let alone = transformer.forward(&one("latents"), 321.0, &words).unwrap();
    let values = |tensor: &Tensor| -> Vec<f32> { tensor.flatten_all().unwrap().to_vec1().unwrap() };
    assert_eq!(values(&alone), values(&both.i(1..2).unwrap()));
}

#[test]
fn the_golden_notices_swapped_scales_and_shifts() {
    let expected = &golden(MODEL, "transformer")["out_321"];
    for (layer, parts) in [
        ("transformer_blocks.0.norm1.linear", [0, 1, 9]),
        ("transformer_blocks.1.norm1.linear", [3, 4, 9]),
        ("transformer_blocks.0.norm1.linear", [6, 7, 9]),
        ("transformer_blocks.2.norm1.linear", [2, 5, 6]),
        ("transformer_blocks.0.norm1_context.linear", [0, 1, 6]),
        ("transformer_blocks.2.norm1_context.linear", [0, 1, 2]),
        ("norm_out.linear", [0, 1, 2]),
    ] {
        let folder = with_weights(&tiny(MODEL).join("transformer"), |weights| {
            swapped(weights, layer, parts);
        });
        let out = forward(&transformer(folder.path()), "transformer", 321.0);
        assert_far(&format!("{layer} {parts:?}"), &out, expected);
    }
}

#[test]
fn the_golden_notices_a_wrong_configuration() {
    let expected = &golden(MODEL, "transformer")["out_321"];
    for (key, value) in [("qk_norm", json!(null)), ("num_attention_heads", json!(4))] {
        let mut folder = with_setting(&tiny(MODEL).join("transformer"), key, value);
        if key == "num_attention_heads" {
            folder = with_setting(folder.path(), "attention_head_dim", json!(6));
            folder = with_setting(folder.path(), "qk_norm", json!(null));
        }
        assert_far(key, &forward(&transformer(folder.path()), "transformer", 321.0), expected);
    }
    let folder = with_weights(&tiny(MODEL).join("transformer"), |weights| {
        let name = "pos_embed.pos_embed".to_owned();
        let rolled = weights[&name].roll(1, 1).unwrap();
        weights.insert(name, rolled);
    });
    let out = forward(&transformer(folder.path()), "transformer", 321.0);
    assert_far("positions off by one", &out, expected);
}

#[test]
fn a_picture_beyond_the_position_table_is_refused() {
    let transformer = transformer(&tiny(MODEL).join("transformer"));
    let golden = golden(MODEL, "transformer");
    let words = Words { hidden: golden["words"].clone(), pooled: golden["pooled"].clone() };
    let latents = Tensor::zeros((2, 16, 4, 30), DType::F32, &Device::Cpu).unwrap();
    let error = transformer.forward(&latents, 1.0, &words).unwrap_err().to_string();
    assert!(error.contains("14 × 14 positions"), "{error}");
}

#[test]
fn an_unsupported_configuration_is_refused_by_name() {
    for (key, value) in [("qk_norm", json!("layer_norm")), ("caption_projection_dim", json!(48))] {
        let folder = with_setting(&tiny(MODEL).join("transformer"), key, value);
        let error = Sd3Transformer::load(folder.path(), DType::F32, &Device::Cpu).unwrap_err();
        assert!(error.to_string().contains(key), "{error}");
    }
}
