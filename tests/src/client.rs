//! The edge as a browser sees it: one method per route that the stories use.

use anyhow::{Result, ensure};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use shared::api::jobs::Job;

use crate::{events::Events, stack::Stack, supabase::Person};

/// A browser with somebody signed in, or with any token at all.
#[derive(Clone)]
pub struct Browser {
    http: Client,
    edge_url: String,
    token: Option<String>,
}

impl Browser {
    /// Signed in as `person`.
    pub fn of(stack: &Stack, person: &Person) -> Self {
        Self::with_token(stack, Some(person.token.clone()))
    }

    /// With this token, whatever it is worth.
    pub fn with_token(stack: &Stack, token: Option<String>) -> Self {
        Self { http: Client::new(), edge_url: stack.edge_url.clone(), token }
    }

    /// Any request.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.edge_url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// `GET path`.
    pub async fn get(&self, path: &str) -> Result<Response> {
        Ok(self.request(Method::GET, path).send().await?)
    }

    /// `POST /api/generate/scene`.
    pub async fn create_scene(&self, body: &Value, headers: &[(&str, &str)]) -> Result<Response> {
        let mut request = self.request(Method::POST, "/api/generate/scene").json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(request.send().await?)
    }

    /// The same, when it must be accepted.
    pub async fn order_scene(&self, body: &Value) -> Result<Job> {
        let answer = self.create_scene(body, &[]).await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status == StatusCode::ACCEPTED, "not accepted: {status} {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// `GET /api/jobs/{id}`.
    pub async fn job(&self, id: impl ToString) -> Result<Job> {
        let answer = self.get(&format!("/api/jobs/{}", id.to_string())).await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// `GET /api/jobs/{id}/events`.
    pub async fn events(&self, id: impl ToString, last_event_id: Option<&str>) -> Result<Events> {
        let mut request =
            self.request(Method::GET, &format!("/api/jobs/{}/events", id.to_string()));
        if let Some(last) = last_event_id {
            request = request.header("last-event-id", last);
        }
        Ok(Events::new(request.send().await?.error_for_status()?))
    }

    /// `POST /api/jobs/{id}/cancel`.
    pub async fn cancel(&self, id: impl ToString) -> Result<Response> {
        let path = format!("/api/jobs/{}/cancel", id.to_string());
        Ok(self.request(Method::POST, &path).send().await?)
    }
}

/// A scene the embedded model understands.
pub fn scene() -> Value {
    json!({
        "world": "forest", "era": "medieval era", "class": "a red star",
        "pose": "in the centre", "decor": "mountains"
    })
}
