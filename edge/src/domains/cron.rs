//! What the clock starts, once a minute. One part's failure keeps no other from its turn.

use super::jobs::{reaper_cron, retention_cron};
use crate::{ports::delivery::OutboxMessage, state::AppState};

/// One minute's duties.
pub async fn run_minute(state: &AppState) {
    let (jobs, queues) = (state.jobs.as_ref(), state.queues.as_ref());
    if let Err(error) = reaper_cron::reap_jobs(jobs, queues, state.config.queued_grace_s).await {
        tracing::error!(%error, "the reaper failed");
    }
    // Through the queue, so that there is one deliverer at a time.
    if let Err(error) = queues.send_outbox(OutboxMessage { job_id: None }, 0).await {
        tracing::error!(%error, "the outbox was not woken");
    }
    if retention_cron::is_due(state.clock.now_ms())
        && let Err(error) = retention_cron::delete_old_rows(jobs).await
    {
        tracing::error!(%error, "retention failed");
    }
    if retention_cron::is_due(state.clock.now_ms())
        && let Err(error) = state.texts.delete_old().await
    {
        tracing::error!(%error, "retention of texts failed");
    }
}
