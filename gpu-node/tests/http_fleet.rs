//! How a node joins an edge, stays known to it, and says goodbye, against a small edge on a real port.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

mod support;

use std::time::Duration;

use axum::http::Method;
use gpu_node::fleet::{EdgeClient, Membership, Pace};
use serde_json::json;
use shared::api::fleet::RegisterNode;
use support::{TestNode, fake_edge::FakeEdge};
use tokio::net::TcpListener;

const QUICK: Pace = Pace { first: Duration::from_millis(1), max: Duration::from_millis(10) };
const HEARTBEAT: &str = "/api/nodes/node-1/heartbeat";

fn join(node: &TestNode, edge_url: &str) -> Membership {
    let who = RegisterNode {
        node_id: "node-1".to_owned(),
        url: "http://127.0.0.1:8000".to_owned(),
        models: vec!["tiny".to_owned()],
        capacity: 17,
        version: "0.1.0".to_owned(),
    };
    let token = "the-join-token".parse().unwrap();
    let client = EdgeClient::new(edge_url.to_owned(), token, who).unwrap();
    Membership::start(client, node.state.jobs.clone(), QUICK)
}

#[tokio::test]
async fn a_node_registers_with_its_join_token_and_tells_its_load() {
    let (node, mut edge) = (TestNode::start(), FakeEdge::start().await);
    node.script.hold();
    node.run(1, "a fish").await;
    node.order(2, "a fish").await;
    let _membership = join(&node, &edge.url);

    let call = edge.next_call().await;
    assert_eq!((call.method, call.path.as_str()), (Method::POST, "/api/nodes/register"));
    assert_eq!(call.authorization, "Bearer the-join-token");
    let expected = json!({
        "node_id": "node-1", "url": "http://127.0.0.1:8000", "models": ["tiny"],
        "capacity": 17, "version": "0.1.0"
    });
    assert_eq!(call.body, expected);
    let call = edge.next_call().await;
    assert_eq!((call.method, call.path.as_str()), (Method::POST, HEARTBEAT));
    assert_eq!(call.authorization, "Bearer the-join-token");
    assert_eq!(
        call.body,
        json!({ "running": 1, "queued": 1, "is_draining": false, "is_ready": true })
    );
}

#[tokio::test]
async fn a_forgotten_node_registers_again() {
    let (node, mut edge) = (TestNode::start(), FakeEdge::start().await);
    let _membership = join(&node, &edge.url);
    edge.next_call_to(HEARTBEAT).await;
    edge.forget_the_node();
    edge.next_call_to("/api/nodes/register").await;
    edge.next_call_to(HEARTBEAT).await;
}

#[tokio::test]
async fn a_node_keeps_asking_an_edge_that_refuses_it() {
    let (node, mut edge) = (TestNode::start(), FakeEdge::start().await);
    edge.refuse_registrations(3);
    let _membership = join(&node, &edge.url);
    for _ in 0..4 {
        assert_eq!(edge.next_call().await.path, "/api/nodes/register");
    }
    assert_eq!(edge.next_call().await.path, HEARTBEAT);
}

#[tokio::test]
async fn a_node_outlives_an_edge_that_goes_away_and_comes_back() {
    let node = TestNode::start();
    let mut edge = FakeEdge::start().await;
    let address = edge.url.trim_start_matches("http://").to_owned();
    let _membership = join(&node, &edge.url);
    edge.next_call_to(HEARTBEAT).await;
    drop(edge);
    // The port is free again once the old edge's task has ended, unless somebody else on this machine took it.
    let again = async {
        loop {
            match TcpListener::bind(&address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    };
    let listener = tokio::time::timeout(Duration::from_secs(60), again).await;
    let listener = listener.expect("somebody else listens at the edge's address");
    let mut edge = FakeEdge::on(listener);
    edge.forget_the_node();
    edge.next_call_to("/api/nodes/register").await;
    assert_eq!(node.get("/health/ready").await.status, 200);
}

#[tokio::test]
async fn a_node_that_drains_says_so_and_then_goodbye() {
    let (node, mut edge) = (TestNode::start(), FakeEdge::start().await);
    let membership = join(&node, &edge.url);
    edge.next_call_to(HEARTBEAT).await;
    node.state.jobs.close();
    membership.announce();
    while edge.next_call_to(HEARTBEAT).await.body["is_draining"] == false {}
    membership.leave().await;
    let goodbye = edge.next_call_to("/api/nodes/node-1").await;
    assert_eq!(goodbye.method, Method::DELETE);
    assert_eq!(goodbye.authorization, "Bearer the-join-token");
}

#[tokio::test]
async fn a_node_that_never_met_its_edge_can_still_leave() {
    let node = TestNode::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    join(&node, &url).leave().await;
}
