//! Running one job: claim it, find a node, follow it, store what it made, finish. Each step may be repeated
//! by another delivery at any time; the database decides which one ends the job.

use shared::{
    api::jobs::{Job, JobError, JobEvent, JobStatus},
    ids::JobId,
    node::jobs::CreateNodeJob,
};

use super::{
    ending::{EndedJob, conclude, fail_job},
    follow::{Drawn, OnNode},
    input_picture::{NoPicture, add_input_picture},
    job_ports::JobPorts,
    lease::{Interrupt, Lease},
    node_order::node_order,
    patience::patiently,
    saving::{Saved, save},
};
use crate::{
    error::Result,
    ports::{fleet::NodeRef, stores::Claim},
};

/// When to look again for a node.
const NO_NODE_DELAY_S: u32 = 5;
/// When to try again after a part behind us stayed away longer than our patience.
const OUTAGE_DELAY_S: u32 = 10;

/// What the delivery's message becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunOutcome {
    /// The job has its end state, and everyone was told.
    Done,
    /// Nothing is lost: deliver it again.
    Retry { delay_s: u32 },
    /// It goes on, but this delivery's time is up: a fresh one attaches to the same run.
    HandOver,
}

/// Runs a job as far as it can be run now.
pub async fn run_job(ports: &JobPorts<'_>, id: JobId) -> RunOutcome {
    match patiently(ports.clock, || ports.jobs.claim(id, ports.lease_s)).await {
        Ok(Claim::Claimed(job)) => Box::pin(run_claimed(ports, *job)).await,
        Ok(Claim::Busy) => RunOutcome::Retry { delay_s: ports.lease_s.saturating_add(1) },
        Ok(Claim::Ended(job)) => told(conclude(ports, &EndedJob::from(job.as_ref())).await),
        Ok(Claim::Missing) => {
            tracing::warn!(job_id = %id, "a message named a job that is not there");
            RunOutcome::Done
        }
        Err(error) => later(id, &error),
    }
}

async fn run_claimed(ports: &JobPorts<'_>, job: Job) -> RunOutcome {
    if job.attempts > 1 {
        // An earlier run ended badly: what the account believes of this user may be as wrong. It asks the ledger.
        if let Err(error) = ports.account.forget_balance(job.user_id).await {
            tracing::warn!(job_id = %job.id, %error, "the account was not compared with the ledger");
        }
    }
    let mut order = match node_order(&job, ports.model_of(job.kind), ports.image_steps) {
        Ok(order) => order,
        Err(error) => return told(fail_job(ports, &job, &error).await),
    };
    let mut lease = Lease::new(*ports, &job);
    lease.announce().await;
    lease.wake_outbox().await;
    match add_input_picture(ports, &job, &mut order).await {
        Ok(()) => {}
        Err(NoPicture::Gone(error)) => return told(fail_job(ports, &job, &error).await),
        Err(NoPicture::StorageAway) => {
            let setback = Setback { delay_s: OUTAGE_DELAY_S, ..Setback::default() };
            return put_back(ports, &job, &lease, setback).await;
        }
    }
    match try_nodes(ports, &job, &order, &mut lease).await {
        Ok(outcome) => outcome,
        Err(Interrupt::Ended(status)) => told(conclude_found(ports, &job, status).await),
        Err(Interrupt::TimeIsUp) => {
            lease.shorten().await;
            RunOutcome::HandOver
        }
    }
}

/// Asks one node after the other, each at most once per delivery.
async fn try_nodes(
    ports: &JobPorts<'_>,
    job: &Job,
    order: &CreateNodeJob,
    lease: &mut Lease<'_>,
) -> std::result::Result<RunOutcome, Interrupt> {
    let mut tried = Vec::new();
    let mut setback = Setback::default();
    loop {
        let picked = lease
            .keep_during(Box::pin(patiently(ports.clock, || {
                ports.fleet.pick(&order.model, &tried)
            })))
            .await?;
        let node = match picked {
            Ok(Some(node)) => node,
            Ok(None) => return Ok(put_back(ports, job, lease, setback).await),
            Err(error) => {
                tracing::warn!(job_id = %job.id, %error, "the fleet did not answer");
                setback.delay_s = OUTAGE_DELAY_S;
                return Ok(put_back(ports, job, lease, setback).await);
            }
        };
        match run_on(ports, job, order, &node, lease).await? {
            OneNode::Ended(outcome) => return Ok(outcome),
            OneNode::TryAnother(reason) => setback.add(reason),
        }
        tried.push(node.node_id);
    }
}

enum OneNode {
    Ended(RunOutcome),
    TryAnother(Reason),
}

enum Reason {
    Full {
        retry_after_s: u32,
    },
    /// It was never reached: no attempt.
    NotReached,
    /// It broke off or failed during the run: counted, since the job itself may be what breaks nodes.
    Broke,
}

