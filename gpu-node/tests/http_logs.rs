//! What the node logs: one line per request with its id, and never a token or a prompt.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use axum::http::header;
use serde_json::Value;
use support::{TOKEN, TestNode, request};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_request_is_one_line_with_its_id_and_holds_no_secret() {
    let log = Log::default();
    let writer = log.clone();
    // For the whole process, since the lanes log from threads of their own.
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .init();
    let node = TestNode::start();
    for (number, prompt) in [(1, "my secret garden"), (2, "fail"), (3, "panic")] {
        let job = node.order(number, prompt).await;
        node.end_of(&job).await;
    }
    let mut wrong = request("GET", "/v1/models?token=in-the-query", None);
    wrong.headers_mut().insert(header::AUTHORIZATION, "Bearer a-stranger".parse().unwrap());
    wrong.headers_mut().insert("x-request-id", "from-the-edge".parse().unwrap());
    node.send(wrong).await;
    let file = "/v1/files/pele75gscjclzh7dhcpbtgs4cu/key-in-the-path";
    for path in [format!("{file}/0.png"), format!("{file}/0/0.png"), format!("/{file}/0.png")] {
        let answer = node.get(&path).await;
        assert_eq!(answer.json()["instance"], "/v1/files/…");
    }

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for secret in ["my secret garden", TOKEN, "a-stranger", "in-the-query", "key-in-the-path"] {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let refused: Vec<&Value> =
        lines.iter().filter(|line| line["request_id"] == "from-the-edge").collect();
    assert_eq!(refused.len(), 1, "{text}");
    assert_eq!((&refused[0]["method"], &refused[0]["path"]), (&"GET".into(), &"/v1/models".into()));
    assert_eq!(refused[0]["status"], 401);
    let requests = lines.iter().filter(|line| line["message"] == "request").count();
    assert_eq!(requests, 10, "three orders, three followers, one stranger, three files: {text}");
}
