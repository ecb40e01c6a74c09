//! Whether a text lane keeps its speed when many wait and its memory when many came, and what a known beginning saves.
//!
//! `text_lane MODELS_DIR GGUF THREADS` prints one JSON object: the first two with the embedded model, the last with the
//! GGUF file's weights.

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    time::Instant,
};

use anyhow::{Context, Result, anyhow, bail};
use gpu_node::{
    engines::{
        Devices, EngineError,
        text::{
            batching::{BatchSettings, LoadedText},
            files::TextFiles,
            grammar::GrammarCompiler,
            request::{Sampling, TextEvent, TextInput, TextUsage},
            vocabulary::{GgufVocabulary, Vocabulary},
        },
    },
    registry::{Registry, load_text_model, load_words},
    scheduler::{
        Failure, LoadText, MemoryBudget, Metrics, TextLane, TextLaneSettings, TextObserver,
    },
};
use serde_json::json;

const PROMPT_TOKENS: u32 = 24;
const ANSWER_TOKENS: usize = 8;
const LONG_PROMPT_TOKENS: u32 = 2000;
/// In a real model, and no control token of the embedded one.
const TOKENS: std::ops::Range<u32> = 300..4000;

enum Told {
    FirstToken,
    Ended(Result<TextUsage, Failure>),
}

/// Tells of a request's first token and of its end.
struct Bell {
    told: Sender<Told>,
    has_begun: bool,
}

impl TextObserver for Bell {
    fn emitted(&mut self, event: TextEvent) {
        if matches!(event, TextEvent::Piece { .. }) && !std::mem::replace(&mut self.has_begun, true)
        {
            // Nobody listens any more only when the measurement has failed already.
            let _ = self.told.send(Told::FirstToken);
        }
    }

    fn ended(self: Box<Self>, outcome: Result<TextUsage, Failure>) {
        let _ = self.told.send(Told::Ended(outcome));
    }
}

fn lane(load: LoadText, batch: BatchSettings) -> Result<TextLane> {
    let settings =
        TextLaneSettings { model: "measured".to_owned(), capacity: 256, memory_bytes: 0, batch };
    let (budget, metrics) = (Arc::new(MemoryBudget::new(None)), Arc::new(Metrics::default()));
    Ok(TextLane::start(settings, load, budget, metrics)?)
}

fn embedded_lane(models_dir: &Path) -> Result<TextLane> {
    let registry = Registry::open(models_dir)?;
    let manifest = registry.find("embedded-text").context("no embedded-text")?.clone();
    let load: LoadText = Box::new(move || {
        let failed = |error: &dyn std::fmt::Display| EngineError::Failed(error.to_string());
        let words = load_words(&manifest).map_err(|error| failed(&error))?;
        load_text_model(&manifest, &Devices::cpu(), &words).map_err(|error| failed(&error))
    });
    lane(load, BatchSettings::new(64 << 20, false))
}

/// The file's weights, with one made-up word per token: the files of the benchmark have none.
fn gguf_lane(path: PathBuf) -> Result<TextLane> {
    let load: LoadText = Box::new(move || {
        let folder = path.parent().unwrap_or(Path::new("."));
        let files = TextFiles::open(folder)?;
        let count = files.config()?.vocab_size;
        let header = GgufVocabulary {
            model: "gpt2".to_owned(),
            tokens: (0..count).map(|id| format!("t{id}")).collect(),
            token_types: vec![1; count],
            end_tokens: vec![0],
            ..GgufVocabulary::default()
        };
        let vocabulary = Arc::new(Vocabulary::from_gguf(&header)?);
        let grammars = Arc::new(GrammarCompiler::new(vocabulary.clone(), count)?);
        Ok(LoadedText { model: files.decoder(&Devices::cpu())?, vocabulary, grammars })
    });
    lane(load, BatchSettings::new(256 << 20, false))
}

fn request(number: u32, prompt_tokens: u32) -> TextInput {
    let token = |at: u32| TOKENS.start + (number.wrapping_mul(131) + at * 7) % TOKENS.len() as u32;
    TextInput {
        prompt: (0..prompt_tokens).map(token).collect(),
        choices: 1,
        max_tokens: ANSWER_TOKENS,
        sampling: Sampling { seed: number.into(), ..Sampling::default() },
        constraint: None,
        continues: true,
        stop: Vec::new(),
        end_tokens: Vec::new(),
    }
}

fn wait_for_end(told: &Receiver<Told>) -> Result<()> {
    loop {
        if let Told::Ended(outcome) = told.recv()? {
            let usage = outcome.map_err(|failure| anyhow!(failure.detail))?;
            if usage.written_tokens != ANSWER_TOKENS {
                bail!("{} tokens were written", usage.written_tokens);
            }
            return Ok(());
        }
    }
}

/// Runs so many requests of which `together` are always in the lane; gives requests per second.
fn run(lane: &TextLane, requests: u32, together: u32) -> Result<f64> {
    let (sender, told) = mpsc::channel();
    let mut tickets = Vec::with_capacity(requests as usize);
    let begin = Instant::now();
    for number in 0..requests {
        if number >= together {
            wait_for_end(&told)?;
        }
        let bell = Box::new(Bell { told: sender.clone(), has_begun: false });
        let ticket = lane.submit(request(number, PROMPT_TOKENS), bell);
        tickets.push(ticket.map_err(|refused| anyhow!("{refused:?}"))?);
    }
    (0..together.min(requests)).try_for_each(|_| wait_for_end(&told))?;
    Ok(f64::from(requests) / begin.elapsed().as_secs_f64())
}

/// Milliseconds until the first token of a long prompt is chosen.
fn first_token_ms(lane: &TextLane, number: u32) -> Result<f64> {
    let (sender, told) = mpsc::channel();
    let bell = Box::new(Bell { told: sender, has_begun: false });
    let begin = Instant::now();
    let ticket = lane.submit(request(number, LONG_PROMPT_TOKENS), bell);
    let _ticket = ticket.map_err(|refused| anyhow!("{refused:?}"))?;
    if let Told::Ended(outcome) = told.recv()? {
        bail!("it ended before its first token: {outcome:?}");
    }
    let passed = begin.elapsed();
    wait_for_end(&told)?;
    Ok(passed.as_secs_f64() * 1e3)
}

fn resident_megabytes() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?;
    Ok(kibibytes.parse::<f64>()? / 1024.0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [models_dir, gguf, threads] = &arguments[..] else {
        bail!("MODELS_DIR GGUF THREADS are missing");
    };
    rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?;
    let lane = embedded_lane(Path::new(models_dir))?;
    run(&lane, 500, 256)?;
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        few.push(run(&lane, 1000, 32)?);
        many.push(run(&lane, 1000, 256)?);
    }
    let before = resident_megabytes()?;
    run(&lane, 10_000, 256)?;
    let after = resident_megabytes()?;
    drop(lane);
    let lane = gguf_lane(PathBuf::from(gguf))?;
    first_token_ms(&lane, 0)?;
    let cold = (1..4).map(|number| first_token_ms(&lane, number)).collect::<Result<Vec<_>>>()?;
    let known = (0..3).map(|_| first_token_ms(&lane, 3)).collect::<Result<Vec<_>>>()?;
    let figures = json!({
        "waiting_32_per_s": median(few),
        "waiting_256_per_s": median(many),
        "memory_before_mb": before,
        "memory_after_mb": after,
        "first_token_cold_ms": median(cold),
        "first_token_known_ms": median(known),
    });
    writeln!(std::io::stdout(), "{figures}")?;
    Ok(())
}
