//! A model for tests: its logits depend on every token before, read back through the block tables.
//!
//! A block that is missing, stale, shared too far or written by somebody else changes the answer or is an error.

use std::sync::{
    Arc, RwLock,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::{BatchSettings, LoadedText};
use crate::engines::{
    EngineError,
    text::{
        grammar::GrammarCompiler,
        model::{Logits, ModelShape, SequenceRows, TextModel, WantedLogits},
        request::{Sampling, TextInput},
        vocabulary::{GgufVocabulary, Vocabulary},
    },
};

pub(crate) const BLOCK_TOKENS: usize = 4;
pub(crate) const BLOCK_BYTES: usize = 64;
/// All printable ASCII, then the token that ends an answer.
pub(crate) const END: u32 = 95;
const VOCAB_SIZE: usize = 97;
const UNWRITTEN: u32 = u32::MAX;
/// Never written; in a prompt it makes every later logit no number.
pub(crate) const POISON: u32 = 96;

/// How the model misbehaves, and what it was asked; shared with the test.
#[derive(Debug, Default)]
pub(crate) struct Mood {
    pub(crate) fails_next: AtomicBool,
    pub(crate) panics_next: AtomicBool,
    pub(crate) passes: AtomicUsize,
    /// Most tokens of one pass.
    pub(crate) largest_pass: AtomicUsize,
    /// Each pass waits while the test holds it for writing.
    pub(crate) gate: RwLock<()>,
}

/// What the model likes to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taste {
    /// Anything.
    Wild,
    /// What it said so many tokens ago, mostly.
    Repeating(usize),
}

pub(crate) struct FakeModel {
    shape: ModelShape,
    taste: Taste,
    blocks: Vec<[u32; BLOCK_TOKENS]>,
    mood: Arc<Mood>,
}

impl FakeModel {
    pub(crate) fn new(taste: Taste, mood: &Arc<Mood>) -> Self {
        let shape = ModelShape {
            vocab_size: VOCAB_SIZE,
            context_tokens: 200,
            block_tokens: BLOCK_TOKENS,
            block_bytes: BLOCK_BYTES,
        };
        Self { shape, taste, blocks: Vec::new(), mood: mood.clone() }
    }

    fn history(&self, blocks: &[u32], length: usize) -> Result<Vec<u32>, EngineError> {
        let torn = || EngineError::Failed("a token of the history was never written".to_owned());
        (0..length)
            .map(|at| {
                let block = *blocks.get(at / BLOCK_TOKENS).ok_or_else(torn)?;
                let token = self.blocks[block as usize][at % BLOCK_TOKENS];
                if token == UNWRITTEN { Err(torn()) } else { Ok(token) }
            })
            .collect()
    }
}

impl TextModel for FakeModel {
    fn shape(&self) -> &ModelShape {
        &self.shape
    }

    fn allocate_blocks(&mut self, count: usize) -> Result<(), EngineError> {
        self.blocks = vec![[UNWRITTEN; BLOCK_TOKENS]; count];
        Ok(())
    }

