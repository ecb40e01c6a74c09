//! Telling everyone who must know that a job has its end state: the account, the watchers, the outbox.

use shared::{
    api::jobs::{Job, JobError, JobEvent, JobKind, JobStatus},
    ids::UserId,
};

use super::{job_ports::JobPorts, patience::patiently};
use crate::{
    error::Result,
    ports::{delivery::OutboxMessage, stores::Ending},
};

/// A job that ended, as far as the others need to know it.
#[derive(Debug, Clone, PartialEq)]
pub struct EndedJob {
    pub user_id: UserId,
    pub kind: JobKind,
    /// Its price, as the row has it.
    pub credits: i64,
    pub event: JobEvent,
}

impl From<&Job> for EndedJob {
    fn from(job: &Job) -> Self {
        Self { user_id: job.user_id, kind: job.kind, credits: job.credits, event: event_of(job) }
    }
}

/// The event that says what the row says.
pub fn event_of(job: &Job) -> JobEvent {
    JobEvent {
        job_id: job.id,
        status: job.status,
        progress: job.progress,
        message: job.message.clone(),
        error: job.error.clone(),
    }
}

/// Settles the account, tells the watchers, and nudges the outbox. Repeating it changes nothing,
/// so whoever finds a job ended may call it, and must when it can't know that somebody did.
pub async fn conclude(ports: &JobPorts<'_>, ended: &EndedJob) -> Result<()> {
    let job_id = ended.event.job_id;
    let charged = match ended.event.status {
        JobStatus::Completed => ended.credits,
        _ => 0,
    };
    let settled = ports.account.settle(ended.user_id, job_id, charged).await;
    let published = ports.job_room.publish(ended.event.clone()).await;
    // Of a cancelled scene nobody is told.
    if ended.event.status != JobStatus::Cancelled || ended.kind == JobKind::Image {
        let nudge = OutboxMessage { job_id: Some(job_id) };
        // The cron's tick delivers what this message would have: only the minute is lost.
        if let Err(error) = ports.queues.send_outbox(nudge, 0).await {
            tracing::warn!(%job_id, %error, "the outbox was not nudged");
        }
    }
    settled.and(published)
}

/// Gives a job its failed end, and concludes with whichever end it has then.
pub async fn fail_job(ports: &JobPorts<'_>, job: &Job, error: &JobError) -> Result<()> {
    tracing::warn!(job_id = %job.id, code = %error.code, "a job failed");
    let ending = patiently(ports.clock, || ports.jobs.fail(job.id, error)).await?;
    conclude_ending(ports, &ending).await
}

/// Concludes with what the database made of `finish` or `fail`.
pub async fn conclude_ending(ports: &JobPorts<'_>, ending: &Ending) -> Result<()> {
    let ended = EndedJob::from(&ending.job);
    patiently(ports.clock, || conclude(ports, &ended)).await
}
