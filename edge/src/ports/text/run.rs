//! One run of the AI service as it travels: what is asked, what comes of it, and what may go wrong.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use shared::{
    api::{
        assistant::ChatTurn,
        creator_tools::{ContentType, Difficulty},
    },
    errors::FieldError,
    ids::{JobId, UserId},
    language::Language,
};

use crate::{caller::AccessToken, error::Error};

/// One request to the AI service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextRun {
    pub run_id: JobId,
    pub user_id: UserId,
    /// The caller's own: what the run reserves is reserved as the caller. It is never stored.
    #[serde(serialize_with = "reveal", deserialize_with = "conceal")]
    pub token: AccessToken,
    pub request_id: String,
    pub asked_ms: u64,
    /// The request's hash, which names its room.
    pub room: String,
    /// Decides every choice of the model, so that the same request has the same answer.
    pub seed: u64,
    /// Nothing that was written before will do.
    pub is_fresh: bool,
    pub order: TextOrder,
}

fn reveal<S: Serializer>(token: &AccessToken, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(token.reveal())
}

fn conceal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AccessToken, D::Error> {
    String::deserialize(deserializer).map(AccessToken::new)
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextOrder {
    /// Which prompt: `assistant`, `content_ideas`, `message` or `pricing`. Also the kind in the record.
    pub task: String,
    pub model: String,
    pub language: Language,
    /// What fills the prompt's places.
    pub values: BTreeMap<String, String>,
    /// Earlier turns of a conversation.
    pub turns: Vec<ChatTurn>,
    pub temperature: f64,
    /// The most of one call to a node.
    pub max_tokens: u64,
    pub shape: AnswerShape,
}

/// What the answer must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "snake_case")]
pub enum AnswerShape {
    /// Plain text, passed on as it comes.
    Text,
    Ideas {
        count: u64,
        content_types: Vec<ContentType>,
        with_captions: bool,
        with_hashtags: bool,
    },
    Message,
    Pricing,
}

/// What was written, checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "snake_case")]
pub enum TextAnswer {
    /// `finish_reason` is `stop` or `length`.
    Text {
        finish_reason: String,
    },
    Ideas {
        ideas: Vec<IdeaDraft>,
    },
    Message {
        message: String,
    },
    Pricing {
        price: PriceDraft,
    },
}

/// An idea as the model writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdeaDraft {
    pub title: String,
    pub description: String,
    pub content_type: ContentType,
    pub estimated_engagement: u32,
    pub estimated_revenue: u32,
    pub difficulty: Difficulty,
    pub time_required: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashtags: Option<Vec<String>>,
    pub tips: Vec<String>,
}

/// A price as the model writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PriceDraft {
    pub recommended_price: f64,
    pub min_price: f64,
    pub max_price: f64,
    pub reasoning: String,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum RunEnd {
    Answered { written_ms: u64, answer: TextAnswer },
    Failed { failure: TextFailure },
}

/// What may go wrong, in words that travel between a room and its callers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "failure", rename_all = "snake_case")]
pub enum TextFailure {
    /// No healthy node has the model.
    NoNode,
    /// All nodes that have it are full.
    Full {
        retry_after_s: u32,
    },
    /// Nodes were asked, and none of them said a word.
    Unreachable,
    /// The node broke off after its first word.
    BrokeOff,
    /// It took too long.
    TooSlow,
    /// Longer than the model can read.
    TooLong,
    /// The node will not take it.
    Refused {
        detail: String,
    },
    /// The model ended without a word.
    Empty,
    /// The model's answer was not what it must be, twice.
    BadAnswer,
    /// Whoever asked has left.
    Abandoned,
    /// The room was restarted in the middle.
    Lost,
    NoCredit {
        balance: i64,
        reserved: i64,
    },
    /// As many texts as one user may have are being written.
    TooManyOpen,
    /// A part behind us is away.
    PartAway {
        cause: String,
    },
    /// The database refused the caller's token.
    Unauthenticated,
    Internal {
        cause: String,
    },
}

/// When to come back if no node has the model; nodes register within seconds of their start.
const NO_NODE_RETRY_S: u32 = 15;
/// When to come back with too many texts under way: about one text's time.
const OPEN_TEXTS_RETRY_S: u32 = 5;

impl TextFailure {
    /// Its name in the record.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoNode => "no_node",
            Self::Full { .. } => "nodes_full",
            Self::Unreachable => "unreachable",
            Self::BrokeOff => "broke_off",
            Self::TooSlow => "too_slow",
            Self::TooLong => "too_long",
            Self::Refused { .. } => "refused",
            Self::Empty => "empty",
            Self::BadAnswer => "bad_answer",
            Self::Abandoned => "abandoned",
            Self::Lost => "lost",
            Self::NoCredit { .. } => "no_credit",
            Self::TooManyOpen => "too_many_open",
            Self::PartAway { .. } => "part_away",
            Self::Unauthenticated => "unauthenticated",
            Self::Internal { .. } => "internal",
        }
    }
}

impl From<Error> for TextFailure {
    fn from(error: Error) -> Self {
        match error {
            Error::NoCredit { balance, reserved } => Self::NoCredit { balance, reserved },
            Error::Unauthenticated { .. } => Self::Unauthenticated,
            Error::Unavailable { .. } | Error::Overloaded { .. } => {
                Self::PartAway { cause: error.to_string() }
            }
            error => Self::Internal { cause: error.to_string() },
        }
    }
}

impl From<TextFailure> for Error {
    fn from(failure: TextFailure) -> Self {
        const WHAT: &str = "text generation";
        let away = |cause: &str, retry_after_s| Self::Unavailable {
            what: WHAT,
            cause: cause.to_owned(),
            retry_after_s,
        };
        let failed = |detail: &str| Self::JobFailed { detail: detail.to_owned() };
        match failure {
            TextFailure::NoNode => away("no node has the model", NO_NODE_RETRY_S),
            TextFailure::Full { retry_after_s } => Self::Overloaded { what: WHAT, retry_after_s },
            TextFailure::Unreachable => away("no node answered", 5),
            TextFailure::Lost => away("the room was restarted", 1),
            TextFailure::PartAway { cause } => away(&cause, 5),
            TextFailure::BrokeOff => failed("The node broke off in the middle of the answer."),
            TextFailure::TooSlow => failed("The answer took too long."),
            TextFailure::Abandoned => failed("Nobody listened any more."),
            TextFailure::Refused { detail } => failed(&detail),
            TextFailure::Empty => failed("The model ended without an answer."),
            TextFailure::BadAnswer => failed("The model's answer could not be used, twice."),
            TextFailure::TooLong => Self::Invalid(vec![FieldError {
                pointer: String::new(),
                code: "too_long".to_owned(),
                detail: "is longer than the model can read".to_owned(),
            }]),
            TextFailure::NoCredit { balance, reserved } => Self::NoCredit { balance, reserved },
            TextFailure::TooManyOpen => Self::RateLimited {
                policy: "open-texts",
                limit: u32::try_from(shared::limits::OPEN_TEXTS_PER_USER_MAX).unwrap_or(u32::MAX),
                retry_after_s: OPEN_TEXTS_RETRY_S,
            },
            TextFailure::Unauthenticated => {
                Self::Unauthenticated { reason: "the database refused the token" }
            }
            TextFailure::Internal { cause } => Self::Internal { cause },
        }
    }
}
