//! From an order to a run: the prompt is rendered, cut into tokens and counted, and what cannot work is refused here.

use std::sync::Arc;

use shared::errors::FieldError;

use super::{
    answer::{OpenAnswers, TextAnswer},
    language::{ChatTokens, Language, LanguageError, ReadAnswer, Tokenize},
    order::{ChatOrder, CompletionOrder, Generation, Prompt},
    runner::TextRunner,
};
use crate::{
    blocking::blocking,
    catalog::ServedText,
    engines::text::request::{Constraint, TextInput},
    error::{Error, RETRY_AFTER_DRAIN_MS, Result},
    registry::TextDefaults,
    scheduler::{Failure, Refused},
};

/// Begins to continue a conversation.
pub async fn start_chat(
    text: &ServedText,
    language: Arc<dyn Language>,
    open: &OpenAnswers,
    order: ChatOrder,
) -> Result<TextAnswer> {
    let defaults = text.defaults.clone();
    let prepared = blocking(move || prepare_chat(&*language, &defaults, order)).await??;
    submit(&*text.runner, open, prepared)
}

/// Begins to continue a text.
pub async fn start_completion(
    text: &ServedText,
    language: Arc<dyn Language>,
    open: &OpenAnswers,
    order: CompletionOrder,
) -> Result<TextAnswer> {
    let defaults = text.defaults.clone();
    let prepared = blocking(move || prepare_completion(&*language, &defaults, order)).await??;
    submit(&*text.runner, open, prepared)
}

/// What a lane is given, and how each continuation is read.
pub struct Prepared {
    pub input: TextInput,
    pub readers: Vec<Option<Box<dyn ReadAnswer>>>,
}

fn submit(runner: &dyn TextRunner, open: &OpenAnswers, prepared: Prepared) -> Result<TextAnswer> {
    let run = runner.submit(prepared.input).map_err(refused)?;
    Ok(TextAnswer::new(run, prepared.readers, open.open()))
}

/// Renders a conversation and cuts it into tokens; blocking.
pub fn prepare_chat(
    language: &dyn Language,
    defaults: &TextDefaults,
    mut order: ChatOrder,
) -> Result<Prepared> {
    fill_template(language, &mut order)?;
    let ChatTokens { mut tokens, mut begins_in_thought } =
        language.encode_chat(&order).map_err(|error| explain(error, "/messages"))?;
    let constraint = language.constrain(&order).map_err(|error| explain(error, "/tools"))?;
    if constraint.is_some() && begins_in_thought {
        // What must have a form is the answer, so the thought that the template opened ends before it begins.
        tokens.extend(language.end_of_thought().map_err(|error| explain(error, "/messages"))?);
        begins_in_thought = false;
    }
    let reader = |_| Some(language.reader(&order, begins_in_thought));
    let readers = (0..order.generation.choices).map(reader).collect();
    let prompt = ModelPrompt { tokens, constraint, continues: false };
    let input = text_input(language, defaults, prompt, order.generation)?;
    Ok(Prepared { input, readers })
}

/// Cuts a text into tokens; blocking.
pub fn prepare_completion(
    language: &dyn Language,
    defaults: &TextDefaults,
    order: CompletionOrder,
) -> Result<Prepared> {
    let tokens = prompt_tokens(language, &order.prompt, "/prompt")?;
    let readers = (0..order.generation.choices).map(|_| None).collect();
    let prompt = ModelPrompt { tokens, constraint: None, continues: true };
    let input = text_input(language, defaults, prompt, order.generation)?;
    Ok(Prepared { input, readers })
}

fn explain(error: LanguageError, pointer: &str) -> Error {
    let text = error.to_string();
    match error {
        LanguageError::NoTemplate => wrong("/model", "unsupported", text),
        LanguageError::NoTools => wrong("/tools", "unsupported", text),
        LanguageError::BadTools(_) => wrong("/tools", "schema", text),
        LanguageError::BadFormat(_) => wrong("/response_format", "schema", text),
        LanguageError::Refused(_) => wrong(pointer, "choice", text),
        LanguageError::Broken(cause) => Error::Internal { cause },
    }
}

