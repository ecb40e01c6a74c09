//! From a body to completion orders.

use crate::{
    http::openai::{
        fields::Fields,
        generation::{Streaming, read_generation, read_streaming},
        prompts::read_prompts,
    },
    text::{Generation, Prompt},
};

const MAX_TOKENS_DEFAULT: usize = 16;
const LOGPROBS_MAX: u32 = 5;
const BEST_OF_MAX: u32 = 20;
const PROMPTS_MAX: usize = 128;

/// A completion request that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletionCall {
    pub model: String,
    pub prompts: Vec<Prompt>,
    /// Makes as many continuations as are compared.
    pub generation: Generation,
    /// How many of them are given, of each prompt.
    pub kept: usize,
    pub echo: bool,
    /// Whether the caller wants log-probabilities; comparing needs them too.
    pub wants_logprobs: bool,
    pub streaming: Streaming,
}

/// Reads the whole body.
pub fn read_completion(fields: &mut Fields<'_, '_>) -> CompletionCall {
    let model = fields.text("model");
    let prompts = read_prompts(fields, "prompt", PROMPTS_MAX);
    let mut generation = read_generation(fields);
    let max_tokens = fields.count("max_tokens", 1, u32::MAX);
    generation.max_tokens = Some(max_tokens.unwrap_or(MAX_TOKENS_DEFAULT));
    generation.sampling.logprobs = fields.count("logprobs", 0, LOGPROBS_MAX);
    let wants_logprobs = generation.sampling.logprobs.is_some();
    let echo = fields.flag("echo").unwrap_or(false);
    if echo && wants_logprobs {
        fields.reject("echo", "conflict", "cannot be given with `logprobs`");
    }
    let streaming = read_streaming(fields, false);
    let kept = generation.choices;
    if let Some(best_of) = fields.count("best_of", 1, BEST_OF_MAX) {
        if best_of < kept {
            fields.reject("best_of", "range", "must be at least `n`");
        }
        if best_of > kept && streaming.is_wanted {
            fields.reject("best_of", "conflict", "cannot be more than `n` with `stream`");
        }
        if best_of > kept {
            generation.sampling.logprobs.get_or_insert(0);
        }
        generation.choices = best_of.max(kept);
    }
    CompletionCall { model, prompts, generation, kept, echo, wants_logprobs, streaming }
}
