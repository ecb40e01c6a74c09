//! How a node leaves: over a real socket with fake engines, until the door is closed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

mod support;

use std::{future::Future, time::Duration};

use gpu_node::lifetime::{Patience, serve_until};
use serde_json::json;
use support::{TestNode, job_path, order};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// A node that serves on a port of its own; what is sent to `stop` is its SIGTERM.
struct Served {
    node: TestNode,
    url: String,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<std::io::Result<()>>,
}

async fn serve(patience: Patience) -> Served {
    let node = TestNode::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel();
    let state = node.state.clone();
    let ended = tokio::spawn(async move {
        serve_until(listener, state, None, patience, async { stopped.await.unwrap() }).await
    });
    Served { node, url, stop, ended }
}

const PATIENT: Patience =
    Patience { drain: Duration::from_secs(60), linger: Duration::from_secs(60) };

/// Fails instead of hanging.
async fn within_a_minute<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it took over a minute")
}

#[tokio::test]
async fn a_drain_ends_what_runs_and_hands_back_what_waits() {
    let Served { node, url, stop, ended } = serve(PATIENT).await;
    node.script.hold();
    let running = node.run(1, "a fish").await;
    let waiting = node.order(2, "a bird").await;
    stop.send(()).unwrap();

    let end = within_a_minute(node.end_of(&waiting)).await;
    let expected = json!({
        "event": "failed", "code": "draining", "detail": "the node is shutting down",
        "is_retryable": true
    });
    assert_eq!(end, expected);
    let refused = node.create_job(&order(3, "a cat")).await;
    refused.problem(503, "unavailable");
    assert_eq!(refused.header("retry-after"), "10");
    node.create_job(&order(2, "a bird")).await.problem(503, "unavailable");
    node.get("/health/ready").await.problem(503, "unavailable");
    assert_eq!(node.get("/health/live").await.status, 200);
    assert_eq!(node.create_job(&order(1, "a fish")).await.status, 200, "it still runs");

    node.script.let_go();
    assert_eq!(within_a_minute(node.end_of(&running)).await["event"], "completed");
    assert!(!ended.is_finished(), "the picture has not been fetched");
    let picture = support::http_client()
        .get(format!("{url}{running}/artifacts/0"))
        .bearer_auth(support::TOKEN)
        .send();
    assert_eq!(picture.await.unwrap().text().await.unwrap(), "a fish #7");
    within_a_minute(ended).await.unwrap().unwrap();
    let late = support::http_client().get(format!("{url}/health/live")).send().await;
    assert!(late.is_err(), "the door is closed");
}

#[tokio::test]
async fn a_drain_that_lasts_too_long_stops_what_runs() {
    let patience = Patience { drain: Duration::ZERO, linger: Duration::from_secs(60) };
    let Served { node, stop, ended, .. } = serve(patience).await;
    node.script.hold();
    let running = node.run(1, "go on for ever").await;
    let mut events = node.follow(&running, Some(2)).await;
    stop.send(()).unwrap();
    // The engine hears of it at its next step, so it is given steps until it has.
    let end = within_a_minute(async {
        loop {
            node.script.allow_steps(1);
            let event = events.next().await.unwrap();
            if event.name != "progress" {
                return event;
            }
        }
    })
    .await;
    assert_eq!((&end.data["code"], &end.data["is_retryable"]), (&json!("draining"), &json!(true)));
    within_a_minute(ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_follower_of_a_job_that_runs_hears_its_end_before_the_door_closes() {
    let Served { node, url, stop, ended } = serve(PATIENT).await;
    node.script.hold();
    let running = node.run(1, "a fish").await;
    let answer = support::http_client()
        .get(format!("{url}{running}/events"))
        .bearer_auth(support::TOKEN)
        .send()
        .await
        .unwrap();
    stop.send(()).unwrap();
    node.script.let_go();
    let text = within_a_minute(answer.text()).await.unwrap();
    assert!(text.contains("event: completed"), "{text}");
    node.delete(&job_path(1)).await;
    within_a_minute(ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_node_leaves_at_once() {
    let Served { stop, ended, .. } = serve(PATIENT).await;
    stop.send(()).unwrap();
    within_a_minute(ended).await.unwrap().unwrap();
}
