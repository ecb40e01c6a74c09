//! What the clock starts, once a minute. One part's failure keeps no other from its turn.

use super::{
    account_cron,
    jobs::{reaper_cron, retention_cron},
    scenes::stray_files_cron,
};
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
    if account_cron::is_due(state.clock.now_ms())
        && let Err(error) =
            account_cron::compare_accounts(jobs, state.account.as_ref(), state.random.as_ref())
                .await
    {
        tracing::error!(%error, "the accounts were not compared with the ledger");
    }
    if stray_files_cron::is_due(state.clock.now_ms())
        && let Err(error) = stray_files_cron::remove_stray_files(jobs, state.scenes.as_ref()).await
    {
        tracing::error!(%error, "stray files were not removed");
    }
}
