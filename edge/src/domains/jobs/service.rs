//! A caller's own jobs: reading, watching, cancelling, cleaning up.

use shared::{
    api::{
        Page,
        jobs::{Job, JobStatus, JobsRemoved},
    },
    ids::JobId,
};

use super::{
    ending::{EndedJob, conclude, event_of},
    job_ports::JobPorts,
};
use crate::{
    caller::Caller,
    error::{Error, Result},
    ports::{NativeResponse, stores::JobFilter},
};

/// The caller's jobs, newest first.
pub async fn list_jobs(
    ports: &JobPorts<'_>,
    caller: &Caller,
    filter: &JobFilter,
) -> Result<Page<Job>> {
    ports.jobs.list(&caller.token, filter).await
}

/// One of the caller's jobs.
pub async fn find_job(ports: &JobPorts<'_>, caller: &Caller, id: JobId) -> Result<Job> {
    ports.jobs.find(&caller.token, id).await?.ok_or(Error::NotFound)
}

/// Its live events, from after `last_event_id`. The room knows no owners: the row is read first, as the caller.
pub async fn watch_job(
    ports: &JobPorts<'_>,
    caller: &Caller,
    id: JobId,
    last_event_id: Option<u64>,
) -> Result<NativeResponse> {
    let job = find_job(ports, caller, id).await?;
    ports.job_room.watch(id, last_event_id, event_of(&job)).await
}

/// Cancels a job that has not ended; an ended one stays as it is. The delivery that runs it learns it from
/// its next report, at most a second after the next step, and stops the node.
pub async fn cancel_job(ports: &JobPorts<'_>, caller: &Caller, id: JobId) -> Result<Job> {
    let job = ports.jobs.cancel(&caller.token, id).await?;
    if job.status == JobStatus::Cancelled {
        let told = conclude(ports, &EndedJob::from(&job)).await;
        // The row has its end: its delivery finds that, and tells whom we could not.
        if let Err(error) = told {
            tracing::warn!(job_id = %id, %error, "a cancellation was not told to all");
        }
    }
    Ok(job)
}

/// Removes the caller's finished jobs (an admin: everyone's).
pub async fn remove_finished_jobs(
    ports: &JobPorts<'_>,
    caller: &Caller,
    older_than_days: u32,
) -> Result<JobsRemoved> {
    let removed = ports.jobs.remove_finished(&caller.token, older_than_days).await?;
    Ok(JobsRemoved { removed })
}
