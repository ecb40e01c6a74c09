//! The three Durable Objects, as roles: a user's account, a job's room, and the fleet in `fleet.rs`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use shared::{
    api::jobs::{JobEvent, JobKind},
    ids::{JobId, UserId},
};

use super::NativeResponse;
use crate::error::Result;

/// What the ledger says about a user; the account is rebuilt from it when it is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerState {
    pub balance: i64,
    pub open_jobs: Vec<OpenReservation>,
    /// Texts that are being written.
    #[serde(default)]
    pub open_texts: Vec<OpenReservation>,
    /// What new jobs cost, by kind.
    #[serde(default)]
    pub prices: BTreeMap<String, i64>,
}

/// What an order costs: so many pictures of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSize {
    pub kind: JobKind,
    #[serde(default = "one")]
    pub pictures: u32,
}

fn one() -> u32 {
    1
}

/// Credits held for a job or a text that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenReservation {
    pub id: JobId,
    pub credits: i64,
}

/// What so many tokens cost, begun thousands counting as whole ones.
pub fn price_of_tokens(tokens: u64, per_1000: i64) -> i64 {
    let tokens = i64::try_from(tokens).unwrap_or(i64::MAX);
    let price = tokens.saturating_mul(per_1000.max(0));
    price / 1000 + i64::from(price % 1000 > 0)
}

/// The answer to a reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Reservation {
    /// Held (also when this job's were held already).
    Granted,
    /// The account is empty: ask again with the ledger's state.
    NeedsLedger,
    NoCredit {
        balance: i64,
        reserved: i64,
    },
    /// As many jobs as one user may have are under way.
    TooManyOpen {
        open: u64,
    },
}

/// How a request with an idempotency key may go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum KeyState {
    /// First seen (or its first bearer died): go on, with this job id.
    Fresh { job_id: JobId },
    /// The first request is still under way.
    InProgress { job_id: JobId },
    /// It was answered: give the same answer.
    Answered { answer: StoredAnswer },
    /// It was used with another body.
    Mismatch,
}

/// A kept answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAnswer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// One user's gate: credits, idempotency keys, number of jobs under way. Each call is one atomic step.
#[async_trait]
pub trait Account: Send + Sync {
    /// Holds what a job of this kind and size costs, by the prices that the ledger was last read with. The row, once stored, has the
    /// price that counts: it is what `settle` is told.
    async fn reserve(
        &self,
        user: UserId,
        job: JobId,
        size: JobSize,
        ledger: Option<LedgerState>,
    ) -> Result<Reservation>;
    /// The same for a text, which counts against a cap of its own.
    async fn reserve_text(
        &self,
        user: UserId,
        run: JobId,
        tokens: u64,
        ledger: Option<LedgerState>,
    ) -> Result<Reservation>;
    /// Ends a reservation; `charged` credits leave the balance (0 gives all back). Repeating it does nothing.
    async fn settle(&self, user: UserId, job: JobId, charged: i64) -> Result<()>;
    /// Forgets everything but idempotency keys, so that the next reservation asks for the ledger.
    async fn forget_balance(&self, user: UserId) -> Result<()>;
    /// Takes over what the ledger says, unless the account is busy; by how many credits it was wrong.
    async fn compare(&self, user: UserId, ledger: LedgerState) -> Result<u64>;
    /// Registers a key; `job` is used if the key is fresh.
    async fn begin_key(
        &self,
        user: UserId,
        key: &str,
        fingerprint: &str,
        job: JobId,
    ) -> Result<KeyState>;
    /// Keeps the answer for the key (24 h); `None` frees the key after a failure that may be retried.
    async fn finish_key(&self, user: UserId, key: &str, answer: Option<StoredAnswer>)
    -> Result<()>;
}

/// One job's room: its last events, and whoever watches.
#[async_trait]
pub trait JobRoom: Send + Sync {
    /// Keeps the event and tells the watchers. After an end event, nothing more is taken.
    async fn publish(&self, event: JobEvent) -> Result<()>;
    /// The live event stream (SSE), from after `last_event_id`. `present` is what the row says, for an empty room.
    async fn watch(
        &self,
        job: JobId,
        last_event_id: Option<u64>,
        present: JobEvent,
    ) -> Result<NativeResponse>;
    /// The end event, if it comes within `timeout_ms`.
    async fn wait_for_end(&self, job: JobId, timeout_ms: u64) -> Result<Option<JobEvent>>;
}
