//! Parts of a request, parsed and checked before a handler starts.

use std::convert::Infallible;

use axum::{
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{HeaderMap, header, request::Parts},
};
use serde_json::Value;
use shared::{
    ids::JobId,
    limits::JSON_BODY_MAX_BYTES,
    validate::{FromBody, parse_body},
};

use super::body::{WholeBody, read_body};
use crate::{
    blocking::blocking,
    dialects::ids::parse_id,
    error::{Error, Result},
};

/// A JSON body that follows every rule of its type; a body that breaks some is told all of them.
pub struct ValidJson<T>(pub T);

impl<S, T> FromRequest<S> for ValidJson<T>
where
    S: Send + Sync,
    T: FromBody + Send + 'static,
{
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let read = |bytes: &[u8]| parse_body(&parse_json(bytes)?).map_err(Error::InvalidFields);
        off_thread(json_body(request).await?, read).await.map(Self)
    }
}

/// A JSON body, whatever is in it.
pub struct JsonBody(pub Value);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        off_thread(json_body(request).await?, parse_json).await.map(Self)
    }
}

async fn json_body(request: Request) -> Result<WholeBody> {
    if !has_content_type(request.headers(), "application/json") {
        return Err(Error::UnsupportedMediaType);
    }
    read_body(request).await
}

/// Reads a large body where it keeps no other request waiting, a small one at once.
async fn off_thread<T: Send + 'static>(
    body: WholeBody,
    read: impl FnOnce(&[u8]) -> Result<T> + Send + 'static,
) -> Result<T> {
    if body.bytes.len() <= JSON_BODY_MAX_BYTES {
        read(&body.bytes)
    } else {
        blocking(move || read(&body.bytes)).await?
    }
}

/// Any JSON.
pub fn parse_json(bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|error| Error::MalformedJson(error.to_string()))
}

/// Whether the body is said to be of that type, parameters left aside.
pub fn has_content_type(headers: &HeaderMap, wanted: &str) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or("").trim();
    essence.eq_ignore_ascii_case(wanted)
}

/// What stands behind the question mark; of a name that stands there twice, the first.
pub struct Asked(Vec<(String, String)>);

impl Asked {
    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        _state: &S,
    ) -> std::result::Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        Ok(Self(form_urlencoded::parse(query).into_owned().collect()))
    }
}

/// The job in a path. What is no id names no job, so it is 404 like any other unknown one.
pub struct JobPath(pub JobId);

impl<S: Send + Sync> FromRequestParts<S> for JobPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let path = Path::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let segments = path.map_err(|_| Error::NotFound("job"))?.0;
        job_id(&segments).map(Self).ok_or(Error::NotFound("job"))
    }
}

/// One result of a job in a path.
pub struct ArtifactPath(pub JobId, pub u32);

impl<S: Send + Sync> FromRequestParts<S> for ArtifactPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let path = Path::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let segments = path.map_err(|_| Error::NotFound("job"))?.0;
        let id = job_id(&segments).ok_or(Error::NotFound("job"))?;
        let index = segment(&segments, "index").ok_or(Error::NotFound("artifact"))?;
        Ok(Self(id, index))
    }
}

/// In the node's own spelling or another dialect's.
fn job_id(segments: &[(String, String)]) -> Option<JobId> {
    parse_id(&segments.iter().find(|(key, _)| key == "id")?.1)
}

fn segment<T: std::str::FromStr>(segments: &[(String, String)], name: &str) -> Option<T> {
    segments.iter().find(|(key, _)| key == name)?.1.parse().ok()
}

/// The number of the last event a follower saw, from `Last-Event-ID`; one we never gave counts as none.
pub struct LastEventId(pub Option<u64>);

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        _state: &S,
    ) -> std::result::Result<Self, Infallible> {
        let header = parts.headers.get("last-event-id").and_then(|value| value.to_str().ok());
        Ok(Self(header.and_then(|value| value.trim().parse().ok())))
    }
}