async fn run_on(
    ports: &JobPorts<'_>,
    job: &Job,
    order: &CreateNodeJob,
    node: &NodeRef,
    lease: &mut Lease<'_>,
) -> std::result::Result<OneNode, Interrupt> {
    let on_node = OnNode { ports, node, order };
    let followed = match on_node.run(lease).await {
        Ok(followed) => followed,
        Err(Interrupt::Ended(status)) => {
            on_node.stop().await;
            return Err(Interrupt::Ended(status));
        }
        Err(interrupt) => return Err(interrupt),
    };
    let reason = match followed {
        Drawn::Complete(results) => {
            let saved = Box::pin(save(ports, job, node, &results, lease)).await?;
            match saved {
                Saved::Ended(result) => return Ok(OneNode::Ended(told(result))),
                Saved::ArtifactsGone => {
                    // Or the next delivery would attach to the same wrong result.
                    on_node.stop().await;
                    Reason::Broke
                }
                Saved::StorageAway => {
                    let setback = Setback { delay_s: OUTAGE_DELAY_S, ..Setback::default() };
                    return Ok(OneNode::Ended(put_back(ports, job, lease, setback).await));
                }
            }
        }
        Drawn::Refused(error) | Drawn::Failed { error, is_retryable: false } => {
            return Ok(OneNode::Ended(told(fail_job(ports, job, &error).await)));
        }
        Drawn::Full { retry_after_s } => Reason::Full { retry_after_s },
        Drawn::NotReached => Reason::NotReached,
        Drawn::Failed { error, is_retryable: true } => {
            tracing::warn!(job_id = %job.id, node = %node.node_id, code = %error.code, "a run failed");
            // Or the next delivery would attach to the failed run instead of starting a new one.
            on_node.stop().await;
            Reason::Broke
        }
        Drawn::BrokeOff => Reason::Broke,
    };
    Ok(OneNode::TryAnother(reason))
}

/// What kept all nodes so far from doing it.
#[derive(Default)]
struct Setback {
    delay_s: u32,
    counts: bool,
    is_full: bool,
}

impl Setback {
    fn add(&mut self, reason: Reason) {
        match reason {
            Reason::Full { retry_after_s } => {
                self.delay_s = match self.is_full {
                    true => self.delay_s.min(retry_after_s),
                    false => retry_after_s,
                };
                self.is_full = true;
            }
            Reason::NotReached => {}
            Reason::Broke => self.counts = true,
        }
    }

    fn message(&self) -> &'static str {
        match (self.is_full, self.counts) {
            (true, _) => "all nodes are busy",
            (false, true) => "interrupted, to be run again",
            (false, false) => "waiting for a free place",
        }
    }
}

/// Back to `queued`, with the reason for whoever watches.
async fn put_back(
    ports: &JobPorts<'_>,
    job: &Job,
    lease: &Lease<'_>,
    setback: Setback,
) -> RunOutcome {
    let message = setback.message();
    let released =
        patiently(ports.clock, || ports.jobs.release(job.id, message, setback.counts)).await;
    if let Err(error) = released {
        // The row keeps its lease: before that ends, a delivery would only find it busy.
        tracing::warn!(job_id = %job.id, %error, "the job was not released");
        return RunOutcome::Retry { delay_s: ports.lease_s.saturating_add(1) };
    }
    let event =
        JobEvent { status: JobStatus::Queued, message: message.to_owned(), ..lease.event() };
    if let Err(error) = ports.job_room.publish(event).await {
        tracing::warn!(job_id = %job.id, %error, "the watchers were not told");
    }
    RunOutcome::Retry { delay_s: setback.delay_s.max(NO_NODE_DELAY_S) }
}

/// Concludes for an end that somebody else made while we ran: a cancellation, or another delivery's.
async fn conclude_found(ports: &JobPorts<'_>, job: &Job, status: JobStatus) -> Result<()> {
    let error = (status == JobStatus::Failed)
        .then(|| JobError { code: "failed".to_owned(), detail: "the job failed".to_owned() });
    let event = JobEvent {
        job_id: job.id,
        status,
        progress: if status == JobStatus::Completed { 100 } else { job.progress },
        message: status.to_string(),
        error,
    };
    let ended = EndedJob { user_id: job.user_id, kind: job.kind, credits: job.credits, event };
    patiently(ports.clock, || conclude(ports, &ended)).await
}

fn told(result: Result<()>) -> RunOutcome {
    match result {
        Ok(()) => RunOutcome::Done,
        Err(error) => {
            tracing::warn!(%error, "an end was not made or told, to be tried again");
            RunOutcome::Retry { delay_s: OUTAGE_DELAY_S }
        }
    }
}

fn later(id: JobId, error: &crate::error::Error) -> RunOutcome {
    tracing::warn!(job_id = %id, %error, "the job could not be claimed");
    RunOutcome::Retry { delay_s: OUTAGE_DELAY_S }
}
