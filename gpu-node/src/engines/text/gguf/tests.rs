//! Files made here byte by byte: whole ones, and ones that lie about themselves.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::{GgufFile, Value, header::Header, test_file::Writer};
use crate::engines::text::{
    config::{Rope, RopeScaling},
    weights::WeightSource,
};

fn save(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn open(bytes: &[u8]) -> candle_core::Result<GgufFile> {
    let (_folder, path) = save("model.gguf", bytes);
    GgufFile::open(&path)
}

fn refusal<T: std::fmt::Debug>(result: candle_core::Result<T>) -> String {
    crate::engines::engine::message(&result.unwrap_err())
}

/// A Llama of one layer: hidden 8, two heads of four numbers.
fn llama() -> Writer {
    let numbers = |count: usize| (0..count).map(|i| i as f32).collect::<Vec<_>>();
    Writer::default()
        .word("general.architecture", "llama")
        .int("llama.block_count", 1)
        .int("llama.embedding_length", 8)
        .int("llama.feed_forward_length", 16)
        .int("llama.attention.head_count", 2)
        .int("llama.context_length", 131_072)
        .float("llama.attention.layer_norm_rms_epsilon", 1e-5)
        .float("llama.rope.freq_base", 5e5)
        .int("tokenizer.ggml.eos_token_id", 2)
        .tensor("token_embd.weight", &[8, 3], &numbers(24))
        .tensor("blk.0.attn_norm.weight", &[8], &numbers(8))
        .tensor("blk.0.attn_q.weight", &[8, 8], &numbers(64))
        .tensor("blk.0.attn_q.bias", &[8], &numbers(8))
        .tensor("rope_freqs.weight", &[2], &[1.0, 8.0])
}

#[test]
fn the_shape_comes_from_metadata_and_tensors() {
    let config = open(&llama().bytes()).unwrap().config().unwrap();
    assert_eq!((config.hidden, config.heads, config.kv_heads, config.head_width), (8, 2, 2, 4));
    assert_eq!((config.vocab_size, config.context_tokens), (3, 131_072));
    assert_eq!(config.end_tokens, [2]);
    assert!(config.has_tied_embeddings && config.biases.qkv && !config.has_head_norms);
}

#[test]
fn positions_turn_as_slowly_as_the_file_says() {
    let plain = Rope::new(5e5, 4, RopeScaling::None).frequencies;
    let rope = open(&llama().bytes()).unwrap().config().unwrap().rope;
    assert_eq!(rope.frequencies, [plain[0], plain[1] / 8.0]);

    let stretched = llama()
        .word("llama.rope.scaling.type", "yarn")
        .float("llama.rope.scaling.factor", 4.0)
        .int("llama.rope.scaling.original_context_length", 32_768);
    let rope = open(&stretched.bytes()).unwrap().config().unwrap().rope;
    assert!((rope.factor - 1.138_629_4).abs() < 1e-6);

    let linear = llama().float("llama.rope.scale_linear", 2.0);
    let rope = open(&linear.bytes()).unwrap().config().unwrap().rope;
    assert_eq!(rope.frequencies, [plain[0] / 2.0, plain[1] / 2.0 / 8.0]);

    let other =
        llama().word("llama.rope.scaling.type", "longrope").float("llama.rope.scaling.factor", 4.0);
    assert!(refusal(open(&other.bytes()).unwrap().config()).contains("longrope"));
}

#[test]
fn rows_of_llamas_queries_are_put_back_in_order() {
    let file = open(&llama().bytes()).unwrap();
    let matrix = file.projection("layers.0.self_attn.q_proj.weight", (8, 8)).unwrap();
    let mut row = [0.0; 8];
    let order: Vec<f32> = (0..8)
        .map(|index| {
            matrix.copy_row(index, &mut row);
            row[0] / 8.0
        })
        .collect();
    assert_eq!(order, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    let bias = file.vector("layers.0.self_attn.q_proj.bias", 8).unwrap();
    assert_eq!(bias, order);
    // Nothing else is.
    let embedding = file.projection("embed_tokens.weight", (3, 8)).unwrap();
    embedding.copy_row(1, &mut row);
    assert_eq!(row[0], 8.0);
}

#[test]
fn an_experts_matrix_is_its_part_of_the_tensor() {
    let values: Vec<f32> = (0..3 * 2 * 4).map(|i| i as f32).collect();
    let file =
        open(&llama().tensor("blk.0.ffn_up_exps.weight", &[4, 2, 3], &values).bytes()).unwrap();
    let matrix = file.projection("layers.0.mlp.experts.2.up_proj.weight", (2, 4)).unwrap();
    let mut row = [0.0; 4];
    matrix.copy_row(1, &mut row);
    assert_eq!(row, [20.0, 21.0, 22.0, 23.0]);
    assert!(file.projection("layers.0.mlp.experts.3.up_proj.weight", (2, 4)).is_err());
    assert!(file.projection("layers.0.mlp.experts.2.up_proj.weight", (4, 2)).is_err());
}

#[test]
fn a_split_model_is_read_from_all_its_parts() {
    let second = Writer::default().tensor("output_norm.weight", &[2], &[5.0, 6.0]);
    let (folder, path) = save("tiny-00001-of-00002.gguf", &llama().int("split.count", 2).bytes());
    assert!(refusal(GgufFile::open(&path)).contains("tiny-00002-of-00002.gguf"));
    fs::write(folder.path().join("tiny-00002-of-00002.gguf"), second.bytes()).unwrap();
    assert_eq!(GgufFile::find(folder.path()), Some(path.clone()));
    assert_eq!(GgufFile::find(&folder.path().join("absent")), None);
    let file = GgufFile::open(&path).unwrap();
    assert_eq!(file.vector("norm.weight", 2).unwrap(), [5.0, 6.0]);
    assert!(refusal(open(&llama().int("split.count", 2).bytes())).contains("not the first of 2"));
}

#[test]
fn values_of_every_kind_are_read() {
    let bytes = Writer::default()
        .value("a", 0, &[200])
        .value("b", 1, &[0xff])
        .value("c", 5, &(-5_i32).to_le_bytes())
        .value("d", 7, &[1])
        .value("e", 12, &0.5_f64.to_le_bytes())
        .value("f", 9, &[3, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0xfe, 0xff])
        .bytes();
    let values: Vec<Value> = Header::read(&bytes).unwrap().metadata.into_values().collect();
    let list = Value::List(vec![Value::Signed(1), Value::Signed(-2)]);
    let expected = [Value::Unsigned(200), Value::Signed(-1), Value::Signed(-5), Value::Bool(true)];
    assert_eq!(values[..4], expected);
    assert_eq!(values[4..], [Value::Float(0.5), list]);
}

#[test]
fn every_shortened_file_is_refused_without_a_panic() {
    let bytes = llama().bytes();
    let whole = open(&bytes).unwrap();
    assert!(whole.tensor("rope_freqs.weight").is_ok());
    // Through the header, then through the last tensor.
    for length in (0..bytes.len() - 8).step_by(7) {
        match Header::read(&bytes[..length]) {
            Err(_) => {}
            Ok(_) => {
                let file = open(&bytes[..length]);
                assert!(file.is_err() || file.unwrap().config().is_err(), "{length}");
            }
        }
    }
}

#[test]
fn a_file_that_lies_about_itself_is_refused() {
    let huge = u64::MAX / 2;
    let at = |bytes: &mut Vec<u8>, at: usize, value: u64| {
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    };
    let broken = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = llama().bytes();
        change(&mut bytes);
        refusal(open(&bytes).and_then(|file| file.config()))
    };
    assert!(broken(&|bytes| bytes[0] = b'X').contains("not a GGUF file"));
    assert!(broken(&|bytes| bytes[4] = 1).contains("version 1"));
    assert!(broken(&|bytes| bytes[4..8].copy_from_slice(&[0, 0, 0, 3])).contains("big-endian"));
    assert!(broken(&|bytes| at(bytes, 8, huge)).contains("ends early"));
    assert!(broken(&|bytes| at(bytes, 16, huge)).contains("ends early"));
    // The first key's length, then the first value's.
    assert!(broken(&|bytes| at(bytes, 24, huge)).contains("ends early"));
    assert!(broken(&|bytes| at(bytes, 24 + 8 + 20 + 4, huge)).contains("ends early"));

    let refused = |writer: Writer| {
        refusal(open(&writer.bytes()).and_then(|file| {
            file.tensor("x").map(drop)?;
            file.config()
        }))
    };
    let list_of_lists = [&9_u32.to_le_bytes()[..], &1_u64.to_le_bytes()].concat().repeat(2000);
    assert!(refused(llama().value("deep", 9, &list_of_lists)).contains("nested too deeply"));
    assert!(
        refused(llama().value("long", 9, &[8, 0, 0, 0, 255, 255, 255, 255, 255, 0, 0, 0]))
            .contains("ends early")
    );
    assert!(refused(llama().value("odd", 77, &[])).contains("no kind 77"));
    assert!(refused(llama().int("llama.block_count", 1)).contains("twice"));
    assert!(refused(llama().int("general.alignment", 24)).contains("general.alignment"));
    assert!(refused(llama().raw_tensor("x", &[huge, 8], 0, &[])).contains("impossible sizes"));
    assert!(refused(llama().raw_tensor("x", &[0], 0, &[])).contains("impossible size"));
    assert!(refused(llama().raw_tensor("x", &[1; 9], 0, &[])).contains("9 dimensions"));
    assert!(refused(llama().raw_tensor("x", &[48], 8, &[0; 51])).contains("impossible sizes"));
    assert!(refused(llama().raw_tensor("x", &[64], 8, &[0; 67])).contains("ends behind"));
    assert!(refused(llama().raw_tensor("x", &[256], 16, &[0; 66])).contains("format 16"));
    let mut far = llama().raw_tensor("x", &[1], 0, &[0; 4]);
    let end = far.infos.len() - 8;
    at(&mut far.infos, end, huge);
    assert!(refused(far).contains("starts behind the end"));
}

#[test]
fn shapes_that_are_not_computed_are_refused_by_name() {
    let refused = |writer: Writer| refusal(open(&writer.bytes()).and_then(|file| file.config()));
    let of = |name: &str| Writer::default().word("general.architecture", name);
    assert!(refused(of("gemma4")).contains("gemma4"));
    assert!(refused(of("llama")).contains("embedding_length"));
    assert!(refused(Writer::default()).contains("general.architecture"));
    assert!(refused(llama().int("llama.attention.head_count_kv", 3)).contains("do not divide"));
    assert!(refused(llama().int("llama.attention.value_length", 8)).contains("values of 8"));
    assert!(refused(llama().int("llama.rope.dimension_count", 2)).contains("2 rotated"));
    let layers = llama().bytes();
    let at = layers.windows(17).position(|bytes| bytes == b"llama.block_count").unwrap() + 21;
    let mut layers = layers;
    for (count, reason) in [(9, "less than"), (u32::MAX, "more than any model")] {
        layers[at..at + 4].copy_from_slice(&count.to_le_bytes());
        assert!(refusal(open(&layers).and_then(|file| file.config())).contains(reason));
    }
}

#[test]
fn the_vocabulary_is_what_the_file_says() {
    let list = |kind: u32, count: u64, bytes: &[u8]| {
        [&kind.to_le_bytes()[..], &count.to_le_bytes(), bytes].concat()
    };
    let mut words = Vec::new();
    for word in ["a", "b", "a b"] {
        Writer::text(&mut words, word);
    }
    let writer = llama()
        .word("tokenizer.ggml.model", "gpt2")
        .word("tokenizer.ggml.pre", "qwen2")
        .word("tokenizer.chat_template", "{{ messages }}")
        .value("tokenizer.ggml.tokens", 9, &list(8, 3, &words))
        .value("tokenizer.ggml.token_type", 9, &list(5, 1, &3_i32.to_le_bytes()))
        .int("tokenizer.ggml.bos_token_id", 1);
    let file = open(&writer.bytes()).unwrap();
    let vocabulary = file.vocabulary().unwrap();
    assert_eq!(vocabulary.tokens, ["a", "b", "a b"]);
    assert_eq!((vocabulary.token_types, vocabulary.end_tokens), (vec![3], vec![2]));
    assert_eq!((vocabulary.start_token, vocabulary.adds_start), (Some(1), false));
    assert_eq!(file.chat_template().unwrap(), Some("{{ messages }}"));

    let writer = llama().value("tokenizer.ggml.tokens", 9, &list(4, 1, &[1, 0, 0, 0]));
    assert!(refusal(open(&writer.bytes()).unwrap().vocabulary()).contains("tokens"));
}