/// Gives the template what it can read, and refuses what it would not look at.
fn fill_template(language: &dyn Language, order: &mut ChatOrder) -> Result<()> {
    const GIVEN: [&str; 4] = ["messages", "tools", "documents", "add_generation_prompt"];
    if let Some(name) = order.template_values.keys().find(|name| GIVEN.contains(&name.as_str())) {
        let pointer = format!("/chat_template_kwargs/{name}");
        return Err(wrong(&pointer, "conflict", "is set by the request itself"));
    }
    if let Some(name) = order.template_values.keys().find(|name| !language.template_reads(name)) {
        let pointer = format!("/chat_template_kwargs/{name}");
        return Err(wrong(&pointer, "unknown", "is not read by the model's chat template"));
    }
    let Some(effort) = order.reasoning_effort else { return Ok(()) };
    if language.template_reads("reasoning_effort") {
        order.template_values.insert("reasoning_effort".to_owned(), effort.into());
    } else if language.template_reads("enable_thinking") {
        order.template_values.insert("enable_thinking".to_owned(), (effort != "none").into());
    } else if effort != "none" {
        let detail = "must be \"none\": the model does not think before it answers";
        return Err(wrong("/reasoning_effort", "choice", detail));
    }
    Ok(())
}

/// The prompt's tokens; ids that the model does not have are named by their place.
pub(super) fn prompt_tokens(
    vocabulary: &dyn Tokenize,
    prompt: &Prompt,
    pointer: &str,
) -> Result<Vec<u32>> {
    match prompt {
        Prompt::Text(text) => vocabulary.encode(text).map_err(|error| explain(error, pointer)),
        Prompt::Tokens(tokens) => {
            match tokens.iter().position(|id| *id as usize >= vocabulary.vocab_size()) {
                Some(at) => {
                    let pointer = format!("{pointer}/{at}");
                    Err(wrong(&pointer, "range", "is not a token of this model"))
                }
                None => Ok(tokens.clone()),
            }
        }
    }
}

/// What the model reads, and how its answer goes with it.
struct ModelPrompt {
    tokens: Vec<u32>,
    constraint: Option<Constraint>,
    continues: bool,
}

fn text_input(
    language: &dyn Language,
    defaults: &TextDefaults,
    ModelPrompt { tokens: prompt, constraint, continues }: ModelPrompt,
    generation: Generation,
) -> Result<TextInput> {
    let (context_tokens, prompt_tokens) = (language.context_tokens(), prompt.len());
    if prompt_tokens >= context_tokens {
        return Err(Error::ContextTooLong { context_tokens, prompt_tokens });
    }
    if prompt.is_empty() {
        return Err(wrong("/prompt", "empty", "must not be empty with this model"));
    }
    let wishes = generation.sampling;
    let vocab_size = language.vocab_size();
    if let Some((token, _)) =
        wishes.logit_bias.iter().find(|(token, _)| *token as usize >= vocab_size)
    {
        let pointer = format!("/logit_bias/{token}");
        return Err(wrong(&pointer, "range", "is not a token of this model"));
    }
    let seed = generation.seed.unwrap_or_else(rand::random);
    let room = context_tokens - prompt_tokens;
    let max_tokens = generation.max_tokens.or(defaults.max_output_tokens);
    Ok(TextInput {
        prompt,
        choices: generation.choices,
        max_tokens: max_tokens.map_or(room, |max_tokens| max_tokens.min(room)),
        sampling: wishes.over(defaults.sampling(), seed),
        constraint,
        continues,
        stop: generation.stop,
        end_tokens: language.end_tokens(),
    })
}

/// One field that is wrong.
pub(super) fn wrong(pointer: &str, code: &str, detail: impl Into<String>) -> Error {
    Error::InvalidFields(vec![FieldError {
        pointer: pointer.to_owned(),
        code: code.to_owned(),
        detail: detail.into(),
    }])
}

/// Why a lane did not take a request in.
pub(super) fn refused(refused: Refused) -> Error {
    match refused {
        Refused::Full { retry_after_ms } => Error::QueueFull { retry_after_ms },
        Refused::Draining => Error::Unavailable {
            detail: "the node is shutting down".to_owned(),
            retry_after_ms: RETRY_AFTER_DRAIN_MS,
        },
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let Failure { code, detail, is_retryable } = failure;
        Self::of_failure(code, detail, is_retryable)
    }
}