    fn forward(&mut self, sequences: &[SequenceRows<'_>]) -> Result<Logits, EngineError> {
        drop(self.mood.gate.read());
        let tokens = sequences.iter().map(|sequence| sequence.tokens.len()).sum();
        self.mood.passes.fetch_add(1, Ordering::Relaxed);
        self.mood.largest_pass.fetch_max(tokens, Ordering::Relaxed);
        assert!(!self.mood.panics_next.swap(false, Ordering::Relaxed), "told to");
        for sequence in sequences {
            for (at, &token) in (sequence.start..).zip(sequence.tokens) {
                let block = sequence.blocks[at / BLOCK_TOKENS];
                self.blocks[block as usize][at % BLOCK_TOKENS] = token;
            }
        }
        if self.mood.fails_next.swap(false, Ordering::Relaxed) {
            return Err(EngineError::Failed("the card fell off".to_owned()));
        }
        let mut values = Vec::new();
        for sequence in sequences {
            let count = sequence.tokens.len();
            let first = match sequence.wanted {
                WantedLogits::None => count,
                WantedLogits::Last => count - 1,
                WantedLogits::All => 0,
            };
            // What a pass reads is read even when nothing is wanted.
            self.history(sequence.blocks, sequence.start + count)?;
            for row in first..count {
                let history = self.history(sequence.blocks, sequence.start + row + 1)?;
                values.extend(logits_after(&history, self.taste));
            }
        }
        Ok(Logits::new(values, VOCAB_SIZE))
    }
}

/// What the model thinks of each next token.
pub(crate) fn logits_after(history: &[u32], taste: Taste) -> Vec<f32> {
    let seen = history.iter().fold(0x9e37_79b9_7f4a_7c15, |seen, &token| mix(seen, token.into()));
    let mut logits: Vec<f32> = (0..VOCAB_SIZE as u64)
        .map(|id| (mix(seen, id) >> 40) as f32 / (1_u64 << 24) as f32 * 4.0)
        .collect();
    if let Taste::Repeating(period) = taste
        && history.len() >= period
        && !seen.is_multiple_of(11)
    {
        logits[history[history.len() - period] as usize] += 9.0;
    }
    logits[POISON as usize] = f32::NEG_INFINITY;
    if history.contains(&POISON) {
        logits.fill(f32::NAN);
    }
    logits
}

fn mix(seen: u64, value: u64) -> u64 {
    let mixed =
        (seen ^ value.wrapping_add(0x632b_e59b_d9b4_e019)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xc4ce_b9fe_1a85_ec53)
}

/// A vocabulary with one token per printable ASCII character.
fn vocabulary() -> Arc<Vocabulary> {
    let letter = |byte: u8| if byte == b' ' { 'Ġ' } else { char::from(byte) };
    let mut tokens: Vec<String> = (b' '..=b'~').map(|byte| letter(byte).to_string()).collect();
    let mut token_types = vec![1; tokens.len()];
    tokens.extend(["<end>".to_owned(), "<poison>".to_owned()]);
    token_types.extend([3, 3]);
    let header = GgufVocabulary {
        model: "gpt2".to_owned(),
        tokens,
        token_types,
        end_tokens: vec![END],
        ..GgufVocabulary::default()
    };
    Arc::new(Vocabulary::from_gguf(&header).expect("it is a plain vocabulary"))
}

/// The model with its vocabulary.
pub(crate) fn loaded(taste: Taste, mood: &Arc<Mood>) -> LoadedText {
    let vocabulary = vocabulary();
    let grammars = GrammarCompiler::new(vocabulary.clone(), VOCAB_SIZE);
    LoadedText {
        model: Box::new(FakeModel::new(taste, mood)),
        vocabulary,
        grammars: Arc::new(grammars.expect("the vocabulary is a plain one")),
    }
}

/// The tokens of a text of printable ASCII.
pub(crate) fn tokens(text: &str) -> Vec<u32> {
    text.bytes().map(|byte| u32::from(byte - b' ')).collect()
}

/// A request that draws with its own seed.
pub(crate) fn input(prompt: &str, seed: u64) -> TextInput {
    TextInput {
        prompt: tokens(prompt),
        choices: 1,
        max_tokens: 24,
        sampling: Sampling { seed, ..Sampling::default() },
        constraint: None,
        continues: false,
        stop: Vec::new(),
        end_tokens: vec![END],
    }
}

/// A cache of so many blocks, and small steps.
pub(crate) fn settings(blocks: usize) -> BatchSettings {
    BatchSettings {
        cache_bytes: (blocks * BLOCK_BYTES) as u64,
        context_tokens: None,
        step_tokens: 16,
        max_sequences: 8,
        guess_tokens: 0,
        guess_sequences: 4,
    }
}
