//! Text: the nodes that write it, the rooms in which it is written once for everyone who asks, and the record of it.

mod run;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use shared::{
    api::assistant::AnswerEvent,
    ids::{JobId, UserId},
    node::text::ChatRequest,
};

pub use run::{
    AnswerShape, IdeaDraft, PriceDraft, RunEnd, TextAnswer, TextFailure, TextOrder, TextRun,
};

use super::{
    NativeResponse,
    fleet::{NodeFailure, NodeRef},
};
use crate::{caller::AccessToken, error::Result};

/// What a node has written since the last time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextPiece {
    pub text: String,
    /// Tokens that came, as far as the node's chunks tell; those of thoughts too, which are no text.
    pub tokens: u64,
    /// Why it ended: `stop` or `length`.
    pub finish_reason: Option<String>,
    pub usage: Option<TokenUsage>,
}

/// Tokens read and written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUsage {
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
}

/// A text on its way. Dropping it hangs up, which frees its place on the node.
#[async_trait]
pub trait TextStream: Send {
    /// What came since; `None` at the stream's end.
    async fn next(&mut self) -> std::result::Result<Option<TextPiece>, NodeFailure>;
}

/// Has nodes write.
#[async_trait]
pub trait TextNodes: Send + Sync {
    async fn open(
        &self,
        node: &NodeRef,
        request: &ChatRequest,
    ) -> std::result::Result<Box<dyn TextStream>, NodeFailure>;
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheState {
    /// Written before.
    Hit,
    /// Written now, for this request.
    Miss,
    /// Written now, for the same request of a moment ago.
    Shared,
}

impl CacheState {
    /// The word in the header and in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Shared => "shared",
        }
    }
}

/// A stream of events that has begun.
pub struct OpenedText {
    pub run_id: JobId,
    pub cache: CacheState,
    pub stream: NativeResponse,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnsweredText {
    pub run_id: JobId,
    pub cache: CacheState,
    /// When it was written, in milliseconds since 1970.
    pub written_ms: u64,
    pub answer: TextAnswer,
}

/// Takes what is written, as it is written.
pub trait TextSink: Send {
    /// Tells whoever listens; `false` when nobody has listened for a while.
    fn tell(&mut self, event: AnswerEvent) -> bool;
    /// Nothing follows.
    fn end(&mut self, end: RunEnd);
}

/// The result of a room's call, whose failures travel.
pub type RoomResult<T> = std::result::Result<T, TextFailure>;

/// Rooms, each named by its request's hash: the first who asks has the text written, the others get the same.
#[async_trait]
pub trait TextRooms: Send + Sync {
    /// Comes back with the first words, or with what prevented them.
    async fn stream(&self, run: &TextRun, last_event_id: Option<u64>) -> RoomResult<OpenedText>;
    /// Comes back with the whole answer.
    async fn answer(&self, run: &TextRun) -> RoomResult<AnsweredText>;
    /// The events of a run after the given one; `None` when the room has forgotten it, or it is somebody else's.
    async fn resume(
        &self,
        place: &RunPlace,
        user: UserId,
        last_event_id: Option<u64>,
    ) -> RoomResult<Option<NativeResponse>>;
}

/// A run and its room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPlace {
    #[serde(rename = "id")]
    pub run_id: JobId,
    pub room: String,
}

/// A run that is about to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTextRun<'a> {
    pub id: JobId,
    pub kind: &'a str,
    pub model: &'a str,
    pub room: &'a str,
    pub request_id: &'a str,
    /// The most it may take, prompt and answer together.
    pub max_tokens: u64,
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextBill {
    /// `completed`, `failed` or `cancelled`.
    pub status: String,
    pub usage: TokenUsage,
    /// Whether its tokens are paid for: a tool that failed gave its caller nothing.
    pub is_charged: bool,
    /// Nodes that were left before their first word.
    pub switches: u64,
    pub first_token_ms: Option<u64>,
    pub duration_ms: u64,
    /// The failure's code.
    pub error: Option<String>,
}

/// An answer that cost nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreeText<'a> {
    /// The request's own, not the run's that wrote it.
    pub id: JobId,
    pub user_id: UserId,
    pub kind: &'a str,
    pub model: &'a str,
    pub room: &'a str,
    pub request_id: &'a str,
    pub cache: CacheState,
    pub duration_ms: u64,
}

/// Sums over all runs of one kind, status and cache state since the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextTotals {
    pub kind: String,
    pub status: String,
    pub cached: String,
    pub runs: u64,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    pub switches: u64,
    pub first_token_ms: u64,
    pub duration_ms: u64,
}

/// The table `text_runs`, through its functions.
#[async_trait]
pub trait TextStore: Send + Sync {
    /// Reserves what it may cost, as the user. The same id again is the same run.
    async fn open(&self, token: &AccessToken, new: &NewTextRun<'_>) -> Result<()>;
    /// Ends it, once; the credits it was charged.
    async fn settle(&self, id: JobId, bill: &TextBill) -> Result<i64>;
    /// Records an answer that cost nothing.
    async fn record_free(&self, free: &FreeText<'_>) -> Result<()>;
    /// Where a run of the caller's is written.
    async fn find(&self, token: &AccessToken, id: JobId) -> Result<Option<RunPlace>>;
    /// Retention: ends what was lost, and removes what is old; numbers per kind of row.
    async fn delete_old(&self) -> Result<Vec<(String, u64)>>;
    /// For metrics.
    async fn totals(&self) -> Result<Vec<TextTotals>>;
}
