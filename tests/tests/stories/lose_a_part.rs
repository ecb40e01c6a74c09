//! Each part is lost in the middle of a job; the job ends once, with all its effects.

use std::time::Duration;

use anyhow::{Result, bail};
use e2e::{
    assertions::{completed_once, ended},
    client::{Browser, scene},
    stack::{Part, Stack, eventually},
    supabase::{Person, rows, sign_up},
};
use reqwest::StatusCode;
use shared::{
    api::jobs::{Job, JobStatus},
    ids::JobId,
};

const RECOVERY: Duration = Duration::from_secs(180);

/// Orders scenes until one is caught while a node draws it, then calls `strike`.
async fn strike_mid_job(stack: &Stack, part: Part) -> Result<(Person, Browser, JobId)> {
    let person = sign_up(stack).await?;
    let browser = Browser::of(stack, &person);
    for _ in 0..5 {
        let job = browser.order_scene(&scene()).await?;
        let mut events = browser.events(job.id, None).await?;
        while let Some(event) = events.next().await? {
            if event.event.status == JobStatus::Generating {
                stack.kill(part).await?;
                return Ok((person, browser, job.id));
            }
            if event.event.status.is_end() {
                break;
            }
        }
    }
    bail!("no job could be caught while a node draws it")
}

async fn end_of(browser: &Browser, id: JobId) -> Result<Job> {
    let job = ended(browser, id, RECOVERY).await?;
    assert_eq!(job.status, JobStatus::Completed, "{job:?}");
    Ok(job)
}

#[tokio::test]
async fn a_node_killed_mid_job_is_replaced() -> Result<()> {
    let stack = Stack::running()?;
    let (person, browser, id) = strike_mid_job(&stack, Part::Node).await?;
    stack.start(Part::Node).await?;
    end_of(&browser, id).await?;
    completed_once(&stack, &person, id).await
}

#[tokio::test]
async fn a_worker_killed_mid_job_goes_on_where_it_was() -> Result<()> {
    let stack = Stack::running()?;
    let (person, browser, id) = strike_mid_job(&stack, Part::Edge).await?;
    stack.start(Part::Edge).await?;
    end_of(&browser, id).await?;
    completed_once(&stack, &person, id).await
}

#[tokio::test]
async fn a_database_away_for_20_s_loses_nothing() -> Result<()> {
    let stack = Stack::running()?;
    let (person, browser, id) = strike_mid_job(&stack, Part::Supabase).await?;
    tokio::time::sleep(Duration::from_secs(20)).await;
    stack.start(Part::Supabase).await?;
    end_of(&browser, id).await?;
    completed_once(&stack, &person, id).await
}

#[tokio::test]
async fn without_a_node_an_order_is_refused_and_nothing_is_half_made() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);
    stack.kill(Part::Node).await?;

    let refusal = eventually("orders are refused", Duration::from_secs(90), async || {
        let answer = browser.create_scene(&scene(), &[]).await?;
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            return Ok(Some(answer));
        }
        // The edge hasn't missed the node yet: this order waits for it. Take it back.
        let job: Job = answer.error_for_status()?.json().await?;
        browser.cancel(job.id).await?.error_for_status()?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(None)
    })
    .await;
    stack.start(Part::Node).await?;
    let refusal = refusal?;
    assert!(refusal.headers().contains_key("retry-after"));
    let open = rows(
        &stack,
        "jobs",
        &format!("user_id=eq.{}&status=not.in.(cancelled,completed,failed)", person.id),
    )
    .await?;
    assert!(open.is_empty(), "no job was left behind: {open:?}");

    eventually("orders are accepted again", Duration::from_secs(90), async || {
        let answer = browser.create_scene(&scene(), &[("prefer", "wait=60")]).await?;
        Ok((answer.status() == StatusCode::CREATED).then_some(()))
    })
    .await
}
