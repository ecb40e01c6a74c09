//! What can go wrong while serving, as situations. Which status each becomes is `http/respond.rs`'s business.

use shared::errors::FieldError;
use thiserror::Error;

/// How long somebody who is refused because of a drain should wait: for a restart, or to find another node.
pub const RETRY_AFTER_DRAIN_MS: u64 = 10_000;
/// How long somebody whose run failed here should wait before another try.
const RETRY_AFTER_FAILURE_MS: u64 = 1_000;

/// A request that cannot be served; the text is safe to show.
#[derive(Debug, Clone, Error)]
pub enum Error {
    #[error("the body is not JSON: {0}")]
    MalformedJson(String),
    #[error("some fields are not valid")]
    InvalidFields(Vec<FieldError>),
    /// The name stays out of logs: it is the caller's text.
    #[error("there is no such model")]
    UnknownModel(String),
    #[error("the model reads {context_tokens} tokens, and the prompt has {prompt_tokens}")]
    ContextTooLong { context_tokens: usize, prompt_tokens: usize },
    /// As above, found by the model: its cache holds less than its context.
    #[error("{0}")]
    PromptTooLong(String),
    /// Found wrong by the model itself; the text is safe to show.
    #[error("the model cannot do that")]
    RefusedByModel(String),
    #[error("the body must be application/json")]
    UnsupportedMediaType,
    #[error("the body must be multipart/form-data or application/json")]
    NeitherFormNorJson,
    #[error("the body must be multipart/form-data")]
    NotAForm,
    #[error("the form cannot be read: {0}")]
    MalformedForm(&'static str),
    #[error("the body must have at most {max_bytes} bytes")]
    BodyTooLarge { max_bytes: usize },
    #[error("the body could not be read to its end")]
    BodyCutShort,
    #[error("the body came too slowly")]
    BodyTooSlow,
    #[error("a valid bearer token is needed")]
    Unauthenticated,
    #[error("there is no such {0}")]
    NotFound(&'static str),
    #[error("this path does not take this method")]
    MethodNotAllowed,
    #[error("{0}")]
    Conflict(&'static str),
    #[error("the model's queue is full")]
    QueueFull { retry_after_ms: u64 },
    #[error("{detail}")]
    Unavailable { detail: String, retry_after_ms: u64 },
    /// `cause` goes to the log only.
    #[error("something went wrong on this node")]
    Internal { cause: String },
}

impl Error {
    /// What a caller is told of a run that failed.
    pub fn of_failure(code: &str, detail: String, is_retryable: bool) -> Self {
        match code {
            "context_too_long" => Self::PromptTooLong(detail),
            // No mistake of the caller's, though the same again would end the same.
            "out_of_memory" => Self::Unavailable { detail, retry_after_ms: RETRY_AFTER_FAILURE_MS },
            _ if !is_retryable => Self::RefusedByModel(detail),
            "draining" => Self::Unavailable { detail, retry_after_ms: RETRY_AFTER_DRAIN_MS },
            "model_not_loaded" => {
                Self::Unavailable { detail, retry_after_ms: RETRY_AFTER_FAILURE_MS }
            }
            _ => Self::Internal { cause: format!("{code}: {detail}") },
        }
    }
}

/// What serving a request gives.
pub type Result<T> = std::result::Result<T, Error>;
