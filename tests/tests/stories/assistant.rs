//! The assistant: a stream that survives nodes and connections, written once and paid once.

use std::time::Duration;

use anyhow::{Context, Result};
use e2e::{
    answers::{Answers, TextNode, said, writes},
    client::Browser,
    stack::{Stack, eventually},
    supabase::{Person, rows, rows_seen_by, sign_up},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::api::assistant::AnswerEvent;

const PATH: &str = "/api/ai-assistant/generate";
const TEXT: &str = "One two three four five six seven eight nine ten.";

async fn ask(browser: &Browser, question: &str) -> Result<Answers> {
    let body = json!({ "message": question, "language": "en" });
    Answers::of(browser.request(Method::POST, PATH).json(&body).send().await?)
}

async fn listen(browser: &Browser, path: &str, after: u64) -> Result<Answers> {
    let request = browser.request(Method::GET, path).header("last-event-id", after.to_string());
    Answers::of(request.send().await?)
}

/// The person's only text, once it has ended.
async fn bill(stack: &Stack, person: &Person) -> Result<Value> {
    eventually("the text has ended", Duration::from_secs(40), async || {
        let query = format!("user_id=eq.{}&cached=eq.miss&status=neq.running", person.id);
        Ok(rows(stack, "text_runs", &query).await?.into_iter().next())
    })
    .await
}

#[tokio::test]
async fn an_answer_is_resumed_while_it_is_written_without_loss_or_repeat() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);
    let node = TextNode::join(&stack, "a-text-1", &writes(TEXT, 200, "stop")).await?;

    let mut answers = ask(&browser, "Count, please.").await?;
    assert_eq!(answers.header("x-chandelle-cache").as_deref(), Some("miss"));
    let path = answers.header("location").context("where to go on")?;
    let mut heard = Vec::new();
    for _ in 0..3 {
        heard.push(answers.next().await?.context("an event")?);
    }
    drop(answers);
    let last = heard.last().context("an event")?.0;
    heard.extend(listen(&browser, &path, last).await?.to_end().await?);
    let numbers: Vec<u64> = heard.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert_eq!(said(&heard), TEXT);
    assert!(matches!(heard.last(), Some((_, AnswerEvent::Done { .. }))), "{heard:?}");
    assert_eq!(node.seen().await?.0, 1);

    let bill = bill(&stack, &person).await?;
    assert_eq!((&bill["status"], &bill["credits"]), (&json!("completed"), &json!(1)));
    assert_eq!((&bill["prompt_tokens"], &bill["completion_tokens"]), (&json!(100), &json!(10)));
    let credits: Value = browser.get("/api/credits").await?.json().await?;
    assert_eq!(credits, json!({ "balance": 99, "reserved": 0 }));
    assert_eq!(rows_seen_by(&stack, &person, "text_runs", "select=id").await?.len(), 1);

    let end = browser.request(Method::GET, &path);
    let end = end.header("last-event-id", numbers.len().to_string()).send().await?;
    assert_eq!(end.status(), StatusCode::NO_CONTENT);
    let stranger = Browser::of(&stack, &sign_up(&stack).await?);
    assert_eq!(stranger.get(&path).await?.status(), StatusCode::NOT_FOUND);
    node.leave().await
}

#[tokio::test]
async fn a_node_killed_before_its_first_word_is_replaced_unnoticed() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);
    let mut first = TextNode::join(&stack, "a-text-1", &writes(TEXT, 5_000, "stop")).await?;
    let second = TextNode::join(&stack, "a-text-2", &writes(TEXT, 20, "stop")).await?;

    let asking = tokio::spawn(async move { ask(&browser, "Who answers?").await?.to_end().await });
    eventually("the first node is asked", Duration::from_secs(10), async || {
        Ok((first.seen().await?.0 == 1).then_some(()))
    })
    .await?;
    first.kill().await?;
    let events = asking.await??;
    assert_eq!(said(&events), TEXT);
    assert!(matches!(events.last(), Some((_, AnswerEvent::Done { .. }))), "{events:?}");
    assert_eq!(bill(&stack, &person).await?["switches"], 1);
    first.leave().await?;
    second.leave().await
}

#[tokio::test]
async fn a_node_killed_after_its_first_word_ends_the_stream_with_an_error() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);
    let mut node = TextNode::join(&stack, "a-text-1", &writes(TEXT, 400, "stop")).await?;

    let mut answers = ask(&browser, "Will you finish?").await?;
    answers.next().await?.context("a first word")?;
    node.kill().await?;
    let rest = answers.to_end().await?;
    let Some((_, AnswerEvent::Error { problem })) = rest.last() else {
        anyhow::bail!("no error at the end: {rest:?}");
    };
    assert_eq!(problem.status, 502);
    assert!(rest.iter().any(|(_, event)| matches!(event, AnswerEvent::Usage { .. })), "{rest:?}");
    let bill = bill(&stack, &person).await?;
    assert_eq!((&bill["status"], &bill["error"]), (&json!("failed"), &json!("broke_off")));
    assert_eq!(bill["credits"], 1, "the words that came are paid for");
    node.leave().await
}

#[tokio::test]
async fn an_answer_nobody_listens_to_is_stopped_on_its_node() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);
    let node =
        TextNode::join(&stack, "a-text-1", &writes(&"word ".repeat(600), 100, "stop")).await?;

    let mut answers = ask(&browser, "Talk for a minute.").await?;
    answers.next().await?.context("a first word")?;
    drop(answers);
    eventually("the node is hung up on", Duration::from_secs(40), async || {
        Ok((node.seen().await?.1 == 1).then_some(()))
    })
    .await?;
    let bill = bill(&stack, &person).await?;
    assert_eq!((&bill["status"], &bill["credits"]), (&json!("cancelled"), &json!(1)));
    node.leave().await
}

#[tokio::test]
async fn the_same_question_at_once_is_written_once_and_later_not_at_all() -> Result<()> {
    let stack = Stack::running()?;
    let person = sign_up(&stack).await?;
    let browser = Browser::of(&stack, &person);
    let node = TextNode::join(&stack, "a-text-1", &writes(TEXT, 100, "stop")).await?;

    let (first, second) = tokio::join!(ask(&browser, "Twice?"), ask(&browser, "Twice?"));
    let (first, second) = (first?, second?);
    let mut states = [&first, &second].map(|answers| answers.header("x-chandelle-cache"));
    states.sort();
    assert_eq!(states, [Some("miss".to_owned()), Some("shared".to_owned())]);
    let (first, second) = tokio::join!(first.to_end(), second.to_end());
    let first = first?;
    assert_eq!(first, second?);
    let kept = ask(&browser, "Twice?").await?;
    assert_eq!(kept.header("x-chandelle-cache").as_deref(), Some("hit"));
    assert_eq!(kept.to_end().await?, first);
    assert_eq!(node.seen().await?.0, 1);
    let credits: Value = browser.get("/api/credits").await?.json().await?;
    assert_eq!(credits["balance"], 99, "{credits}");
    node.leave().await
}
