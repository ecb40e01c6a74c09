//! The queues: sending, and what a consumer needs of a message.
//!
//! Bodies are JSON text: the crate's own conversion turns maps into something JSON forgets.

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};
use worker::{
    Env, QueueContentType, RawMessage, RawMessageBuilder, send::SendFuture, wasm_bindgen::JsValue,
};

use super::http_client::within;
use crate::{
    error::{Error, Result},
    ports::delivery::{AuditEntry, GenerationMessage, OutboxMessage, Queues},
};

const TIMEOUT_MS: u32 = 5_000;

/// The queue bindings.
pub struct BindingQueues {
    pub env: Env,
}

impl BindingQueues {
    async fn send(&self, binding: &str, message: &impl Serialize, delay_s: u32) -> Result<()> {
        let text = serde_json::to_string(message).map_err(Error::internal)?;
        let queue = self.env.queue(binding).map_err(Error::internal)?;
        let message = RawMessageBuilder::new(JsValue::from_str(&text))
            .delay_seconds(delay_s)
            .build_with_content_type(QueueContentType::Text);
        match within(TIMEOUT_MS, queue.send_raw(message)).await {
            Some(sent) => sent.map_err(|e| Error::unavailable("queue", e)),
            None => Err(Error::unavailable("queue", "no answer in time")),
        }
    }
}

#[async_trait]
impl Queues for BindingQueues {
    async fn send_generation(&self, message: GenerationMessage, delay_s: u32) -> Result<()> {
        SendFuture::new(self.send("GENERATION", &message, delay_s)).await
    }

    async fn send_outbox(&self, message: OutboxMessage, delay_s: u32) -> Result<()> {
        SendFuture::new(self.send("OUTBOX", &message, delay_s)).await
    }

    async fn send_audit(&self, entry: AuditEntry) -> Result<()> {
        SendFuture::new(self.send("AUDIT", &entry, 0)).await
    }
}

/// The body of a message.
pub fn body<T: DeserializeOwned>(message: &RawMessage) -> Result<T> {
    let text =
        message.body().as_string().ok_or_else(|| Error::internal("a message without text"))?;
    serde_json::from_str(&text).map_err(Error::internal)
}
