//! What an admin may do with the outbox: look, and have a dead message tried again.

use shared::api::{Page, outbox::OutboxEntry};

use crate::{
    caller::Caller,
    error::{Error, Result},
    ports::{
        delivery::{OutboxMessage, Queues},
        stores::{OutboxRow, OutboxStore},
    },
};

/// The rows, newest first; the database shows them to admins only.
pub async fn list_outbox(
    outbox: &dyn OutboxStore,
    caller: &Caller,
    status: Option<&str>,
) -> Result<Page<OutboxEntry>> {
    let rows = outbox.list(&caller.token, status).await?;
    Ok(Page { items: rows.into_iter().map(entry_of).collect(), next_cursor: None })
}

/// Puts a dead row back and wakes the deliverer.
pub async fn replay_outbox(
    outbox: &dyn OutboxStore,
    queues: &dyn Queues,
    caller: &Caller,
    id: &str,
) -> Result<()> {
    if !outbox.replay(&caller.token, id).await? {
        return Err(Error::NotFound);
    }
    if let Err(error) = queues.send_outbox(OutboxMessage { job_id: None }, 0).await {
        tracing::debug!(%error, "the minute's tick has to do");
    }
    Ok(())
}

fn entry_of(row: OutboxRow) -> OutboxEntry {
    OutboxEntry {
        id: row.id,
        job_id: row.job_id,
        topic: row.topic,
        event: row.event,
        payload: row.payload,
        status: row.status,
        attempts: row.attempts,
        last_error: row.last_error,
        created_at: row.created_at,
    }
}
