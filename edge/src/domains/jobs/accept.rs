//! Accepting a job: reserve, store, queue. Only when both the row and the message are stored is it accepted;
//! on every failure before that, the reservation is given back and nothing half-made remains.

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
    caller::Caller,
    error::{Error, Result},
    ports::{
        delivery::GenerationMessage,
        gates::{JobSize, Reservation},
    },
};

pub use crate::ports::stores::NewJob;

/// When to come back if no node has the model; nodes register within seconds of their start.
const NO_NODE_RETRY_S: u32 = 15;
/// When to come back with too many jobs under way: about one job's time.
const OPEN_JOBS_RETRY_S: u32 = 10;

/// Jobs one order may become, each after the one before ended without a charge.
const REPEATS_MAX: u32 = 8;

/// Accepts a job, or leaves nothing behind.
pub async fn accept_job(ports: &JobPorts<'_>, caller: &Caller, new: &NewJob) -> Result<Job> {
    if !ports.fleet.has_model(ports.model_of(new.kind)).await? {
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
                give_back(ports, job.user_id, job.id).await;
                // Its caller gave it its id: whatever became of it, that is its job.
                if new.kind == JobKind::Image {
                    return Ok(job);
                }
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
    match ports.jobs.create(&caller.token, new).await {
        Ok(job) => Ok(job),
        Err(error) => {
            undo(ports, caller, new, &error).await;
            Err(error)
        }
    }
}

async fn reserve(ports: &JobPorts<'_>, caller: &Caller, new: &NewJob) -> Result<()> {
    // If only the answer to a reservation is lost, the account frees it at its next look into the ledger.
    let user = owner_of(caller, new);
    let size = JobSize { kind: new.kind, pictures: new.pictures };
    let mut reservation = ports.account.reserve(user, new.id, size, None).await?;
    if reservation == Reservation::NeedsLedger {
        let ledger = ports.jobs.ledger(&caller.token, new.owner).await?;
        reservation = ports.account.reserve(user, new.id, size, Some(ledger)).await?;
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
async fn undo(ports: &JobPorts<'_>, caller: &Caller, new: &NewJob, cause: &Error) {
    let id = new.id;
    if may_pass(cause) {
        let undone = match new.kind {
            JobKind::Scene => ports.jobs.cancel(&caller.token, id).await.map(drop),
            JobKind::Image => ports.jobs.withdraw(&caller.token, id).await.map(drop),
        };
        if let Err(error) = undone {
            tracing::debug!(job_id = %id, %error, "no row to cancel");
        }
    }
    give_back(ports, owner_of(caller, new), id).await;
}

fn owner_of(caller: &Caller, new: &NewJob) -> UserId {
    new.owner.unwrap_or(caller.user_id)
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
        take_back(ports, caller, job).await;
        return Err(Error::unavailable("the queue", error));
    }
    Ok(())
}

/// Cancels a job that could not be queued. If that fails too, the job stays stored with its reservation, and
/// the reaper queues it once the grace is over: it may then run although its caller was told to try again.
///
/// An image is withdrawn instead: the next order under its caller's own id must find the id free.
async fn take_back(ports: &JobPorts<'_>, caller: &Caller, job: &Job) {
    let id = job.id;
    let told = match job.kind {
        JobKind::Scene => match ports.jobs.cancel(&caller.token, id).await {
            Ok(job) if job.status == JobStatus::Cancelled => {
                conclude(ports, &EndedJob::from(&job)).await
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        },
        JobKind::Image => match ports.jobs.withdraw(&caller.token, id).await {
            Ok(true) => ports.account.settle(job.user_id, id, 0).await,
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        },
    };
    if let Err(error) = told {
        tracing::warn!(job_id = %id, %error, "an unqueued job was not fully taken back");
    }
}
