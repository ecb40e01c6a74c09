//! What a caller wants written, before a model's vocabulary has seen it.

use serde_json::{Map, Value};
use shared::node::text::ChatMessage;

use crate::engines::text::request::{Constraint, Sampling};

/// A conversation to be continued.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatOrder {
    pub model: String,
    pub messages: Vec<ChatMessage>,
    /// Every tool the model is told of.
    pub tools: Vec<Tool>,
    pub tool_choice: ToolChoice,
    /// Names of those it may call now.
    pub callable: Vec<String>,
    /// Whether it may call several at once.
    pub parallel_tool_calls: bool,
    pub format: Option<Constraint>,
    /// How long to think, in OpenAI's words.
    pub reasoning_effort: Option<&'static str>,
    /// Variables of the model's chat template beside the messages and the tools.
    pub template_values: Map<String, Value>,
    pub generation: Generation,
}

/// A function of the caller's that a model may ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    pub name: String,
    pub description: Option<String>,
    /// A JSON schema; any object when absent.
    pub parameters: Option<Value>,
    /// Its arguments must follow the schema to the letter.
    pub strict: bool,
}

/// Whether the model calls a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolChoice {
    /// It must not.
    None,
    /// As it likes.
    Auto,
    /// It must.
    Required,
}

/// A text to be continued.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletionOrder {
    pub prompt: Prompt,
    pub generation: Generation,
}

/// A prompt as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
}

/// How to go on.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    pub choices: usize,
    /// To the end of the context when absent.
    pub max_tokens: Option<usize>,
    /// Chosen at random when absent.
    pub seed: Option<u64>,
    pub sampling: SamplingWishes,
    pub stop: Vec<String>,
}

/// What a caller says of the choice of tokens; the model's own defaults fill the rest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SamplingWishes {
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    /// `Some(None)` keeps all tokens.
    pub top_k: Option<Option<usize>>,
    pub min_p: Option<f32>,
    pub presence_penalty: Option<f32>,
    pub frequency_penalty: Option<f32>,
    pub repetition_penalty: Option<f32>,
    pub logit_bias: Vec<(u32, f32)>,
    pub logprobs: Option<usize>,
}

impl SamplingWishes {
    /// The wishes over the model's defaults.
    pub fn over(self, defaults: Sampling, seed: u64) -> Sampling {
        Sampling {
            temperature: self.temperature.unwrap_or(defaults.temperature),
            top_p: self.top_p.unwrap_or(defaults.top_p),
            top_k: self.top_k.unwrap_or(defaults.top_k),
            min_p: self.min_p.unwrap_or(defaults.min_p),
            presence_penalty: self.presence_penalty.unwrap_or(defaults.presence_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(defaults.frequency_penalty),
            repetition_penalty: self.repetition_penalty.unwrap_or(defaults.repetition_penalty),
            logit_bias: self.logit_bias,
            seed,
            logprobs: self.logprobs,
        }
    }
}
