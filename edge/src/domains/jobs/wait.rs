//! Waiting for an accepted job's end, as long as its caller wants to.

use shared::{api::jobs::JobStatus, ids::JobId};

use super::job_ports::JobPorts;
use crate::error::{Error, Result};

/// Whether the job completed within the time. One that failed or was cancelled meanwhile is an error, never an answer of
/// success.
pub async fn is_completed_within(ports: &JobPorts<'_>, id: JobId, timeout_ms: u64) -> Result<bool> {
    if timeout_ms == 0 {
        return Ok(false);
    }
    let end = match ports.job_room.wait_for_end(id, timeout_ms).await {
        Ok(end) => end,
        // The job is accepted all the same: its caller can follow it as anyone who did not wait.
        Err(error) => {
            tracing::warn!(job_id = %id, %error, "a job's end could not be waited for");
            None
        }
    };
    match end.map(|end| (end.status, end.error)) {
        Some((JobStatus::Completed, _)) => Ok(true),
        Some((JobStatus::Failed, error)) => {
            let detail = error.map_or_else(|| "the job failed".to_owned(), |error| error.detail);
            Err(Error::JobFailed { detail })
        }
        Some((JobStatus::Cancelled, _)) => {
            Err(Error::Conflict { detail: "the job was cancelled".to_owned() })
        }
        _ => Ok(false),
    }
}
