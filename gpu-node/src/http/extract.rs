//! Parts of a request, parsed and checked before a handler starts.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::IntoResponse,
};
use serde_json::Value;
use shared::{
    ids::JobId,
    limits::JSON_BODY_MAX_BYTES,
    validate::{FromBody, parse_body},
};

use crate::error::Error;

/// A JSON body that follows every rule of its type; a body that breaks some is told all of them.
pub struct ValidJson<T>(pub T);

impl<S, T> FromRequest<S> for ValidJson<T>
where
    S: Send + Sync,
    T: FromBody,
{
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let JsonBody(body) = JsonBody::from_request(request, state).await?;
        parse_body(&body).map(Self).map_err(Error::InvalidFields)
    }
}

/// A JSON body, whatever is in it.
pub struct JsonBody(pub Value);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        if !is_json(request.headers()) {
            return Err(Error::UnsupportedMediaType);
        }
        let bytes =
            Bytes::from_request(request, state).await.map_err(|rejection| {
                match rejection.into_response().status() {
                    StatusCode::PAYLOAD_TOO_LARGE => {
                        Error::BodyTooLarge { max_bytes: JSON_BODY_MAX_BYTES }
                    }
                    _ => Error::BodyCutShort,
                }
            })?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Error::MalformedJson(error.to_string()))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// The job in a path. What is no UUID names no job, so it is 404 like any other unknown one.
pub struct JobPath(pub JobId);

impl<S: Send + Sync> FromRequestParts<S> for JobPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = Path::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let segments = path.map_err(|_| Error::NotFound("job"))?.0;
        segment(&segments, "id").map(Self).ok_or(Error::NotFound("job"))
    }
}

/// One result of a job in a path.
pub struct ArtifactPath(pub JobId, pub u32);

impl<S: Send + Sync> FromRequestParts<S> for ArtifactPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = Path::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let segments = path.map_err(|_| Error::NotFound("job"))?.0;
        let id = segment(&segments, "id").ok_or(Error::NotFound("job"))?;
        let index = segment(&segments, "index").ok_or(Error::NotFound("artifact"))?;
        Ok(Self(id, index))
    }
}

fn segment<T: std::str::FromStr>(segments: &[(String, String)], name: &str) -> Option<T> {
    segments.iter().find(|(key, _)| key == name)?.1.parse().ok()
}

/// The number of the last event a follower saw, from `Last-Event-ID`; one we never gave counts as none.
pub struct LastEventId(pub Option<u64>);

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        _state: &S,
    ) -> Result<Self, std::convert::Infallible> {
        let header = parts.headers.get("last-event-id").and_then(|value| value.to_str().ok());
        Ok(Self(header.and_then(|value| value.trim().parse().ok())))
    }
}
