//! A node with fake engines, in process: one method per thing a caller does.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

pub mod fake_edge;
pub mod fake_engine;
pub mod fake_text;
pub mod sse;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, Request, StatusCode, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use gpu_node::{
    access::Access,
    app,
    catalog::{Catalog, LaneCommons, ServedEmbeddings, ServedLane, ServedModel, ServedText},
    jobs::{Clock, JobBook, Jobs, Retention},
    registry::Manifest,
    scheduler::{MemoryBudget, Metrics},
    state::AppState,
    webhooks::Webhooks,
};
use serde_json::{Value, json};
use tower::ServiceExt;

use self::{
    fake_engine::{Script, load_fake},
    fake_text::{
        CONTEXT_TOKENS, FakeEmbeddingRunner, FakeTextRunner, TextScript, fake_language,
        fake_vocabulary, lost_language,
    },
    sse::Events,
};

pub const TOKEN: &str = "the-current-token";
pub const OLD_TOKEN: &str = "the-old-token";

/// Moves only when told to.
pub struct FakeClock(Mutex<Instant>);

impl FakeClock {
    pub fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Instant {
        *self.0.lock().unwrap()
    }
}

/// What differs between the nodes of the tests.
pub struct Settings {
    pub models: &'static [&'static str],
    pub queue_capacity: usize,
    /// Each fake model takes 100.
    pub memory_bytes: Option<u64>,
    pub retention: Retention,
    pub preload: bool,
    /// Adds the text models `talker` and `mute` (its vocabulary is gone) and the embedding model `vectors`.
    pub with_texts: bool,
    pub webhooks: Option<Arc<Webhooks>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            models: &["tiny"],
            queue_capacity: 16,
            memory_bytes: None,
            retention: Retention {
                max_age: Duration::from_secs(600),
                max_count: 1000,
                max_bytes: 1 << 20,
            },
            preload: false,
            with_texts: false,
            webhooks: None,
        }
    }
}

pub struct TestNode {
    pub state: AppState,
    pub script: Arc<Script>,
    pub texts: Arc<TextScript>,
    pub clock: Arc<FakeClock>,
    router: Router,
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.script.let_go();
    }
}

