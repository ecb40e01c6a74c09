//! Delivering the outbox: claim what is due, post it, settle it, until nothing is due or time is up.
//! A message may be posted twice if settling fails after it was taken; it is never lost.

use std::collections::HashMap;

use crate::{
    domains::jobs::patience::patiently,
    error::Result,
    ports::{
        delivery::{Delivery, DiscordWebhook},
        stores::{OutboxOutcome, OutboxRow, OutboxStore},
        system::{Clock, Random},
    },
};

use super::{
    discord,
    webhook::{self, Webhook},
};

const ROWS_PER_CLAIM: u32 = 10;
/// Longer than posting a whole claim takes, patience included; then another deliverer may take the rows.
const CLAIM_LEASE_S: u32 = 120;
const DELIVERY_BUDGET_MS: u64 = 60 * 1_000;
const FIRST_BACK_OFF_S: u32 = 5;
const BACK_OFF_MAX_S: u32 = 3_600;
/// With the back-off above this is a day: ten doublings are 85 minutes, the others an hour each.
const ATTEMPTS_MAX: u32 = 33;

const NOBODY_IS_TOLD: &str = "an event nobody is told of";

/// What delivering needs.
#[derive(Clone, Copy)]
pub struct OutboxPorts<'a> {
    pub clock: &'a dyn Clock,
    pub random: &'a dyn Random,
    pub outbox: &'a dyn OutboxStore,
    /// `None` when no webhook is configured.
    pub discord: Option<&'a dyn DiscordWebhook>,
    /// Likewise, for the product's own server.
    pub webhook: Option<Webhook<'a>>,
}

/// Topics whose receiver asked for a pause, with its seconds: nothing more is sent there in this delivery.
type Pauses = HashMap<String, u32>;

/// When to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing is due; the minute's tick suffices.
    Nothing,
    After {
        delay_s: u32,
    },
}

/// Delivers what is due.
pub async fn deliver_outbox(ports: &OutboxPorts<'_>) -> Result<Next> {
    let began_ms = ports.clock.now_ms();
    let (mut next, mut pauses) = (Next::Nothing, Pauses::new());
    loop {
        let rows =
            patiently(ports.clock, || ports.outbox.claim(ROWS_PER_CLAIM, CLAIM_LEASE_S)).await?;
        if rows.is_empty() {
            return Ok(next);
        }
        deliver_rows(ports, &rows, (&mut next, &mut pauses)).await?;
        if ports.clock.now_ms().saturating_sub(began_ms) >= DELIVERY_BUDGET_MS {
            return Ok(Next::After { delay_s: 1 });
        }
    }
}

async fn deliver_rows(
    ports: &OutboxPorts<'_>,
    rows: &[OutboxRow],
    (next, pauses): (&mut Next, &mut Pauses),
) -> Result<()> {
    for row in rows {
        let outcome = match pauses.get(&row.topic) {
            // Each further call would count as one too many; enough of them and Discord bans the address.
            Some(after_s) => OutboxOutcome::Retry {
                error: "the webhook asked for a pause".to_owned(),
                after_s: *after_s,
            },
            None => {
                let (outcome, asked_pause_s) = deliver_row(ports, row).await;
                pauses.extend(asked_pause_s.map(|pause_s| (row.topic.clone(), pause_s)));
                outcome
            }
        };
        note(row, &outcome, next);
        patiently(ports.clock, || ports.outbox.settle(&row.id, outcome.clone())).await?;
    }
    Ok(())
}

fn note(row: &OutboxRow, outcome: &OutboxOutcome, next: &mut Next) {
    match outcome {
        OutboxOutcome::Delivered => {
            tracing::info!(id = %row.id, event = %row.event, "a message was delivered");
        }
        OutboxOutcome::Retry { error, after_s } => {
            tracing::info!(id = %row.id, %error, after_s, "a message will be tried again");
            *next = match *next {
                Next::After { delay_s } => Next::After { delay_s: delay_s.min(*after_s) },
                Next::Nothing => Next::After { delay_s: *after_s },
            };
        }
        OutboxOutcome::Dead { error } => {
            tracing::error!(id = %row.id, event = %row.event, %error, "a message was given up");
        }
    }
}

async fn deliver_row(ports: &OutboxPorts<'_>, row: &OutboxRow) -> (OutboxOutcome, Option<u32>) {
    let dead = |error: &str| (OutboxOutcome::Dead { error: error.to_owned() }, None);
    let delivery = match row.topic.as_str() {
        "discord" => {
            let Some(discord) = ports.discord else { return dead("no webhook configured") };
            let Some(message) = discord::message_of(row) else { return dead(NOBODY_IS_TOLD) };
            discord.post(&message).await
        }
        "webhook" => {
            let Some(hook) = &ports.webhook else { return dead("no webhook configured") };
            let message = webhook::message_of(row, hook, ports.clock.now_ms());
            let Some(message) = message else { return dead(NOBODY_IS_TOLD) };
            hook.receiver.post(message).await
        }
        _ => return dead("no way to deliver this topic"),
    };
    match delivery {
        Delivery::Delivered => (OutboxOutcome::Delivered, None),
        Delivery::Refused { cause } => (OutboxOutcome::Dead { error: cause }, None),
        Delivery::Retry { cause, .. } if row.attempts >= ATTEMPTS_MAX => {
            let error = format!("given up after {} attempts: {cause}", row.attempts);
            (OutboxOutcome::Dead { error }, None)
        }
        Delivery::Retry { after_s, cause } => {
            let own_s = back_off_s(row.attempts, ports.random.bytes());
            let outcome =
                OutboxOutcome::Retry { error: cause, after_s: own_s.max(after_s.unwrap_or(0)) };
            (outcome, after_s)
        }
    }
}

/// Doubling from five seconds to an hour; a random quarter less, so that failures that came together part.
fn back_off_s(attempts: u32, random: [u8; 16]) -> u32 {
    let doublings = attempts.saturating_sub(1).min(20);
    let full_s = FIRST_BACK_OFF_S.saturating_mul(1 << doublings).min(BACK_OFF_MAX_S);
    full_s - full_s / 4 * u32::from(random[0]) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backs_off_from_seconds_to_an_hour() {
        let waits: Vec<u32> =
            [1, 2, 3, 10, 11, 33, u32::MAX].map(|attempts| back_off_s(attempts, [0; 16])).to_vec();
        assert_eq!(waits, [5, 10, 20, 2_560, 3_600, 3_600, 3_600]);
        assert_eq!(back_off_s(33, [255; 16]), 2_700);
    }

    #[test]
    fn all_attempts_together_take_about_a_day() {
        let total_s: u32 = (1..ATTEMPTS_MAX).map(|attempts| back_off_s(attempts, [0; 16])).sum();
        assert!((82_800..=90_000).contains(&total_s), "{total_s}");
    }
}
