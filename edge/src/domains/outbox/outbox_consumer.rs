//! The `outbox` queue's consumer: a message only says "look for due rows", so losing or repeating one is harmless.

use super::{
    deliver::{Next, OutboxPorts, deliver_outbox},
    webhook::Webhook,
};
use crate::{
    domains::audit::note_dead_letter,
    ports::delivery::{Consumed, OutboxMessage},
    state::AppState,
};

/// Above it the minute's tick is as good as a message.
const TICK_S: u32 = 60;
const OUTAGE_DELAY_S: u32 = 30;

impl<'a> From<&'a AppState> for OutboxPorts<'a> {
    fn from(state: &'a AppState) -> Self {
        Self {
            clock: state.clock.as_ref(),
            random: state.random.as_ref(),
            outbox: state.outbox.as_ref(),
            discord: state.discord.as_deref(),
            webhook: state.webhook.as_deref().zip(state.config.webhook.as_ref()).map(
                |(receiver, config)| Webhook {
                    receiver,
                    secret: config.secret.reveal(),
                    signing: &config.signing,
                    environment: state.config.environment,
                },
            ),
        }
    }
}

/// Delivers what is due, and sees to it that what is due soon is looked for again.
pub async fn consume_outbox(state: &AppState, _: OutboxMessage) -> Consumed {
    match deliver_outbox(&OutboxPorts::from(state)).await {
        Ok(Next::Nothing) => Consumed::Ack,
        Ok(Next::After { delay_s }) if delay_s >= TICK_S => Consumed::Ack,
        Ok(Next::After { delay_s }) => look_again(state, delay_s).await,
        Err(error) => {
            tracing::warn!(%error, "the outbox could not be read or settled");
            Consumed::Retry { delay_s: OUTAGE_DELAY_S }
        }
    }
}

async fn look_again(state: &AppState, delay_s: u32) -> Consumed {
    let message = OutboxMessage { job_id: None };
    if let Err(error) = state.queues.send_outbox(message, delay_s).await {
        tracing::debug!(%error, "the minute's tick has to do");
    }
    Consumed::Ack
}

/// A wake-up that failed too often. The rows are where they were, and the minute's tick wakes again.
pub async fn consume_dead_outbox(state: &AppState, message: OutboxMessage) -> Consumed {
    note_dead_letter(state, "outbox", message.job_id).await
}
