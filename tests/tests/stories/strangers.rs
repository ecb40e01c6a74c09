//! What belongs to one user does not exist for another.

use anyhow::Result;
use e2e::{
    client::{Browser, scene},
    stack::Stack,
    supabase::{file_seen_by, rows_seen_by, sign_up},
};
use reqwest::{Method, StatusCode};
use shared::api::{Page, scenes::Scene};

#[tokio::test]
async fn a_stranger_finds_nothing_of_anothers() -> Result<()> {
    let stack = Stack::running()?;
    let owner = sign_up(&stack).await?;
    let stranger = sign_up(&stack).await?;
    let answer =
        Browser::of(&stack, &owner).create_scene(&scene(), &[("prefer", "wait=60")]).await?;
    let made: Scene = answer.error_for_status()?.json().await?;
    let id = made.id;
    let file = format!("scenes/{}/{id}/0.png", owner.id);
    assert_eq!(file_seen_by(&stack, &owner, &file).await?.status(), StatusCode::OK);

    let browser = Browser::of(&stack, &stranger);
    let requests = [
        (Method::GET, format!("/api/scenes/{id}")),
        (Method::GET, format!("/api/scenes/{id}/image")),
        (Method::DELETE, format!("/api/scenes/{id}")),
        (Method::GET, format!("/api/jobs/{id}")),
        (Method::GET, format!("/api/jobs/{id}/events")),
        (Method::POST, format!("/api/jobs/{id}/cancel")),
    ];
    for (method, path) in requests {
        let answer = browser.request(method.clone(), &path).send().await?;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{method} {path}");
    }
    let page: Page<Scene> = browser.get("/api/scenes").await?.json().await?;
    assert!(page.items.is_empty());

    for table in ["jobs", "scenes", "credit_ledger"] {
        let query = format!("user_id=eq.{}", owner.id);
        let seen = rows_seen_by(&stack, &stranger, table, &query).await?;
        assert!(seen.is_empty(), "{table}: {seen:?}");
    }
    assert!(!file_seen_by(&stack, &stranger, &file).await?.status().is_success());
    let again = Browser::of(&stack, &owner).get(&format!("/api/scenes/{id}")).await?;
    assert_eq!(again.status(), StatusCode::OK, "the owner still has it");
    Ok(())
}
