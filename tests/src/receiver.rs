//! The stand-in for the product's own server: `tests/stand-ins/receiver.mjs`.

use std::time::Duration;

use anyhow::Result;
use reqwest::Client;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::stack::{Stack, eventually};

/// A webhook as it arrived.
#[derive(Debug, Clone, Deserialize)]
pub struct Received {
    pub id: String,
    /// Whether secret, signature and time are right.
    pub is_proved: bool,
    /// What the receiver answered.
    pub status: u16,
    pub body: Value,
}

/// Everything that arrived about a generation, in order.
pub async fn received(stack: &Stack, about: &str) -> Result<Vec<Received>> {
    let url = format!("{}/received?about={about}", stack.receiver_url);
    Ok(reqwest::get(url).await?.error_for_status()?.json().await?)
}

/// What arrived about a generation once its end was taken.
pub async fn told_to_the_end(stack: &Stack, about: &str) -> Result<Vec<Received>> {
    eventually("the end is told", Duration::from_secs(120), async || {
        let messages = received(stack, about).await?;
        let last = statuses(&messages).last().copied().unwrap_or_default();
        Ok(["completed", "failed"].contains(&last).then_some(messages))
    })
    .await
}

/// The statuses of those that were taken.
pub fn statuses(messages: &[Received]) -> Vec<&str> {
    let taken = messages.iter().filter(|message| message.status == 204);
    taken.filter_map(|message| message.body["status"].as_str()).collect()
}

/// Makes the next webhooks fail.
pub async fn fail_next(stack: &Stack, times: u32, status: u16) -> Result<()> {
    let order = json!({ "times": times, "status": status });
    let url = format!("{}/fail", stack.receiver_url);
    Client::new().post(url).json(&order).send().await?.error_for_status()?;
    Ok(())
}

/// The paths that were fetched from it.
pub async fn asked(stack: &Stack) -> Result<Vec<String>> {
    let url = format!("{}/asked", stack.receiver_url);
    Ok(reqwest::get(url).await?.error_for_status()?.json().await?)
}
