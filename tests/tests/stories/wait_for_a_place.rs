//! When nobody can take a job now, it waits, is told so, and is lost by nobody.

use std::time::Duration;

use anyhow::{Context, Result};
use e2e::{
    assertions::{completed_once, ended},
    client::{Browser, scene},
    node::Ballast,
    stack::{Part, Stack, eventually},
    supabase::{rows, sign_up},
};
use shared::api::jobs::JobStatus;

#[tokio::test]
async fn a_job_for_a_full_node_waits_and_then_ends_like_any_other() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);
    let mut ballast = Ballast::default();
    ballast.fill(&stack).await?;

    let job = browser.order_scene(&scene()).await?;
    let told = eventually("the job hears that it waits", Duration::from_secs(60), async || {
        // A place that became free meanwhile is taken again.
        ballast.fill(&stack).await?;
        let job = browser.job(job.id).await?;
        anyhow::ensure!(!job.status.is_end(), "it got a place: {job:?}");
        Ok((job.message == "all nodes are busy").then_some(job))
    })
    .await?;
    assert_eq!(told.status, JobStatus::Queued);
    assert_eq!(told.attempts, 0, "waiting is no attempt");

    ballast.drop_all(&stack).await?;
    let job = ended(&browser, job.id, Duration::from_secs(90)).await?;
    assert_eq!(job.status, JobStatus::Completed, "{job:?}");
    completed_once(&stack, &person, job.id).await
}

#[tokio::test]
async fn a_message_that_fails_every_time_becomes_a_dead_letter_and_its_job_still_ends() -> Result<()>
{
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);
    // Ordered before the edge misses the node: each delivery finds nobody, until there is none left.
    stack.kill(Part::Node).await?;
    let ordered = browser.order_scene(&scene()).await;
    let noted = async {
        let id = ordered.as_ref().map(|job| job.id).map_err(|e| anyhow::anyhow!("{e}"))?;
        eventually("the dead letter is noted", Duration::from_secs(90), async || {
            let query = format!("action=eq.dead%20letter%20generation&metadata->>job_id=eq.{id}");
            Ok(rows(&stack, "audit_logs", &query).await?.into_iter().next())
        })
        .await
    }
    .await;
    stack.start(Part::Node).await?;
    noted?;

    let job = ended(&browser, ordered.context("an order")?.id, Duration::from_secs(120)).await?;
    assert_eq!(job.status, JobStatus::Completed, "the reaper queued it again: {job:?}");
    completed_once(&stack, &person, job.id).await
}
