//! Callers that hold a connection without ever finishing a request.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

mod support;

use gpu_node::app;
use support::TestNode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// On a clock that jumps while everybody waits.
#[tokio::test(start_paused = true)]
async fn a_caller_that_never_ends_its_headers_is_cut_off() {
    let node = TestNode::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(app::serve(listener, node.state.clone(), std::future::pending()));

    let mut caller = TcpStream::connect(address).await.unwrap();
    caller.write_all(b"GET /health/live HTTP/1.1\r\nhost: node\r\nx-slow: ").await.unwrap();
    let mut answer = Vec::new();
    caller.read_to_end(&mut answer).await.unwrap();
    assert!(!String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 200"), "{answer:?}");

    let mut caller = TcpStream::connect(address).await.unwrap();
    let request = b"GET /health/live HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n";
    caller.write_all(request).await.unwrap();
    let mut answer = String::new();
    caller.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "others are served: {answer}");
}
