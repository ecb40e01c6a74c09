//! What must hold after every accident: exactly one of each effect.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use serde_json::Value;
use shared::{api::jobs::Job, ids::JobId};

use crate::{
    client::Browser,
    stack::{Stack, eventually},
    supabase::{self, Person},
};

/// Waits for the job's end state.
pub async fn ended(browser: &Browser, id: JobId, limit: Duration) -> Result<Job> {
    eventually(&format!("job {id} ends"), limit, async || {
        let job = browser.job(id).await?;
        Ok(job.status.is_end().then_some(job))
    })
    .await
}

/// The job is completed, and every effect of it exists exactly once.
pub async fn completed_once(stack: &Stack, person: &Person, id: JobId) -> Result<()> {
    let job = one(stack, "jobs", &format!("id=eq.{id}")).await?;
    ensure!(job["status"] == "completed", "the job is {}", job["status"]);

    let scene = one(stack, "scenes", &format!("id=eq.{id}")).await?;
    ensure!(scene["user_id"] == person.id.as_str(), "the scene is its owner's");

    let files = supabase::files_in(stack, "scenes", &format!("{}/{id}", person.id)).await?;
    ensure!(files.len() == 1, "one file, not {files:?}");

    let charge = one(stack, "credit_ledger", &format!("job_id=eq.{id}")).await?;
    ensure!(charge["amount"] == -1, "one credit was charged, not {}", charge["amount"]);

    let message = eventually("the Discord message", Duration::from_secs(90), async || {
        Ok(messages_about(stack, id).await?.into_iter().next())
    })
    .await?;
    ensure!(message["embeds"][0]["color"] == 0x3498DB, "a blue embed: {message}");
    let all = messages_about(stack, id).await?;
    ensure!(all.len() == 1, "one Discord message, not {}", all.len());
    let outbox = one(stack, "outbox", &format!("job_id=eq.{id}")).await?;
    ensure!(outbox["event"] == "scene.completed", "the outbox row is {}", outbox["event"]);
    Ok(())
}

/// Nothing was made and nothing charged.
pub async fn left_no_effects(stack: &Stack, id: JobId) -> Result<()> {
    for (table, column) in [("scenes", "id"), ("credit_ledger", "job_id")] {
        let rows = supabase::rows(stack, table, &format!("{column}=eq.{id}")).await?;
        ensure!(rows.is_empty(), "{table} has {rows:?}");
    }
    Ok(())
}

async fn one(stack: &Stack, table: &str, query: &str) -> Result<Value> {
    let mut rows = supabase::rows(stack, table, query).await?;
    ensure!(rows.len() == 1, "one row in {table} where {query}, not {}", rows.len());
    rows.pop().context("one row")
}

/// What the stand-in for Discord received and found well-formed.
pub async fn messages_about(stack: &Stack, id: JobId) -> Result<Vec<Value>> {
    let url = format!("{}/messages?about={id}", stack.discord_url);
    Ok(Client::new().get(url).send().await?.error_for_status()?.json().await?)
}
