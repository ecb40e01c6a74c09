//! Puts back on the queue what fell off it: jobs that were stored but never queued, and jobs whose lease ran out.
//! The account is not touched here: the delivery that follows compares it with the ledger (`run.rs`).

use crate::{
    error::Result,
    ports::{
        delivery::{GenerationMessage, Queues},
        stores::JobStore,
    },
};

/// One minute's worth; what is more comes with the next.
const REAPED_PER_TICK: u32 = 200;

/// Queues lost jobs again; answers how many. One that can't be queued is found again after the grace.
pub async fn reap_jobs(
    jobs: &dyn JobStore,
    queues: &dyn Queues,
    queued_grace_s: u32,
) -> Result<usize> {
    let lost = jobs.reap(REAPED_PER_TICK, queued_grace_s).await?;
    let mut queued = 0;
    for job_id in lost {
        match queues.send_generation(GenerationMessage { job_id }, 0).await {
            Ok(()) => queued += 1,
            Err(error) => tracing::warn!(%job_id, %error, "a lost job was not queued again"),
        }
    }
    if queued > 0 {
        tracing::info!(queued, "lost jobs were queued again");
    }
    Ok(queued)
}
