//! The `generation` queue's consumer: one message, one delivery of a job. Its dead letters are noted for the admins.

use super::{
    job_ports::JobPorts,
    lease::HAND_OVER_S,
    run::{RunOutcome, run_job},
};
use crate::{
    domains::audit::note_dead_letter,
    ports::delivery::{Consumed, GenerationMessage},
    state::AppState,
};

/// Runs the job a message names, as far as it can be run now.
pub async fn consume_generation(state: &AppState, message: GenerationMessage) -> Consumed {
    consume(&JobPorts::from(state), message).await
}

/// What a delivery's outcome means for its message.
pub async fn consume(ports: &JobPorts<'_>, message: GenerationMessage) -> Consumed {
    match run_job(ports, message.job_id).await {
        RunOutcome::Done => Consumed::Ack,
        RunOutcome::Retry { delay_s } => Consumed::Retry { delay_s },
        RunOutcome::HandOver => hand_over(ports, message).await,
    }
}

async fn hand_over(ports: &JobPorts<'_>, message: GenerationMessage) -> Consumed {
    let job_id = message.job_id;
    let delay_s = HAND_OVER_S.saturating_add(1);
    match ports.queues.send_generation(message, delay_s).await {
        Ok(()) => Consumed::Ack,
        Err(error) => {
            tracing::warn!(%job_id, %error, "no fresh delivery: this one is repeated");
            Consumed::Retry { delay_s }
        }
    }
}

/// A message that was delivered too often. The job itself is not lost: its row is still open, and the reaper
/// queues it again, until its attempts are used up and the database fails it.
pub async fn consume_dead_generation(state: &AppState, message: GenerationMessage) -> Consumed {
    note_dead_letter(state, "generation", Some(message.job_id)).await
}
