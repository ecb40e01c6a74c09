//! The embedded model as a lone GGUF file must be the embedded model.

use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::*;
use crate::engines::text::{
    gguf::test_file::Writer,
    model::{SequenceRows, WantedLogits},
    vocabulary::ChatRequest,
};

/// Names of a layer's tensors in both formats.
const LAYER: [(&str, &str); 11] = [
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

fn embedded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/embedded-text")
}

fn read(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(embedded().join(name)).unwrap()).unwrap()
}

fn with_tokens(writer: Writer) -> Writer {
    let file = read("tokenizer.json");
    let vocabulary = file["model"]["vocab"].as_object().unwrap();
    let added = file["added_tokens"].as_array().unwrap();
    let mut tokens = vec![String::new(); 4096];
    let mut kinds = vec![1; 4096];
    for (piece, id) in vocabulary {
        tokens[id.as_u64().unwrap() as usize] = piece.clone();
    }
    for token in added {
        let id = token["id"].as_u64().unwrap() as usize;
        tokens[id] = token["content"].as_str().unwrap().to_owned();
        kinds[id] = 3;
    }
    let merges: Vec<String> = file["model"]["merges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
        .collect();
    let template = read("tokenizer_config.json")["chat_template"].as_str().unwrap().to_owned();
    writer
        .word("tokenizer.ggml.model", "gpt2")
        .word("tokenizer.ggml.pre", "qwen2")
        .words("tokenizer.ggml.tokens", &tokens)
        .ints("tokenizer.ggml.token_type", &kinds)
        .words("tokenizer.ggml.merges", &merges)
        .int("tokenizer.ggml.eos_token_id", 2)
        .int("tokenizer.ggml.eot_token_id", 0)
        .word("tokenizer.chat_template", &template)
}

fn matrix(writer: Writer, name: &str, tensor: &Tensor) -> Writer {
    let dims: Vec<u64> = tensor.dims().iter().rev().map(|size| *size as u64).collect();
    if dims.len() == 1 {
        return writer.tensor(
            name,
            &dims,
            &tensor.to_dtype(DType::F32).unwrap().to_vec1().unwrap(),
        );
    }
    let halves: Vec<half::f16> = tensor.flatten_all().unwrap().to_vec1().unwrap();
    let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
    writer.raw_tensor(name, &dims, 1, &bytes)
}

/// A folder with nothing but `model.gguf`.
fn lone_file() -> TempDir {
    let writer = Writer::default()
        .word("general.architecture", "qwen3")
        .int("qwen3.block_count", 5)
        .int("qwen3.embedding_length", 192)
        .int("qwen3.feed_forward_length", 512)
        .int("qwen3.attention.head_count", 6)
        .int("qwen3.attention.head_count_kv", 2)
        .int("qwen3.attention.key_length", 32)
        .int("qwen3.attention.value_length", 32)
        .int("qwen3.context_length", 2048)
        .float("qwen3.attention.layer_norm_rms_epsilon", 1e-6)
        .float("qwen3.rope.freq_base", 1e4);
    let weights =
        candle_core::safetensors::load(embedded().join("model.safetensors"), &Device::Cpu).unwrap();
    let mut writer = with_tokens(writer);
    for (theirs, ours) in [("embed_tokens", "token_embd"), ("norm", "output_norm")] {
        let tensor = &weights[&format!("model.{theirs}.weight")];
        writer = matrix(writer, &format!("{ours}.weight"), tensor);
    }
    for layer in 0..5 {
        for (theirs, ours) in LAYER {
            let tensor = &weights[&format!("model.layers.{layer}.{theirs}.weight")];
            writer = matrix(writer, &format!("blk.{layer}.{ours}.weight"), tensor);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.gguf"), writer.bytes()).unwrap();
    folder
}

fn prompt(files: &TextFiles) -> Vec<u32> {
    let messages = [json!({ "role": "user", "content": "Propose 3 idées : <|im_end|> les roses" })];
    let request = ChatRequest {
        messages: &messages,
        tools: &[],
        adds_generation_prompt: true,
        variables: &Map::new(),
        now: std::time::SystemTime::UNIX_EPOCH,
    };
    let vocabulary = files.vocabulary().unwrap();
    let template = files.template().unwrap().unwrap();
    vocabulary.encode_prompt(&template.render(&request, &vocabulary).unwrap()).unwrap()
}

fn logits(files: &TextFiles, tokens: &[u32]) -> Vec<f32> {
    let mut model = files.decoder(&Devices::cpu()).unwrap();
    let blocks: Vec<u32> = (0..tokens.len().div_ceil(model.shape().block_tokens) as u32).collect();
    model.allocate_blocks(blocks.len()).unwrap();
    let rows = SequenceRows { tokens, start: 0, blocks: &blocks, wanted: WantedLogits::Last };
    model.forward(&[rows]).unwrap().row(0).unwrap().to_vec()
}

#[test]
fn a_lone_gguf_file_is_a_whole_model() {
    let folder = lone_file();
    let (lone, whole) =
        (TextFiles::open(folder.path()).unwrap(), TextFiles::open(&embedded()).unwrap());
    let tokens = prompt(&whole);
    assert_eq!(prompt(&lone), tokens);
    assert_eq!(lone.vocabulary().unwrap().end_tokens(), [0, 2]);
    let (found, expected) = (logits(&lone, &tokens), logits(&whole, &tokens));
    let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let spread = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    assert!(worst < 1e-3 * spread, "differs by {worst} of {spread}");
}

#[test]
fn files_beside_a_gguf_file_are_believed_first() {
    let folder = lone_file();
    let template = "{{ messages[0].content }}";
    std::fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
    let files = TextFiles::open(folder.path()).unwrap();
    assert_eq!(files.template().unwrap().unwrap().source(false), template);
    let tokenizer = embedded().join("tokenizer.json");
    std::fs::copy(tokenizer, folder.path().join("tokenizer.json")).unwrap();
    assert_eq!(files.vocabulary().unwrap().end_tokens(), [0, 2]);
}
