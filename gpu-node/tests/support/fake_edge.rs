//! The edge's node routes on a real port: it notes every call and answers as the test says.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};

/// One call, as the edge saw it.
#[derive(Debug)]
pub struct Call {
    pub method: Method,
    pub path: String,
    pub authorization: String,
    pub body: Value,
}

#[derive(Clone)]
struct Shared {
    calls: mpsc::UnboundedSender<Call>,
    heartbeats_to_forget: Arc<AtomicUsize>,
    registrations_to_refuse: Arc<AtomicUsize>,
}

pub struct FakeEdge {
    pub url: String,
    calls: mpsc::UnboundedReceiver<Call>,
    shared: Shared,
    task: JoinHandle<()>,
}

impl Drop for FakeEdge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeEdge {
    pub async fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub fn on(listener: TcpListener) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, calls) = mpsc::unbounded_channel();
        let shared = Shared {
            calls: sender,
            heartbeats_to_forget: Arc::default(),
            registrations_to_refuse: Arc::default(),
        };
        let app = Router::new().fallback(answer).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, calls, shared, task }
    }

    /// The next heartbeat is answered 404, as by an edge that lost its memory.
    pub fn forget_the_node(&self) {
        self.shared.heartbeats_to_forget.fetch_add(1, Ordering::SeqCst);
    }

    pub fn refuse_registrations(&self, count: usize) {
        self.shared.registrations_to_refuse.fetch_add(count, Ordering::SeqCst);
    }

    pub async fn next_call(&mut self) -> Call {
        let minute = std::time::Duration::from_secs(60);
        let call = tokio::time::timeout(minute, self.calls.recv()).await;
        call.expect("the node did not call within a minute").unwrap()
    }

    /// The next call to that path; those before it are passed over.
    pub async fn next_call_to(&mut self, path: &str) -> Call {
        loop {
            let call = self.next_call().await;
            if call.path == path {
                return call;
            }
        }
    }
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let path = parts.uri.path().to_owned();
    let authorization =
        parts.headers.get(header::AUTHORIZATION).map_or("", |value| value.to_str().unwrap());
    let call = Call {
        method: parts.method,
        path: path.clone(),
        authorization: authorization.to_owned(),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    };
    let response = match path.as_str() {
        "/api/nodes/register" if take_one(&shared.registrations_to_refuse) => {
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        "/api/nodes/register" => Json(json!({ "heartbeat_interval_ms": 10 })).into_response(),
        path if path.ends_with("/heartbeat") && take_one(&shared.heartbeats_to_forget) => {
            StatusCode::NOT_FOUND.into_response()
        }
        _ => StatusCode::NO_CONTENT.into_response(),
    };
    // The test may be over already.
    let _ = shared.calls.send(call);
    response
}

fn take_one(count: &AtomicUsize) -> bool {
    count.try_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)).is_ok()
}
