//! Callers that hold a connection without ever finishing a request.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

mod support;

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::Request,
};
use futures_util::{StreamExt, future::join_all, stream};
use gpu_node::app;
use support::{TestNode, order, request};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

const MEBIBYTE: usize = 1 << 20;

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

    // What goes over a socket takes real time, in which a clock that jumps cuts everybody off.
    tokio::time::resume();
    let mut caller = TcpStream::connect(address).await.unwrap();
    let request = b"GET /health/live HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n";
    caller.write_all(request).await.unwrap();
    let mut answer = String::new();
    caller.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "others are served: {answer}");
}

/// An order whose body comes in these pieces, each after a pause; then nothing more does, and it does not end.
fn slow(pieces: usize, piece_bytes: usize, pause: Duration) -> Request<Body> {
    let piece = move |_| async move {
        sleep(pause).await;
        Ok::<Bytes, Infallible>(vec![b' '; piece_bytes].into())
    };
    let pieces = stream::iter(0..pieces).then(piece).chain(stream::pending());
    let mut request = request("POST", "/v1/jobs", Some(&order(1, "a fish")));
    *request.body_mut() = Body::from_stream(pieces);
    request
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_is_not_waited_for() {
    let (node, began) = (TestNode::start(), Instant::now());
    node.send(slow(1, 1, Duration::ZERO)).await.problem(408, "invalid_request");
    assert_eq!(began.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_slowly_and_steadily_is_read() {
    let (node, began) = (TestNode::start(), Instant::now());
    // 128 KiB a second, up to the first byte that is too many.
    let steady = slow(200, MEBIBYTE / 4, Duration::from_secs(2));
    node.send(steady).await.problem(413, "payload_too_large");
    assert_eq!(began.elapsed().as_secs(), 2 * (32 * 4 + 1));
    node.send(slow(200, 1024, Duration::from_secs(2))).await.problem(408, "invalid_request");
}

#[tokio::test(start_paused = true)]
async fn large_bodies_wait_for_each_other_and_small_ones_for_nobody() {
    let node = TestNode::start();
    let large = || slow(1, 2 * MEBIBYTE, Duration::ZERO);
    let many = join_all((0..16).map(|_| node.send(large())));
    let others = async {
        sleep(Duration::from_secs(1)).await;
        let began = Instant::now();
        node.order(1, "a fish").await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        let refused = node.send(large()).await;
        refused.problem(503, "unavailable");
        assert_eq!(refused.header("retry-after"), "5");
        assert_eq!(began.elapsed().as_secs(), 30);
    };
    let (answers, ()) = tokio::join!(many, others);
    for answer in answers {
        answer.problem(408, "invalid_request");
    }
    node.send(large()).await.problem(408, "invalid_request");
}
