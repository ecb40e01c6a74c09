//! Where the tiny decoders are, how one is run, and how close is close enough.

use std::{collections::HashMap, path::Path};

use candle_core::{DType, Device, Tensor};
use gpu_node::engines::text::{
    config::DecoderConfig,
    decoder::{CpuDecoder, SafetensorsSource},
    model::{SequenceRows, TextModel, WantedLogits},
};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) use crate::golden::{BF16_MULTIPLE, bf16_errors, place, relative_rms, tiny};

/// f32 on the CPU against the reference library, relative where values are above 1.
const TOLERANCE: f64 = 1e-5;

/// A card adds up in an order of its own.
fn tolerance() -> f64 {
    if place().device.is_cuda() { 10.0 * TOLERANCE } else { TOLERANCE }
}

pub(crate) const FAMILIES: [&str; 5] = ["llama", "mistral", "qwen2", "qwen3", "qwen3_moe"];

/// What the reference library computed with one tiny model.
pub(crate) struct Golden(HashMap<String, Tensor>);

impl Golden {
    pub(crate) fn of(name: &str) -> Self {
        let path = tiny(name).join("golden.safetensors");
        Self(candle_core::safetensors::load(path, &Device::Cpu).unwrap())
    }

    pub(crate) fn numbers(&self, name: &str) -> Vec<f32> {
        let tensor = self.0[name].to_dtype(DType::F32).unwrap();
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    pub(crate) fn tokens(&self, name: &str) -> Vec<u32> {
        self.0[name].to_dtype(DType::U32).unwrap().to_vec1().unwrap()
    }

    /// The four prompts: 75, 17 and 40 tokens and one alone.
    pub(crate) fn prompts(&self) -> Vec<Vec<u32>> {
        (0..4).map(|at| self.tokens(&format!("ids_{at}"))).collect()
    }
}

/// A copy of a tiny model whose configuration is changed.
pub(crate) fn changed(name: &str, change: impl FnOnce(&mut Value)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(tiny(name)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let path = folder.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut config);
    std::fs::write(path, config.to_string()).unwrap();
    folder
}

pub(crate) fn source(folder: &Path) -> SafetensorsSource {
    SafetensorsSource::open(folder).unwrap()
}

pub(crate) fn cpu(folder: &Path) -> CpuDecoder {
    CpuDecoder::load(DecoderConfig::read(folder).unwrap(), &source(folder)).unwrap()
}

/// Sequences in one cache, their blocks dealt out in turns from the last to the first.
pub(crate) struct Run<M> {
    pub(crate) model: M,
    next_block: u32,
    sequences: Vec<(Vec<u32>, usize)>,
}

impl<M: TextModel> Run<M> {
    pub(crate) fn new(mut model: M, blocks: u32) -> Self {
        model.allocate_blocks(blocks as usize).unwrap();
        Self { model, next_block: blocks, sequences: Vec::new() }
    }

    /// A sequence without tokens.
    pub(crate) fn open(&mut self) -> usize {
        self.sequences.push((Vec::new(), 0));
        self.sequences.len() - 1
    }

    /// One pass over more tokens of some sequences; all their logits.
    pub(crate) fn pass(&mut self, parts: &[(usize, &[u32], WantedLogits)]) -> Vec<f32> {
        let block_tokens = self.model.shape().block_tokens;
        for (at, tokens, _) in parts {
            let (blocks, length) = &mut self.sequences[*at];
            while blocks.len() * block_tokens < *length + tokens.len() {
                self.next_block -= 1;
                blocks.push(self.next_block);
            }
        }
        let rows: Vec<SequenceRows<'_>> = parts
            .iter()
            .map(|(at, tokens, wanted)| {
                let (blocks, start) = &self.sequences[*at];
                SequenceRows { tokens, start: *start, blocks, wanted: *wanted }
            })
            .collect();
        let logits = self.model.forward(&rows).unwrap();
        for (at, tokens, _) in parts {
            self.sequences[*at].1 += tokens.len();
        }
        (0..logits.rows()).flat_map(|row| logits.row(row).unwrap().to_vec()).collect()
    }
}

/// The logits of every token of one prompt, read alone in one pass.
pub(crate) fn all_logits(model: impl TextModel, prompt: &[u32]) -> Vec<f32> {
    let mut run = Run::new(model, 8);
    let at = run.open();
    run.pass(&[(at, prompt, WantedLogits::All)])
}

/// The largest difference, relative to the larger of 1 and the value.
pub(crate) fn difference(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    found
        .iter()
        .zip(expected)
        .map(|(found, expected)| {
            f64::from((found - expected).abs()) / f64::from(expected.abs()).max(1.0)
        })
        // A NaN must not pass for a small number.
        .fold(0.0, |most, next| if next > most || next.is_nan() { next } else { most })
}

pub(crate) fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
    let difference = difference(found, expected);
    eprintln!("{what}: differs by {difference:.1e}");
    assert!(difference < tolerance(), "{what} differs by {difference:e}");
}

/// For tests that change something on purpose: a golden that does not notice proves nothing.
pub(crate) fn assert_far(what: &str, found: &[f32], expected: &[f32]) {
    let difference = difference(found, expected);
    eprintln!("{what}: differs by {difference:.1e}, as it should");
    assert!(difference > 100.0 * tolerance(), "the golden does not notice {what}: {difference:e}");
}

/// The index of the largest.
pub(crate) fn likeliest(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|left, right| left.1.total_cmp(right.1));
    best.unwrap().0 as u32
}
