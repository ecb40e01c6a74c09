//! What is asked of a text model, and what it says on the way.

use serde_json::Value;

/// One request: a prompt of tokens, continued once or several times.
#[derive(Debug, Clone, PartialEq)]
pub struct TextInput {
    pub prompt: Vec<u32>,
    /// Continuations wanted; each has its own random numbers, drawn from `sampling.seed` and its index.
    pub choices: usize,
    /// Most tokens of one continuation; the context bounds it too.
    pub max_tokens: usize,
    pub sampling: Sampling,
    pub constraint: Option<Constraint>,
    /// Whether the text goes on where the prompt ends; an answer begins anew.
    pub continues: bool,
    /// Texts that end a continuation; they are not part of it.
    pub stop: Vec<String>,
    /// Tokens that end a continuation.
    pub end_tokens: Vec<u32>,
}

/// How the next token is chosen from the logits.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// 0 always takes the likeliest token.
    pub temperature: f32,
    /// Smallest set of tokens with this much probability; 1 keeps all.
    pub top_p: f32,
    /// The likeliest so many; `None` keeps all.
    pub top_k: Option<usize>,
    /// Tokens at least this likely, relative to the likeliest; 0 keeps all.
    pub min_p: f32,
    /// Taken from the logit of each token that was generated.
    pub presence_penalty: f32,
    /// Taken once per time that it was generated.
    pub frequency_penalty: f32,
    /// Divides positive logits (multiplies negative ones) of tokens in prompt and answer; 1 does nothing.
    pub repetition_penalty: f32,
    /// Added to a token's logit.
    pub logit_bias: Vec<(u32, f32)>,
    pub seed: u64,
    /// Report log-probabilities, with so many of the likeliest tokens beside the chosen one.
    pub logprobs: Option<usize>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: None,
            min_p: 0.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            repetition_penalty: 1.0,
            logit_bias: Vec::new(),
            seed: 0,
            logprobs: None,
        }
    }
}

/// What the answer must look like.
#[derive(Debug, Clone, PartialEq)]
pub enum Constraint {
    /// A JSON value that this schema accepts.
    JsonSchema(Value),
    /// Any JSON object.
    JsonObject,
    /// A text that this regular expression matches as a whole.
    Regex(String),
    /// A context-free grammar in llguidance's Lark dialect.
    Lark(String),
}

/// What a run says on the way.
#[derive(Debug, Clone, PartialEq)]
pub enum TextEvent {
    /// The prompt is read.
    Started { prompt_tokens: usize, cached_tokens: usize },
    /// More of one continuation; never half a character. May be empty when only log-probabilities come.
    Piece { choice: usize, text: String, logprobs: Vec<TokenLogprob> },
    /// One continuation is over.
    Ended { choice: usize, reason: FinishReason, tokens: usize },
}

/// What a request came to, over all its continuations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TextUsage {
    pub prompt_tokens: usize,
    /// Tokens of the prompt that were in the cache already.
    pub cached_tokens: usize,
    pub written_tokens: usize,
}

/// Why a continuation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model, a stop text or the grammar ended it.
    Stop,
    /// `max_tokens` or the end of the context.
    Length,
}

/// A token, how likely it was, and what else might have been.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    pub token: TokenScore,
    /// The likeliest tokens at this place, best first.
    pub top: Vec<TokenScore>,
}

/// A token with its natural logarithm of probability, before temperature and cuts.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenScore {
    pub id: u32,
    pub bytes: Vec<u8>,
    pub logprob: f32,
}
