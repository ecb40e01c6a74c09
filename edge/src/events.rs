//! From the runtime's batches to the domains' consumers, and back to an acknowledgement per message.
//!
//! A consumer that failed as a whole would end as a panic in the runtime's glue: here every message gets its own answer.

use std::future::Future;

use serde::de::DeserializeOwned;
use serde_json::Value;
use worker::{MessageBatch, MessageExt, QueueRetryOptionsBuilder, RawMessage};

use crate::{
    adapters::queues::body,
    domains::{
        audit::{consume_audit, consume_dead_audit},
        jobs::generation_consumer::{consume_dead_generation, consume_generation},
        outbox::outbox_consumer::{consume_dead_outbox, consume_outbox},
    },
    ports::delivery::Consumed,
    state::AppState,
};

/// What a wrong configuration needs to be put right.
const MISCONFIGURED_DELAY_S: u32 = 60;

/// Consumes a batch of any of our queues. Their names may end in the environment's, as in `outbox-production`, and
/// those of dead letters end in `-dlq`.
pub async fn consume(state: &AppState, batch: &MessageBatch<Value>) {
    let queue = batch.queue();
    let messages: Vec<RawMessage> = batch.raw_iter().collect();
    let topic = queue.split('-').next().unwrap_or_default();
    match (topic, queue.ends_with("-dlq")) {
        ("generation", false) => each(&messages, |m| consume_generation(state, m)).await,
        ("generation", true) => each(&messages, |m| consume_dead_generation(state, m)).await,
        ("outbox", false) => each(&messages, |m| consume_outbox(state, m)).await,
        ("outbox", true) => each(&messages, |m| consume_dead_outbox(state, m)).await,
        ("audit", is_dead) => {
            let (messages, entries): (Vec<_>, Vec<_>) =
                messages.into_iter().filter_map(read).unzip();
            let settled = match is_dead {
                false => consume_audit(state, &entries).await,
                true => consume_dead_audit(state, &entries).await,
            };
            for (message, consumed) in messages.iter().zip(settled) {
                settle(message, consumed);
            }
        }
        _ => tracing::error!(queue, "a queue that nobody consumes"),
    }
}

/// Has every message delivered again later.
pub fn postpone(batch: &MessageBatch<Value>) {
    for message in batch.raw_iter() {
        settle(&message, Consumed::Retry { delay_s: MISCONFIGURED_DELAY_S });
    }
}

async fn each<T, F>(messages: &[RawMessage], consume: impl Fn(T) -> F)
where
    T: DeserializeOwned,
    F: Future<Output = Consumed>,
{
    for message in messages {
        match body(message) {
            Ok(order) => settle(message, consume(order).await),
            Err(error) => discard(message, &error),
        }
    }
}

fn read<T: DeserializeOwned>(message: RawMessage) -> Option<(RawMessage, T)> {
    match body(&message) {
        Ok(order) => Some((message, order)),
        Err(error) => {
            discard(&message, &error);
            None
        }
    }
}

fn settle(message: &RawMessage, consumed: Consumed) {
    match consumed {
        Consumed::Ack => message.ack(),
        Consumed::Retry { delay_s } => {
            let later = QueueRetryOptionsBuilder::new().with_delay_seconds(delay_s).build();
            message.retry_with_options(&later);
        }
    }
}

/// What can't be read now can't be read later.
fn discard(message: &RawMessage, error: &crate::error::Error) {
    tracing::error!(id = message.id(), %error, "a message that can't be read");
    message.ack();
}
