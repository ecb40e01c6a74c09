//! What leaves the edge: queue messages, audit entries, and calls to third parties.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::ids::{JobId, UserId};

use super::system::rfc3339;
use crate::error::Result;

/// A message of the `generation` queue: ids, never content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationMessage {
    pub job_id: JobId,
}

/// A message of the `outbox` queue: "look for due rows".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxMessage {
    pub job_id: Option<JobId>,
}

/// A message of the `audit` queue, and a row of `audit_logs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Chosen when the entry is made, so that a repeated delivery is one row.
    pub id: String,
    pub user_id: Option<UserId>,
    /// Method and route, such as `POST /api/generate/scene`.
    pub action: String,
    /// `{status, ip_prefix, request_id, response_time_ms}`.
    pub metadata: Value,
    /// RFC 3339.
    pub timestamp: String,
}

impl AuditEntry {
    /// An entry for what happens now; `random` becomes its id.
    pub fn new(
        random: [u8; 16],
        now_ms: u64,
        user_id: Option<UserId>,
        action: String,
        metadata: Value,
    ) -> Self {
        let id = uuid::Builder::from_random_bytes(random).into_uuid().to_string();
        Self { id, user_id, action, metadata, timestamp: rfc3339(now_ms) }
    }
}

/// What becomes of a queue message after it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consumed {
    Ack,
    /// Deliver it again, not before this many seconds.
    Retry {
        delay_s: u32,
    },
}

/// The queues' sending ends.
#[async_trait]
pub trait Queues: Send + Sync {
    async fn send_generation(&self, message: GenerationMessage, delay_s: u32) -> Result<()>;
    async fn send_outbox(&self, message: OutboxMessage, delay_s: u32) -> Result<()>;
    async fn send_audit(&self, entry: AuditEntry) -> Result<()>;
}

/// What a third party made of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    Delivered,
    /// Try again, not before this many seconds (`None`: our own back-off).
    Retry {
        after_s: Option<u32>,
        cause: String,
    },
    /// It will never be taken.
    Refused {
        cause: String,
    },
}

/// Sends JSON to a Discord webhook.
#[async_trait]
pub trait DiscordWebhook: Send + Sync {
    async fn post(&self, body: &Value) -> Delivery;
}

/// A message as it goes over the wire, signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedMessage {
    pub headers: Vec<(&'static str, String)>,
    /// JSON; the very bytes that were signed.
    pub body: String,
}

/// Sends JSON to the product's own server.
#[async_trait]
pub trait WebhookReceiver: Send + Sync {
    async fn post(&self, message: SignedMessage) -> Delivery;
}
