//! The lease of a run: kept while a node is silent, told of progress at most once a second, and the first
//! to learn that the job has ended behind our back.

use std::future::Future;

use futures_util::future::{Either, select};
use shared::api::jobs::{Job, JobEvent, JobKind, JobStatus};

use super::{job_ports::JobPorts, progress};
use crate::ports::{delivery::OutboxMessage, stores::JobProgress};

/// Progress is written to the row at most this often.
const REPORT_INTERVAL_MS: u64 = 1_000;
/// Watchers hear of it more often, but of whole percents only: every call counts against the platform's limit, and a run
/// has 150 steps at most but fewer percents.
const ANNOUNCE_INTERVAL_MS: u64 = 300;
/// A delivery's time; the platform allows fifteen minutes, and storing takes some of them.
const RUN_BUDGET_MS: u64 = 10 * 60 * 1_000;
/// What is left of the lease when a run is handed to a fresh delivery.
pub const HAND_OVER_S: u32 = 1;

/// Why a run stops before its own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// The job has this end state already.
    Ended(JobStatus),
    /// This delivery's time is up.
    TimeIsUp,
}

type Kept<T> = std::result::Result<T, Interrupt>;

/// One delivery's hold on its job.
pub struct Lease<'a> {
    ports: JobPorts<'a>,
    job_id: shared::ids::JobId,
    kind: JobKind,
    present: JobProgress,
    reported_status: JobStatus,
    reported_ms: u64,
    announced: JobProgress,
    announced_ms: u64,
    began_ms: u64,
}

impl<'a> Lease<'a> {
    /// The lease that claiming `job` gave us.
    pub fn new(ports: JobPorts<'a>, job: &Job) -> Self {
        let now_ms = ports.clock.now_ms();
        let opened = progress::opened();
        let present = JobProgress { progress: opened.progress.max(job.progress), ..opened };
        Self {
            ports,
            job_id: job.id,
            kind: job.kind,
            announced: present.clone(),
            announced_ms: now_ms,
            present,
            reported_status: job.status,
            reported_ms: now_ms,
            began_ms: now_ms,
        }
    }

    /// How far the run is.
    pub fn progress(&self) -> u8 {
        self.present.progress
    }

    /// The event that says how far the run is.
    pub fn event(&self) -> JobEvent {
        JobEvent {
            job_id: self.job_id,
            status: self.present.status,
            progress: self.present.progress,
            message: self.present.message.clone(),
            error: None,
        }
    }

    /// Tells the watchers how far the run is. That they miss one does no harm: the next says more.
    pub async fn announce(&mut self) {
        self.announced = self.present.clone();
        self.announced_ms = self.ports.clock.now_ms();
        if let Err(error) = self.ports.job_room.publish(self.event()).await {
            tracing::debug!(job_id = %self.job_id, %error, "the watchers were not told");
        }
    }

    /// Has the step that the database has just noted told soon; the minute's tick tells it too.
    pub async fn wake_outbox(&self) {
        if self.kind != JobKind::Image {
            return;
        }
        let nudge = OutboxMessage { job_id: Some(self.job_id) };
        if let Err(error) = self.ports.queues.send_outbox(nudge, 0).await {
            tracing::debug!(job_id = %self.job_id, %error, "the outbox was not nudged");
        }
    }

    /// Moves on, if `next` is ahead: watchers hear of a new status now and of a new percent soon, the row within a second.
    pub async fn advance(&mut self, next: JobProgress) -> Kept<()> {
        let Some(next) = progress::forward(&self.present, next) else {
            return Ok(());
        };
        self.present = next;
        let now_ms = self.ports.clock.now_ms();
        let is_new_percent = self.present.progress != self.announced.progress;
        let is_quiet = now_ms.saturating_sub(self.announced_ms) >= ANNOUNCE_INTERVAL_MS;
        if self.present.status != self.announced.status || (is_new_percent && is_quiet) {
            self.announce().await;
        }
        let is_due = now_ms.saturating_sub(self.reported_ms) >= REPORT_INTERVAL_MS;
        if is_due || self.present.status != self.reported_status {
            self.keep().await?;
        }
        Ok(())
    }

    /// Waits for `work`, keeping the lease meanwhile. `work` is dropped if the run must stop.
    pub async fn keep_during<T, F>(&mut self, mut work: F) -> Kept<T>
    where
        F: Future<Output = T> + Unpin,
    {
        let tick_ms = u64::from(self.ports.lease_s) * 1_000 / 3;
        loop {
            let tick = self.ports.clock.sleep_ms(tick_ms);
            match select(work, tick).await {
                Either::Left((done, _)) => return Ok(done),
                Either::Right(((), unfinished)) => work = unfinished,
            }
            if self.present != self.announced {
                // What was held back, when no later step brings it.
                self.announce().await;
            }
            self.keep().await?;
        }
    }

    /// Extends the lease and learns whether the job has ended. While the database is away the run goes on:
    /// nobody else can claim the job then, and finishing waits.
    pub async fn keep(&mut self) -> Kept<()> {
        self.report(self.ports.lease_s).await?;
        match self.ports.clock.now_ms().saturating_sub(self.began_ms) >= RUN_BUDGET_MS {
            true => Err(Interrupt::TimeIsUp),
            false => Ok(()),
        }
    }

    /// Lets the lease run out soon, so that the delivery that takes over finds the job free.
    pub async fn shorten(&mut self) {
        if let Err(Interrupt::Ended(status)) = self.report(HAND_OVER_S).await {
            tracing::debug!(job_id = %self.job_id, %status, "ended while handing over");
        }
    }

    async fn report(&mut self, lease_s: u32) -> Kept<()> {
        let reported = self.ports.jobs.report(self.job_id, self.present.clone(), lease_s).await;
        match reported {
            Ok(status) if status.is_end() => return Err(Interrupt::Ended(status)),
            Ok(_) => {
                let is_new_step = self.reported_status != self.present.status;
                self.reported_status = self.present.status;
                self.reported_ms = self.ports.clock.now_ms();
                if is_new_step {
                    self.wake_outbox().await;
                }
            }
            Err(error) => tracing::warn!(job_id = %self.job_id, %error, "progress was not stored"),
        }
        Ok(())
    }
}
