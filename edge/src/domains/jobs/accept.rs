//! Accepting a job: reserve, store, queue. Only when both the row and the message are stored is it accepted;
//! on every failure before that, the reservation is given back and nothing half-made remains.

use serde_json::Value;
use shared::{
    api::jobs::{Job, JobKind, JobStatus},
    ids::{JobId, UserId},
    limits::OPEN_JOBS_PER_USER_MAX,
};

use super::{
    ending::{EndedJob, conclude, event_of},
    job_ports::JobPorts,
    patience::may_pass,
};
use crate::{
    caller::{AccessToken, Caller},
    error::{Error, Result},
    ports::{delivery::GenerationMessage, gates::Reservation},
};

/// When to come back if no node has the model; nodes register within seconds of their start.
const NO_NODE_RETRY_S: u32 = 15;
/// When to come back with too many jobs under way: about one job's time.
const OPEN_JOBS_RETRY_S: u32 = 10;

/// Jobs one order may become, each after the one before ended without a charge.
const REPEATS_MAX: u32 = 8;

/// What is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// The same id twice is the same job.
    pub id: JobId,
    pub kind: JobKind,
    pub input: Value,
}

/// Accepts a job, or leaves nothing behind.
pub async fn accept_job(ports: &JobPorts<'_>, caller: &Caller, new: &NewJob) -> Result<Job> {
    if !ports.fleet.has_model(model_of(ports, new.kind)).await? {
        return Err(Error::Unavailable {
            what: "generation",
            cause: "no node has the model".to_owned(),
            retry_after_s: NO_NODE_RETRY_S,
        });
    }
    for repeat in 0..REPEATS_MAX {
        let job =
            store(ports, caller, &NewJob { id: nth_id(new.id, repeat), ..new.clone() }).await?;
        match job.status {
            JobStatus::Failed | JobStatus::Cancelled => {
                give_back(ports, caller.user_id, job.id).await;
            }
            JobStatus::Completed => {
                conclude(ports, &EndedJob::from(&job)).await?;
                return Ok(job);
            }
            _ => {
                queue(ports, caller, &job).await?;
                return Ok(job);
            }
        }
    }
    Err(Error::Conflict { detail: "this order failed too often".to_owned() })
}

/// The id of an order's `repeat`-th job. An idempotency key brings the same id again after a failure, and the
/// row of that failure is in the way: the next id follows from it, so that two repeats still are one job.
fn nth_id(first: JobId, repeat: u32) -> JobId {
    match repeat {
        0 => first,
        _ => JobId::from_random(first.0.as_u128().rotate_left(7 * repeat).to_be_bytes()),
    }
}

/// Reserves, and stores the row.
async fn store(ports: &JobPorts<'_>, caller: &Caller, new: &NewJob) -> Result<Job> {
    reserve(ports, caller, new).await?;
    match ports.jobs.create(&caller.token, new.id, new.kind, &new.input).await {
        Ok(job) => Ok(job),
        Err(error) => {
            undo(ports, caller, new.id, &error).await;
            Err(error)
        }
    }
}

fn model_of<'a>(ports: &JobPorts<'a>, kind: JobKind) -> &'a str {
    match kind {
        JobKind::Scene => ports.scene_model,
    }
}

async fn reserve(ports: &JobPorts<'_>, caller: &Caller, new: &NewJob) -> Result<()> {
    // If only the answer to a reservation is lost, the account frees it at its next look into the ledger.
    let user = caller.user_id;
    let mut reservation = ports.account.reserve(user, new.id, new.kind, None).await?;
    if reservation == Reservation::NeedsLedger {
        let ledger = ports.jobs.ledger(&caller.token).await?;
        reservation = ports.account.reserve(user, new.id, new.kind, Some(ledger)).await?;
    }
    match reservation {
        Reservation::Granted => Ok(()),
        Reservation::NeedsLedger => {
            Err(Error::unavailable("the account", "it asked for the ledger twice"))
        }
        Reservation::NoCredit { balance, reserved } => Err(Error::NoCredit { balance, reserved }),
        Reservation::TooManyOpen { .. } => Err(Error::RateLimited {
            policy: "open-jobs",
            limit: u32::try_from(OPEN_JOBS_PER_USER_MAX).unwrap_or(u32::MAX),
            retry_after_s: OPEN_JOBS_RETRY_S,
        }),
    }
}

/// After a `create` that failed. If its answer was only lost, the row is there: it is cancelled, or else the
/// reaper would run, and charge for, a job whose caller was told that there is none.
async fn undo(ports: &JobPorts<'_>, caller: &Caller, id: JobId, cause: &Error) {
    if may_pass(cause)
        && let Err(error) = ports.jobs.cancel(&caller.token, id).await
    {
        tracing::debug!(job_id = %id, %error, "no row to cancel");
    }
    give_back(ports, caller.user_id, id).await;
}

async fn give_back(ports: &JobPorts<'_>, user: UserId, id: JobId) {
    if let Err(error) = ports.account.settle(user, id, 0).await {
        tracing::warn!(job_id = %id, %error, "a reservation was not given back");
    }
}

async fn queue(ports: &JobPorts<'_>, caller: &Caller, job: &Job) -> Result<()> {
    // Before the message is sent: afterwards it could overtake what the run says.
    if let Err(error) = ports.job_room.publish(event_of(job)).await {
        tracing::debug!(job_id = %job.id, %error, "the watchers were not told");
    }
    let message = GenerationMessage { job_id: job.id };
    if let Err(error) = ports.queues.send_generation(message, 0).await {
        tracing::warn!(job_id = %job.id, %error, "a job could not be queued");
        take_back(ports, &caller.token, job.id).await;
        return Err(Error::unavailable("the queue", error));
    }
    Ok(())
}

/// Cancels a job that could not be queued. If that fails too, the job stays stored with its reservation, and
/// the reaper queues it once the grace is over: it may then run although its caller was told to try again.
async fn take_back(ports: &JobPorts<'_>, token: &AccessToken, id: JobId) {
    let told = match ports.jobs.cancel(token, id).await {
        Ok(job) if job.status == JobStatus::Cancelled => {
            conclude(ports, &EndedJob::from(&job)).await
        }
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = told {
        tracing::warn!(job_id = %id, %error, "an unqueued job was not fully taken back");
    }
}
