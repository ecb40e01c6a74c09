//! Whether a text lane keeps its speed when many wait, and its memory when many came: `cargo bench -p gpu-node --bench text_lane`.
//!
//! The model computes nothing, so what is measured is the lane around it: with a real one the differences are smaller.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement prints its figures, and ends at the first thing that is wrong"
)]

use std::{
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    time::Instant,
};

use gpu_node::{
    engines::{
        EngineError,
        text::{
            batching::{BatchSettings, LoadedText},
            grammar::GrammarCompiler,
            model::{Logits, ModelShape, SequenceRows, TextModel, WantedLogits},
            request::{Sampling, TextEvent, TextInput, TextUsage},
            vocabulary::{GgufVocabulary, Vocabulary},
        },
    },
    scheduler::{
        Failure, LoadText, MemoryBudget, Metrics, TextLane, TextLaneSettings, TextObserver,
    },
};

const VOCAB_SIZE: u32 = 320;
const PROMPT_TOKENS: u32 = 24;
const ANSWER_TOKENS: usize = 8;
const RUN_TOGETHER: usize = 16;

/// Says that one more request has ended.
struct Bell(Sender<()>);

impl TextObserver for Bell {
    fn emitted(&mut self, _: TextEvent) {}
    fn ended(self: Box<Self>, outcome: Result<TextUsage, Failure>) {
        assert_eq!(outcome.unwrap().written_tokens, ANSWER_TOKENS);
        self.0.send(()).unwrap();
    }
}

/// Finds every token equally likely.
struct Blank {
    shape: ModelShape,
}

impl TextModel for Blank {
    fn shape(&self) -> &ModelShape {
        &self.shape
    }

    fn allocate_blocks(&mut self, _: usize) -> Result<(), EngineError> {
        Ok(())
    }

    fn forward(&mut self, sequences: &[SequenceRows<'_>]) -> Result<Logits, EngineError> {
        let rows = sequences.iter().map(|sequence| match sequence.wanted {
            WantedLogits::None => 0,
            WantedLogits::Last => 1,
            WantedLogits::All => sequence.tokens.len(),
        });
        let count: usize = rows.sum();
        Ok(Logits::new(vec![0.0; count * self.shape.vocab_size], self.shape.vocab_size))
    }
}

fn load() -> Result<LoadedText, EngineError> {
    let letter = |id: u32| char::from_u32(0x4e00 + id).unwrap().to_string();
    let header = GgufVocabulary {
        model: "gpt2".to_owned(),
        tokens: (0..VOCAB_SIZE).map(letter).collect(),
        token_types: vec![1; VOCAB_SIZE as usize],
        end_tokens: vec![0],
        ..GgufVocabulary::default()
    };
    let vocabulary = Arc::new(Vocabulary::from_gguf(&header)?);
    let grammars = Arc::new(GrammarCompiler::new(vocabulary.clone(), VOCAB_SIZE as usize)?);
    let shape = ModelShape {
        vocab_size: VOCAB_SIZE as usize,
        context_tokens: 256,
        block_tokens: 16,
        block_bytes: 1024,
    };
    Ok(LoadedText { model: Box::new(Blank { shape }), vocabulary, grammars })
}

fn lane() -> TextLane {
    let batch = BatchSettings { max_sequences: RUN_TOGETHER, ..BatchSettings::new(8 << 20, false) };
    let settings =
        TextLaneSettings { model: "tiny".to_owned(), capacity: 256, memory_bytes: 0, batch };
    let load: LoadText = Box::new(load);
    let (budget, metrics) = (Arc::new(MemoryBudget::new(None)), Arc::new(Metrics::default()));
    TextLane::start(settings, load, budget, metrics).unwrap()
}

fn request(number: u32) -> TextInput {
    let prompt = (0..PROMPT_TOKENS).map(|at| (number.wrapping_mul(31) + at * 7) % VOCAB_SIZE);
    TextInput {
        prompt: prompt.collect(),
        choices: 1,
        max_tokens: ANSWER_TOKENS,
        sampling: Sampling { seed: number.into(), ..Sampling::default() },
        constraint: None,
        continues: false,
        stop: Vec::new(),
        end_tokens: Vec::new(),
    }
}

/// Runs so many requests of which `together` are always in the lane; gives requests per second.
fn run(lane: &TextLane, requests: u32, together: u32) -> f64 {
    let (bell, ended) = mpsc::channel();
    let mut tickets = Vec::with_capacity(requests as usize);
    let mut submit = |number| {
        let ticket = lane.submit(request(number), Box::new(Bell(bell.clone())));
        tickets.push(ticket.unwrap());
    };
    let start = Instant::now();
    (0..together.min(requests)).for_each(&mut submit);
    for number in together..requests {
        ended.recv().unwrap();
        submit(number);
    }
    (0..together.min(requests)).for_each(|_| ended.recv().unwrap());
    f64::from(requests) / start.elapsed().as_secs_f64()
}

fn resident_megabytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.unwrap_or(f64::NAN) / 1024.0
}

fn main() {
    let lane = lane();
    run(&lane, 500, 32);
    let mut ratios: Vec<f64> = (0..7)
        .map(|_| {
            let (few, many) = (run(&lane, 1000, 32), run(&lane, 1000, 256));
            println!("32 in the lane {few:.0}/s, 256 in the lane {many:.0}/s");
            many / few
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.3} (asked: at least 0.9)", ratios[ratios.len() / 2]);
    let before = resident_megabytes();
    run(&lane, 10_000, 32);
    let after = resident_megabytes();
    println!("memory before {before:.1} MB, after 10,000 more requests {after:.1} MB");
}
