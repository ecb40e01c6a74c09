//! A request under construction, and what the app answered to it.

use axum::{
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use serde_json::Value;
use shared::errors::{ErrorBody, PROBLEM_JSON};

use super::app::TestApp;

/// A request that is not sent yet.
pub struct Call<'a> {
    app: &'a TestApp,
    request: axum::http::request::Builder,
    body: Body,
}

impl<'a> Call<'a> {
    pub fn new(app: &'a TestApp, method: Method, path: &str) -> Self {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "edge.example")
            .header("cf-connecting-ip", "203.0.113.77");
        Self { app, request, body: Body::empty() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        if name == "cf-connecting-ip" {
            self.request.headers_mut().unwrap().remove(name);
        }
        self.request = self.request.header(name, value);
        self
    }

    pub fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it, and lets the work after the answer end.
    pub fn send(self) -> Answer {
        let app = self.app;
        app.world.clock.run(self.send_async())
    }

    /// The same, to be run beside others.
    pub async fn send_async(self) -> Answer {
        let request = self.request.body(self.body).unwrap();
        let response = edge::app::serve(self.app.state.clone(), request).await;
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
        self.app.background.finish().await;
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body, after checking the status.
    #[track_caller]
    pub fn json(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The error, after checking that it is one in every respect.
    #[track_caller]
    pub fn problem(&self, status: u16) -> ErrorBody {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some(PROBLEM_JSON));
        let problem: ErrorBody = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, status);
        assert_eq!(problem.r#type, format!("/problems/{}", problem.code.as_str()));
        assert_eq!(Some(problem.request_id.as_str()), self.header("x-request-id"));
        assert!(!problem.instance.is_empty());
        problem
    }

    /// Pointer and rule of each wrong field, after checking that these are the error.
    #[track_caller]
    pub fn field_errors(&self) -> Vec<(String, String)> {
        let problem = self.problem(422);
        problem.errors.into_iter().map(|error| (error.pointer, error.code)).collect()
    }
}
