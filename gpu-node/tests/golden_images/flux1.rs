//! FLUX.1 dev and schnell.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use gpu_node::engines::image::flux1::{FluxTransformer, FluxWords};
use serde_json::json;

use crate::support::{assert_close, assert_far, golden, swapped, tiny, with_setting, with_weights};

const MODEL: &str = "flux-1";

fn transformer(folder: &Path) -> FluxTransformer {
    FluxTransformer::load(folder, DType::F32, &Device::Cpu).unwrap()
}

fn forward(transformer: &FluxTransformer, golden: &str, timestep: f64, guidance: f64) -> Tensor {
    let golden = crate::support::golden(MODEL, golden);
    let words = FluxWords { hidden: golden["words"].clone(), pooled: golden["pooled"].clone() };
    transformer.forward(&golden["latents"], timestep, guidance, &words).unwrap()
}

#[test]
fn the_transformer_agrees_with_and_without_guidance() {
    for (folder, name) in
        [("transformer", "transformer_dev"), ("transformer_schnell", "transformer_schnell")]
    {
        let (golden, transformer) = (golden(MODEL, name), transformer(&tiny(MODEL).join(folder)));
        for (out, timestep, guidance) in
            [("out_1000", 1000.0, 3.5), ("out_321", 321.0, 3.5), ("other_guidance", 321.0, 1.5)]
        {
            let found = forward(&transformer, name, timestep, guidance);
            assert_close(&format!("{name} {out}"), &found, &golden[out]);
        }
        assert_eq!(transformer.has_guidance(), folder == "transformer");
    }
    let transformer = transformer(&tiny(MODEL).join("transformer"));
    let out = forward(&transformer, "transformer_dev", 321.0, 1.5);
    assert_far("the guidance", &out, &golden(MODEL, "transformer_dev")["out_321"]);
}

#[test]
fn the_golden_notices_swapped_scales_and_shifts() {
    let expected = &golden(MODEL, "transformer_schnell")["out_321"];
    for (layer, parts) in [
        ("transformer_blocks.0.norm1.linear", [0, 1, 6]),
        ("transformer_blocks.0.norm1.linear", [3, 4, 6]),
        ("transformer_blocks.0.norm1_context.linear", [0, 1, 6]),
        ("transformer_blocks.0.norm1_context.linear", [3, 4, 6]),
        ("single_transformer_blocks.1.norm.linear", [0, 1, 3]),
        ("norm_out.linear", [0, 1, 2]),
    ] {
        let folder = with_weights(&tiny(MODEL).join("transformer_schnell"), |weights| {
            swapped(weights, layer, parts);
        });
        let out = forward(&transformer(folder.path()), "transformer_schnell", 321.0, 0.0);
        assert_far(&format!("{layer} {parts:?}"), &out, expected);
    }
}

#[test]
fn the_golden_notices_another_order_of_axes_and_of_pairs() {
    let expected = &golden(MODEL, "transformer_schnell")["out_321"];
    let folder = tiny(MODEL).join("transformer_schnell");
    for axes in [json!([6, 6, 4]), json!([6, 4, 6])] {
        let folder = with_setting(&folder, "axes_dims_rope", axes);
        let out = forward(&transformer(folder.path()), "transformer_schnell", 321.0, 0.0);
        assert_far("the order of axes", &out, expected);
    }
    // Rows and columns swapped: the transposed picture of the transposed latents.
    let golden = golden(MODEL, "transformer_schnell");
    let words = FluxWords { hidden: golden["words"].clone(), pooled: golden["pooled"].clone() };
    let flipped = golden["latents"].transpose(2, 3).unwrap().contiguous().unwrap();
    let out = transformer(&folder).forward(&flipped, 321.0, 0.0, &words).unwrap();
    assert_far("rows for columns", &out.transpose(2, 3).unwrap(), expected);
    // Heads in halves instead of pairs.
    let halves: Vec<u32> = (0..32).map(|row| row / 16 * 16 + row % 2 * 8 + row % 16 / 2).collect();
    let halves = Tensor::new(halves, &Device::Cpu).unwrap();
    let folder = with_weights(&folder, |weights| {
        let names: Vec<String> = weights
            .keys()
            .filter(|name| [".to_q.", ".to_k."].iter().any(|part| name.contains(part)))
            .cloned()
            .collect();
        for name in names {
            let moved = weights[&name].index_select(&halves, 0).unwrap();
            weights.insert(name, moved);
        }
    });
    let out = forward(&transformer(folder.path()), "transformer_schnell", 321.0, 0.0);
    assert_far("halves for pairs", &out, expected);
}

#[test]
fn an_unsupported_configuration_is_refused_by_name() {
    for (key, value) in [
        ("patch_size", json!(2)),
        ("out_channels", json!(128)),
        ("axes_dims_rope", json!([4, 4, 4])),
    ] {
        let folder = with_setting(&tiny(MODEL).join("transformer"), key, value);
        let error = FluxTransformer::load(folder.path(), DType::F32, &Device::Cpu).unwrap_err();
        assert!(error.to_string().contains(key), "{error}");
    }
}
