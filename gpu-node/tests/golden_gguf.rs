//! Decoders from GGUF files against the reference library with the same weights turned back into f32.
#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that is wrong")]

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};
use gpu_node::engines::text::{
    decoder::{CardDecoder, CpuDecoder},
    gguf::GgufFile,
    model::{SequenceRows, TextModel, WantedLogits},
};

/// Formats from 3 to 16 bits, biases and Llama's rows; K formats, a stretched context; experts.
const MODELS: [&str; 3] = ["gguf-llama", "gguf-qwen2", "gguf-qwen3moe"];
const VOCABULARY: usize = 320;

/// What rounding the inputs of each product to 255 steps may change, as a share of the logits' spread: the root
/// mean square over all logits, and the worst one. A product is off by half a percent; these weights are large, so
/// that the errors of some ten products grow on their way.
const TOLERANCE: (f64, f64) = (0.04, 0.2);

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny").join(name)
}

fn file(name: &str) -> GgufFile {
    GgufFile::open(&folder(name).join("model.gguf")).unwrap()
}

fn cpu(name: &str) -> CpuDecoder {
    let file = file(name);
    CpuDecoder::load(file.config().unwrap(), &file).unwrap()
}

fn golden(name: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(folder(name).join("golden.safetensors"), &Device::Cpu).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_dtype(DType::F32).unwrap().to_vec1().unwrap()
}

fn tokens(tensor: &Tensor) -> Vec<u32> {
    tensor.to_dtype(DType::U32).unwrap().to_vec1().unwrap()
}

/// The logits of `tokens` after `start` others, in the first blocks of the cache.
fn run(model: &mut dyn TextModel, start: usize, tokens: &[u32], wanted: WantedLogits) -> Vec<f32> {
    let count = (start + tokens.len()).div_ceil(model.shape().block_tokens);
    let blocks: Vec<u32> = (0..count as u32).collect();
    let logits = model.forward(&[SequenceRows { tokens, start, blocks: &blocks, wanted }]).unwrap();
    (0..logits.rows()).flat_map(|row| logits.row(row).unwrap().to_vec()).collect()
}

/// Root mean square and largest of the differences, both relative to the spread of what is expected.
fn differences(found: &[f32], expected: &[f32]) -> (f64, f64) {
    assert_eq!(found.len(), expected.len());
    let square = |x: f32| f64::from(x) * f64::from(x);
    let spread = (expected.iter().map(|x| square(*x)).sum::<f64>() / expected.len() as f64).sqrt();
    let errors = found.iter().zip(expected).map(|(found, expected)| square(found - expected));
    let (sum, most) = errors.fold((0.0, 0.0_f64), |(sum, most), next| (sum + next, most.max(next)));
    ((sum / found.len() as f64).sqrt() / spread, most.sqrt() / spread)
}

fn assert_close(name: &str, found: &[f32], expected: &[f32], tolerance: (f64, f64)) {
    let (mean, most) = differences(found, expected);
    // Written so that a NaN fails.
    assert!(mean < tolerance.0 && most < tolerance.1, "{name}: {mean:.2e} and {most:.2e}");
}

#[test]
fn logits_agree_up_to_the_rounding_of_inputs() {
    for name in MODELS {
        let golden = golden(name);
        let mut model = cpu(name);
        model.allocate_blocks(2).unwrap();
        for at in 0..2 {
            let prompt = tokens(&golden[&format!("ids_{at}")]);
            let found = run(&mut model, 0, &prompt, WantedLogits::All);
            let expected = numbers(&golden[&format!("logits_{at}")]);
            assert_close(&format!("{name}, {at}"), &found, &expected, TOLERANCE);
        }
    }
}

#[test]
fn greedy_tokens_are_the_references() {
    for name in MODELS {
        let golden = golden(name);
        let mut model = cpu(name);
        model.allocate_blocks(1).unwrap();
        let mut all = tokens(&golden["greedy_ids"]);
        let start = all.len();
        let mut logits = run(&mut model, 0, &all, WantedLogits::Last);
        for _ in 0..8 {
            let best = (0..VOCABULARY).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
            all.push(best as u32);
            logits = run(&mut model, all.len() - 1, &[best as u32], WantedLogits::Last);
        }
        assert_eq!(all[start..], tokens(&golden["greedy"]), "{name}");
    }
}

#[test]
fn positions_beyond_four_thousand_agree() {
    let long: Vec<u32> = (0..4200).map(|at| at * 37 % 316 + 4).collect();
    for name in MODELS {
        let mut model = cpu(name);
        model.allocate_blocks(long.len().div_ceil(model.shape().block_tokens)).unwrap();
        let found = run(&mut model, 0, &long, WantedLogits::Last);
        assert_close(name, &found, &numbers(&golden(name)["logits_long"]), TOLERANCE);
    }
}

/// Without rounded inputs only the order of sums is left to differ.
#[test]
fn weights_turned_back_into_floats_agree_closely() {
    for name in MODELS {
        let (golden, file) = (golden(name), file(name));
        let place = (DType::F32, &Device::Cpu);
        let mut model = CardDecoder::load(file.config().unwrap(), &file, place).unwrap();
        model.allocate_blocks(2).unwrap();
        let prompt = tokens(&golden["ids_0"]);
        let found = run(&mut model, 0, &prompt, WantedLogits::All);
        assert_close(name, &found, &numbers(&golden["logits_0"]), (1e-5, 1e-4));
    }
}

#[test]
fn a_row_is_the_same_alone_and_in_company() {
    for name in MODELS {
        let prompt = tokens(&golden(name)["ids_0"]);
        let mut model = cpu(name);
        model.allocate_blocks(2).unwrap();
        let together = run(&mut model, 0, &prompt, WantedLogits::All);
        let apart: Vec<f32> = prompt
            .iter()
            .enumerate()
            .flat_map(|(start, token)| run(&mut model, start, &[*token], WantedLogits::Last))
            .collect();
        assert!(together == apart, "{name}");
    }
}
