//! Somebody elsewhere who takes webhooks, or does not: a real socket on this machine.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use gpu_node::webhooks::{Pauses, WebhookSettings, Webhooks};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
};

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

pub(crate) struct Receiver {
    pub(crate) url: String,
    calls: watch::Sender<Vec<Call>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
    /// Answers that may be given before the others wait.
    gate: Arc<Semaphore>,
}

impl Receiver {
    /// Answers with those statuses, then with 200.
    pub(crate) async fn start(answers: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let calls = watch::Sender::new(Vec::new());
        let answers = Arc::new(Mutex::new(answers.iter().copied().collect::<VecDeque<u16>>()));
        let (heard, next) = (calls.clone(), answers.clone());
        let gate = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let opened = gate.clone();
        let take = move |headers: HeaderMap, body: Bytes| async move {
            heard.send_modify(|calls| calls.push(Call { headers, body }));
            opened.acquire().await.unwrap().forget();
            answer(next.lock().unwrap().pop_front().unwrap_or(200))
        };
        let router = Router::new().route("/hook", post(take.clone())).route("/other", post(take));
        tokio::spawn(async move { axum_serve(listener, router).await });
        Self { url, calls, answers, gate }
    }

    /// Takes calls from now on without an answer.
    pub(crate) fn hold(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn let_one_go(&self) {
        self.gate.add_permits(1);
    }

    pub(crate) fn let_go(&self) {
        self.gate.add_permits(1000);
    }

    /// Waits for that many calls; more of them fail the test.
    pub(crate) async fn calls(&self, count: usize) -> Vec<Call> {
        let mut heard = self.calls.subscribe();
        let enough = heard.wait_for(|calls| calls.len() >= count);
        let calls = tokio::time::timeout(Duration::from_secs(60), enough).await;
        let calls = calls.expect("too few calls came").unwrap().clone();
        assert_eq!(calls.len(), count);
        calls
    }

    /// Whether every answer that was prepared has been given.
    pub(crate) fn is_done(&self) -> bool {
        self.answers.lock().unwrap().is_empty()
    }
}

fn answer(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    match status.is_redirection() {
        true => (status, [(header::LOCATION, "/other")]).into_response(),
        false => status.into_response(),
    }
}

async fn axum_serve(listener: TcpListener, router: Router) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        let stream = hyper_util::rt::TokioIo::new(stream);
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(stream, service));
    }
}

/// A node's webhooks that may call this machine and do not wait long; `logs` is the pause between those of progress.
pub(crate) fn webhooks(logs: Duration) -> Option<Arc<Webhooks>> {
    let moments = |count| vec![Duration::from_millis(1); count];
    let settings = WebhookSettings {
        secret: SECRET.parse().unwrap(),
        may_call_local: true,
        pauses: Pauses { runpod: moments(2), completed: moments(3), logs },
    };
    Some(Arc::new(Webhooks::new(settings).unwrap()))
}
