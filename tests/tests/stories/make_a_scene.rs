//! The main job: from a browser's request to a stored picture.

use std::time::Duration;

use anyhow::{Context, Result};
use e2e::{
    assertions::{completed_once, ended},
    client::{Browser, scene},
    stack::{Stack, eventually},
    supabase::{self, sign_up},
};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use shared::api::{Page, jobs::JobStatus, scenes::Scene};

#[tokio::test]
async fn a_new_user_makes_a_scene_and_watches_it() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);

    let job = browser.order_scene(&scene()).await?;
    let events = browser.events(job.id, None).await?.to_end().await?;
    let last = events.last().context("events")?;
    assert_eq!(last.event.status, JobStatus::Completed);
    assert_eq!(last.event.progress, 100);
    assert!(events.iter().any(|e| e.event.status == JobStatus::Generating), "{events:?}");
    let progress: Vec<u8> = events.iter().map(|e| e.event.progress).collect();
    assert!(progress.is_sorted(), "progress never falls: {progress:?}");

    let found = browser.get(&format!("/api/scenes/{}", job.id)).await?.error_for_status()?;
    let found: Scene = found.json().await?;
    assert_eq!(found.class, "a red star");
    let path = format!("/api/scenes/{}/image", job.id);
    assert_eq!(found.image_url, format!("{}{path}", stack.edge_url));
    let answer = browser.get(&path).await?.error_for_status()?;
    assert_eq!(answer.headers()["content-type"], "image/png");
    let bytes = answer.bytes().await?;
    let image = image::load_from_memory(&bytes)?.to_rgb8();
    assert!(image.width() >= 64 && image.height() >= 64);
    let first = *image.get_pixel(0, 0);
    assert!(image.pixels().any(|pixel| *pixel != first), "the picture shows something");

    completed_once(&stack, &person, job.id).await?;
    let seen = supabase::rows_seen_by(&stack, &person, "scenes", "select=*").await?;
    assert_eq!(seen.len(), 1, "the owner sees the row through row-level security");

    let credits: Value = browser.get("/api/credits").await?.json().await?;
    assert_eq!(credits["balance"], 99, "{credits}");
    assert_eq!(credits["reserved"], 0, "{credits}");

    let audit = eventually("the audit row", Duration::from_secs(30), async || {
        let query = format!("user_id=eq.{}&action=like.POST*scene", person.id);
        Ok(supabase::rows(&stack, "audit_logs", &query).await?.into_iter().next())
    })
    .await?;
    assert!(audit["metadata"]["response_time_ms"].is_number(), "{audit}");
    Ok(())
}

#[tokio::test]
async fn a_caller_who_waits_gets_the_scene_itself() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);

    let answer = browser.create_scene(&scene(), &[("prefer", "wait=60")]).await?;
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(answer.headers()["preference-applied"], "wait=60");
    let made: Scene = answer.json().await?;
    let page: Page<Scene> = browser.get("/api/scenes").await?.json().await?;
    assert_eq!(page.items, [made]);
    Ok(())
}

#[tokio::test]
async fn a_client_that_hangs_up_loses_nothing() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);

    let job = browser.order_scene(&scene()).await?;
    let mut events = browser.events(job.id, None).await?;
    let first = events.next().await?.context("a first event")?;
    drop(events);
    let job = ended(&browser, job.id, Duration::from_secs(60)).await?;
    assert_eq!(job.status, JobStatus::Completed);

    let missed = browser.events(job.id, Some(&first.id)).await?.to_end().await?;
    assert!(missed.iter().all(|event| event.id != first.id), "only what was missed is sent");
    assert_eq!(missed.last().context("events")?.event.status, JobStatus::Completed);
    completed_once(&stack, &person, job.id).await
}

#[tokio::test]
async fn a_deleted_scene_is_gone_with_its_picture() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);
    let answer = browser.create_scene(&scene(), &[("prefer", "wait=60")]).await?;
    let made: Scene = answer.error_for_status()?.json().await?;

    let path = format!("/api/scenes/{}", made.id);
    let answer = browser.request(Method::DELETE, &path).send().await?;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert_eq!(browser.get(&path).await?.status(), StatusCode::NOT_FOUND);
    let folder = format!("{}/{}", person.id, made.id);
    assert_eq!(supabase::files_in(&stack, "scenes", &folder).await?, Vec::<String>::new());
    Ok(())
}