impl TestNode {
    pub fn start() -> Self {
        Self::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Self {
        let script = Arc::new(Script::default());
        if settings.preload {
            script.hold_loads();
        }
        let metrics = Arc::new(Metrics::default());
        let commons = LaneCommons {
            capacity: settings.queue_capacity,
            budget: Arc::new(MemoryBudget::new(settings.memory_bytes)),
            metrics: metrics.clone(),
        };
        let start = |name: &&str| {
            ServedModel::start(manifest(name), load_fake(name, &script), &commons).unwrap()
        };
        let mut models: Vec<ServedModel> = settings.models.iter().map(start).collect();
        let texts = Arc::new(TextScript::default());
        if settings.with_texts {
            models.extend(text_models(&texts));
        }
        if settings.preload {
            models.iter().for_each(|model| model.control().preload());
        }
        let clock = Arc::new(FakeClock(Mutex::new(Instant::now())));
        let book = JobBook::new(settings.retention, clock.clone(), metrics.clone());
        let catalog = Catalog::new(models, "tiny".to_owned(), "cpu");
        let jobs = Arc::new(Jobs::new(catalog, Arc::new(book)));
        let access = Access::Tokens([TOKEN, OLD_TOKEN].map(str::to_owned).into());
        let webhooks = settings.webhooks;
        let state = AppState { webhooks, ..AppState::new(jobs, metrics, access) };
        Self { router: app::router(state.clone()), state, script, texts, clock }
    }

    /// A node that serves text and embedding models too.
    pub fn with_texts() -> Self {
        Self::with(Settings { with_texts: true, ..Settings::default() })
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(request("POST", path, Some(body))).await
    }

    /// The data of each event of a stream, up to its end.
    pub async fn stream(&self, path: &str, body: &Value) -> Vec<String> {
        let answer = self.post(path, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        assert_eq!(answer.header("content-type"), "text/event-stream");
        let events = answer.text().split("\n\n").filter_map(|event| event.strip_prefix("data: "));
        events.map(str::to_owned).collect()
    }

    /// The answer as it begins, for whoever hangs up before its end.
    pub async fn open(&self, path: &str, body: &Value) -> Body {
        self.begin(path, body).await.1
    }

    /// The same with its headers.
    pub async fn begin(&self, path: &str, body: &Value) -> (HeaderMap, Body) {
        let response = self.router.clone().oneshot(request("POST", path, Some(body))).await;
        let (head, body) = response.unwrap().into_parts();
        (head.headers, body)
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        Answer { status, headers, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(request("GET", path, None)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(request("DELETE", path, None)).await
    }

    pub async fn create_job(&self, order: &Value) -> Answer {
        self.send(request("POST", "/v1/jobs", Some(order))).await
    }

    /// Orders a job that must be taken in; gives its path.
    pub async fn order(&self, number: u8, prompt: &str) -> String {
        let answer = self.create_job(&order(number, prompt)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        job_path(number)
    }

    pub async fn status_of(&self, job: &str) -> String {
        self.get(job).await.json()["status"].as_str().unwrap().to_owned()
    }

    /// The job's events, as they come.
    pub async fn follow(&self, job: &str, last_seen: Option<u64>) -> Events {
        let mut request = request("GET", &format!("{job}/events"), None);
        if let Some(number) = last_seen {
            request.headers_mut().insert("last-event-id", number.into());
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Events::new(response.into_body())
    }

    /// Waits for the job's end; gives the event that ended it.
    pub async fn end_of(&self, job: &str) -> Value {
        self.follow(job, None).await.rest().await.pop().unwrap().data
    }

    /// Orders a job and waits until the engine has begun with it.
    pub async fn run(&self, number: u8, prompt: &str) -> String {
        let job = self.order(number, prompt).await;
        self.follow(&job, None).await.until("started").await;
        job
    }
}

fn text_models(script: &Arc<TextScript>) -> Vec<ServedModel> {
    let text = |name, language| {
        let manifest = manifest_of(name, "text", "");
        let lane = ServedLane::Text(ServedText {
            runner: Box::new(FakeTextRunner(script.clone())),
            defaults: manifest.defaults.text().unwrap().clone(),
            context_tokens: Some(CONTEXT_TOKENS),
            language,
        });
        ServedModel { manifest, engine_version: "e1", lane }
    };
    let vectors = ServedModel {
        manifest: manifest_of("vectors", "embedding", ""),
        engine_version: "e1",
        lane: ServedLane::Embeddings(ServedEmbeddings {
            runner: Box::new(FakeEmbeddingRunner(script.clone())),
            context_tokens: Some(CONTEXT_TOKENS),
            vocabulary: fake_vocabulary(),
        }),
    };
    vec![text("talker", fake_language()), text("mute", lost_language()), vectors]
}

fn manifest(name: &str) -> Manifest {
    // `words` starts from words alone, the others from up to two pictures.
    let input_images = if name == "words" { 0 } else { 2 };
    let defaults = format!(
        "width = 128\nheight = 128\nsteps = 3\nguidance = 3.0\nscheduler = \"ddim\"\ninput_images = {input_images}"
    );
    manifest_of(name, "image", &defaults)
}

fn manifest_of(name: &str, modality: &str, defaults: &str) -> Manifest {
    toml::from_str(&format!(
        r#"
        name = "{name}"
        modality = "{modality}"
        architecture = "fake"
        revision = "r1"
        licence = "Apache-2.0"
        memory_bytes = 100
        source = {{ kind = "folder" }}
        files = []
        [defaults]
        {defaults}
        "#
    ))
    .unwrap()
}

pub fn job_id(number: u8) -> String {
    format!("00000000-0000-4000-8000-0000000000{number:02}")
}

pub fn job_path(number: u8) -> String {
    format!("/v1/jobs/{}", job_id(number))
}

pub fn order(number: u8, prompt: &str) -> Value {
    json!({ "id": job_id(number), "model": "tiny", "image": { "prompt": prompt, "seed": 7 } })
}

pub fn order_of(number: u8, model: &str) -> Value {
    json!({ "id": job_id(number), "model": model, "image": { "prompt": "a fish", "seed": 7 } })
}

/// A PNG file of one colour, in base64.
pub fn png(width: u32, height: u32) -> String {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::new(width, height);
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    STANDARD.encode(bytes.into_inner())
}

pub fn request(method: &str, path: &str, body: Option<&Value>) -> Request<Body> {
    let builder = Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
    match body {
        Some(body) => builder
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .unwrap(),
        None => builder.body(Body::empty()).unwrap(),
    }
}

/// For what must go over a real socket.
pub fn http_client() -> reqwest::Client {
    // An error means that another test of this process was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// A whole answer.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that it is the error it should be in OpenAI's shape, and gives it.
    pub fn openai_error(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/json");
        assert_ne!(self.header("openai-processing-ms"), "");
        assert_ne!(self.header("x-request-id"), "");
        let error = self.json()["error"].clone();
        let names: Vec<&String> = error.as_object().unwrap().keys().collect();
        assert_eq!(names, ["message", "type", "param", "code"]);
        assert_eq!(error["code"], code, "{}", self.text());
        error
    }

    /// Checks that it is an error as RunPod's routes have it, and gives its text.
    pub fn runpod_error(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/json");
        let body = self.json();
        assert_eq!(body.as_object().unwrap().len(), 1);
        assert!(body["error"].is_string(), "{body}");
        body["error"].clone()
    }

    /// Checks that it is the problem it should be, and gives its body.
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body = self.json();
        assert_eq!(body["status"], status);
        assert_eq!(body["code"], code);
        assert_eq!(body["type"], format!("/problems/{code}"));
        assert_eq!(body["request_id"], self.header("x-request-id"));
        assert_ne!(body["request_id"], "");
        body
    }
}
