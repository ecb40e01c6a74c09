//! Times the decoder on a GGUF file: a prompt in one pass, and decoding at several numbers of sequences.
//!
//! `decode_speed FILE THREADS PROMPT START TOKENS SEQUENCES…` prints one JSON object of tokens per second, as
//! `scripts/bench/text/llama_cpp_speed.py` does for llama.cpp.

use std::{io::Write, path::Path, time::Instant};

use anyhow::{Context, Result, bail};
use gpu_node::engines::text::{
    decoder::CpuDecoder,
    gguf::GgufFile,
    model::{SequenceRows, TextModel, WantedLogits},
};
use serde_json::{Map, Value};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().context("FILE is missing")?;
    let numbers = arguments.map(|text| text.parse()).collect::<Result<Vec<usize>, _>>()?;
    let [threads, prompt, start, tokens, ref sequences @ ..] = numbers[..] else {
        bail!("THREADS PROMPT START TOKENS SEQUENCES… are missing");
    };
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let begin = Instant::now();
    let file = GgufFile::open(Path::new(&path))?;
    let model = CpuDecoder::load(file.config()?, &file)?;
    let mut speeds = Map::from_iter([("load_s".into(), begin.elapsed().as_secs_f64().into())]);
    let context = prompt.max(start + tokens);
    let most = sequences.iter().copied().max().unwrap_or(1);
    let mut run = Run::new(model, most, context)?;
    // The first pass touches every page; the second is timed.
    run.fill(prompt, 0)?;
    let begin = Instant::now();
    run.fill(prompt, 0)?;
    speeds.insert("prompt".into(), (prompt as f64 / begin.elapsed().as_secs_f64()).into());
    for &count in sequences {
        for sequence in 0..count {
            run.fill(start, sequence)?;
        }
        let begin = Instant::now();
        for position in start..start + tokens {
            run.step(position, count)?;
        }
        let speed = (count * tokens) as f64 / begin.elapsed().as_secs_f64();
        speeds.insert(format!("decode_{count}"), speed.into());
    }
    writeln!(std::io::stdout(), "{}", Value::Object(speeds))?;
    Ok(())
}

/// Sequences with their blocks of the cache.
struct Run {
    model: CpuDecoder,
    blocks: Vec<Vec<u32>>,
}

impl Run {
    fn new(mut model: CpuDecoder, sequences: usize, context: usize) -> Result<Self> {
        let each = context.div_ceil(model.shape().block_tokens);
        model.allocate_blocks(each * sequences)?;
        let blocks = |sequence: usize| (0..each).map(|at| (sequence * each + at) as u32).collect();
        Ok(Self { model, blocks: (0..sequences).map(blocks).collect() })
    }

    fn fill(&mut self, length: usize, sequence: usize) -> Result<()> {
        let tokens: Vec<u32> = (0..length).map(|position| token(position, sequence)).collect();
        let blocks = &self.blocks[sequence];
        let wanted = WantedLogits::Last;
        self.model.forward(&[SequenceRows { tokens: &tokens, start: 0, blocks, wanted }])?;
        Ok(())
    }

    /// One more token of each sequence.
    fn step(&mut self, position: usize, sequences: usize) -> Result<()> {
        let tokens: Vec<u32> = (0..sequences).map(|sequence| token(position, sequence)).collect();
        let rows: Vec<SequenceRows<'_>> = tokens
            .chunks(1)
            .zip(&self.blocks)
            .map(|(tokens, blocks)| {
                let wanted = WantedLogits::Last;
                SequenceRows { tokens, start: position, blocks, wanted }
            })
            .collect();
        let logits = self.model.forward(&rows)?;
        if !logits.row(0).is_some_and(|row| row.iter().all(|score| score.is_finite())) {
            bail!("a logit is not finite");
        }
        Ok(())
    }
}

fn token(position: usize, sequence: usize) -> u32 {
    ((position * 7919 + sequence * 104_729) % 150_000) as u32
}
