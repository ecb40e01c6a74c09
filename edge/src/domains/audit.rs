//! The `audit` queue's consumer: entries become rows of `audit_logs`, in batches. An entry has its own id,
//! so a repeated delivery is one row.
//! Messages that other queues gave up leave their trace here too.

use serde_json::json;
use shared::ids::JobId;

use crate::{
    domains::jobs::patience::may_pass,
    ports::{
        delivery::{AuditEntry, Consumed},
        stores::AdminStore,
    },
    state::AppState,
};

const OUTAGE_DELAY_S: u32 = 30;
/// Dead letters have outlived the ordinary retries: an outage of many minutes at least.
const DEAD_DELAY_S: u32 = 600;

/// Stores a batch; one answer per entry, in order.
pub async fn consume_audit(state: &AppState, entries: &[AuditEntry]) -> Vec<Consumed> {
    store_entries(state.admin.as_ref(), entries, OUTAGE_DELAY_S).await
}

/// Tries dead letters again, more slowly, and says loudly how many still wait.
pub async fn consume_dead_audit(state: &AppState, entries: &[AuditEntry]) -> Vec<Consumed> {
    let settled = store_entries(state.admin.as_ref(), entries, DEAD_DELAY_S).await;
    let waiting = settled.iter().filter(|one| **one != Consumed::Ack).count();
    if waiting > 0 {
        tracing::error!(waiting, "audit entries could not be stored yet");
    }
    settled
}

/// Stores entries together, and one by one if the database refuses the batch: one bad entry keeps no other out.
pub async fn store_entries(
    admin: &dyn AdminStore,
    entries: &[AuditEntry],
    delay_s: u32,
) -> Vec<Consumed> {
    match admin.add_audit(entries).await {
        Ok(()) => vec![Consumed::Ack; entries.len()],
        Err(error) if may_pass(&error) || entries.len() < 2 => {
            tracing::warn!(%error, count = entries.len(), "audit entries were not stored");
            vec![Consumed::Retry { delay_s }; entries.len()]
        }
        Err(_) => {
            let mut settled = Vec::with_capacity(entries.len());
            for entry in entries {
                settled.push(store_entry(admin, entry, delay_s).await);
            }
            settled
        }
    }
}

async fn store_entry(admin: &dyn AdminStore, entry: &AuditEntry, delay_s: u32) -> Consumed {
    match admin.add_audit(std::slice::from_ref(entry)).await {
        Ok(()) => Consumed::Ack,
        Err(error) => {
            tracing::warn!(%error, id = %entry.id, "an audit entry was not stored");
            Consumed::Retry { delay_s }
        }
    }
}

/// Notes for the admins that a message of another queue was given up, and which job it was about.
pub async fn note_dead_letter(state: &AppState, queue: &str, job_id: Option<JobId>) -> Consumed {
    tracing::error!(queue, ?job_id, "a message was delivered too often");
    let action = format!("dead letter {queue}");
    let (random, now_ms) = (state.random.bytes(), state.clock.now_ms());
    let entry = AuditEntry::new(random, now_ms, None, action, json!({ "job_id": job_id }));
    match state.queues.send_audit(entry).await {
        Ok(()) => Consumed::Ack,
        Err(error) => {
            tracing::warn!(%error, "a dead letter was not noted");
            Consumed::Retry { delay_s: OUTAGE_DELAY_S }
        }
    }
}
