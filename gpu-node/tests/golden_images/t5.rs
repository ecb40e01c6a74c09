//! The T5 encoder and its tokenizer.

use candle_core::{DType, Tensor};
use gpu_node::engines::image::text_encoders::{T5Encoder, T5Tokenizer};
use serde_json::json;

use crate::support::{assert_close, assert_far, golden, place, tiny, with_setting, with_weights};

fn encoder(folder: &std::path::Path) -> T5Encoder {
    T5Encoder::load(folder, place().dtype, &place().device).unwrap()
}

fn ids(tensor: &Tensor) -> Tensor {
    tensor.to_dtype(DType::U32).unwrap()
}

#[test]
fn prompts_become_the_same_ids() {
    let prompts = std::fs::read_to_string(tiny("t5").join("golden/prompts.json")).unwrap();
    let prompts: Vec<String> = serde_json::from_str(&prompts).unwrap();
    let expected: Vec<Vec<u32>> = ids(&golden("t5", "t5")["ids"]).to_vec2().unwrap();
    let tokenizer = T5Tokenizer::load(&tiny("t5"), expected[0].len()).unwrap();
    for (prompt, expected) in prompts.iter().zip(&expected) {
        assert_eq!(&tokenizer.encode(prompt).unwrap(), expected, "{prompt:?}");
    }
}

#[test]
fn the_encoder_agrees_on_padded_prompts_and_beyond_the_last_bucket() {
    let golden = golden("t5", "t5");
    let encoder = encoder(&tiny("t5"));
    let out = encoder.forward(&ids(&golden["ids"])).unwrap();
    assert_close("t5", &out, &golden["out"]);
    let out = encoder.forward(&ids(&golden["long_ids"])).unwrap();
    assert_close("t5 with 150 ids", &out, &golden["long_out"]);
}

#[test]
fn the_golden_notices_wrong_positions_and_swapped_gates() {
    let golden = golden("t5", "t5");
    let long = ids(&golden["long_ids"]);
    for (key, value) in
        [("relative_attention_max_distance", json!(100)), ("layer_norm_epsilon", json!(0.1))]
    {
        let folder = with_setting(&tiny("t5"), key, value);
        assert_far(key, &encoder(folder.path()).forward(&long).unwrap(), &golden["long_out"]);
    }
    let folder = with_weights(&tiny("t5"), |weights| {
        let name = |part: &str| format!("encoder.block.0.layer.1.DenseReluDense.{part}.weight");
        let (gate, up) = (weights[&name("wi_0")].clone(), weights[&name("wi_1")].clone());
        weights.insert(name("wi_0"), up);
        weights.insert(name("wi_1"), gate);
    });
    assert_far("gates", &encoder(folder.path()).forward(&long).unwrap(), &golden["long_out"]);
}

#[test]
fn an_encoder_without_gates_is_refused_by_name() {
    let folder = with_setting(&tiny("t5"), "feed_forward_proj", json!("relu"));
    let error =
        T5Encoder::load(folder.path(), place().dtype, &place().device).unwrap_err().to_string();
    assert!(error.contains("feed_forward_proj"), "{error}");
}
