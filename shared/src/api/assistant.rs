//! Huntaze's assistant: a question, what was said before, and the answer as a stream of events.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{
    errors::ErrorBody,
    ids::JobId,
    language::{LANGUAGE_RULE, Language},
    limits::{ANSWER_TOKENS_DEFAULT, ANSWER_TOKENS_MAX, MESSAGE_MAX_CHARS, TURNS_MAX},
    validate::{Fields, FromBody},
};

/// How freely the assistant speaks when nobody says.
const TEMPERATURE_DEFAULT: f64 = 0.7;

/// Who said a turn of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Speaker {
    User,
    Assistant,
}

impl FromStr for Speaker {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "user" => Ok(Self::User),
            "assistant" => Ok(Self::Assistant),
            _ => Err(()),
        }
    }
}

/// A question to the assistant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AskAssistant {
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 4000))]
    pub message: String,
    /// Earlier turns, oldest first.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_items = 20))]
    pub history: Vec<ChatTurn>,
    #[serde(default = "default_tokens")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 2000, default = 512))]
    pub max_tokens: u64,
    /// 0 always takes the likeliest word.
    #[serde(default = "default_temperature")]
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 2, default = 0.7))]
    pub temperature: f64,
    /// Of the answer; `Accept-Language` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
}

/// What somebody said before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChatTurn {
    pub role: Speaker,
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 4000))]
    pub content: String,
}

impl FromBody for AskAssistant {
    fn from_fields(fields: &mut Fields<'_>) -> Self {
        let max_tokens = fields.optional_integer("maxTokens", 1, ANSWER_TOKENS_MAX);
        Self {
            message: fields.paragraph("message", MESSAGE_MAX_CHARS),
            history: fields.optional_objects("history", TURNS_MAX),
            max_tokens: max_tokens.unwrap_or(ANSWER_TOKENS_DEFAULT),
            temperature: fields
                .optional_number("temperature", 0.0, 2.0)
                .unwrap_or(TEMPERATURE_DEFAULT),
            language: fields.optional_parsed("language", LANGUAGE_RULE),
        }
    }
}

impl FromBody for ChatTurn {
    fn from_fields(fields: &mut Fields<'_>) -> Self {
        let role = fields.parsed("role", "must be user or assistant");
        Self {
            role: role.unwrap_or(Speaker::User),
            content: fields.paragraph("content", MESSAGE_MAX_CHARS),
        }
    }
}

fn default_tokens() -> u64 {
    ANSWER_TOKENS_DEFAULT
}

fn default_temperature() -> f64 {
    TEMPERATURE_DEFAULT
}

/// One event of an answer. The SSE `event` is the tag, the SSE `id` a number that grows by one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase", rename_all_fields = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum AnswerEvent {
    /// More of the answer's text.
    Delta { text: String },
    /// What it took; once, before the end.
    Usage { prompt_tokens: u64, completion_tokens: u64, total_tokens: u64, credits: i64 },
    /// The end: the answer is whole (`stop`) or was cut at its limit (`length`).
    Done { run_id: JobId, finish_reason: String },
    /// The end: it broke off. What came before is all there is.
    Error { problem: ErrorBody },
}

impl AnswerEvent {
    /// The SSE `event`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Delta { .. } => "delta",
            Self::Usage { .. } => "usage",
            Self::Done { .. } => "done",
            Self::Error { .. } => "error",
        }
    }

    /// Whether no event follows.
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Error { .. })
    }
}
