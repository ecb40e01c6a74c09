//! What a handler may ask of a request. The types in its signature say who may call it and what was checked.

use std::{str::FromStr, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, RawPathParams, Request},
    http::{HeaderMap, header, request::Parts},
};
use futures_util::StreamExt;
use serde_json::Value;
use shared::{
    limits::JSON_BODY_MAX_BYTES,
    validate::{FromBody, parse_body},
};

use super::{
    context::{Identity, RequestContext},
    query::{FromQuery, parse_query},
    respond::NO_CREDENTIALS,
};
use crate::{
    caller::Caller,
    error::{Error, Result},
    state::AppState,
};

/// The ports.
pub struct State(pub Arc<AppState>);

impl<S: Sync> FromRequestParts<S> for State {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        Ok(Self(Arc::clone(&context(parts)?.state)))
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        match parts.extensions.get::<Identity>() {
            Some(Identity::User(caller)) => Ok(caller.clone()),
            _ => Err(Error::Unauthenticated { reason: NO_CREDENTIALS }),
        }
    }
}

/// A caller whom the token or the database takes for an admin.
pub struct AdminCaller(pub Caller);

impl<S: Sync> FromRequestParts<S> for AdminCaller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let caller = Caller::from_request_parts(parts, state).await?;
        if caller.role.as_deref() == Some("admin") {
            return Ok(Self(caller));
        }
        let admin = Arc::clone(&context(parts)?.state.admin);
        if admin.is_admin(&caller.token).await? { Ok(Self(caller)) } else { Err(Error::Forbidden) }
    }
}

/// A node that knows the join token.
pub struct NodeJoin;

impl<S: Sync> FromRequestParts<S> for NodeJoin {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        match parts.extensions.get::<Identity>() {
            Some(Identity::Node) => Ok(Self),
            _ => Err(Error::Unauthenticated { reason: NO_CREDENTIALS }),
        }
    }
}

/// Whoever may read the metrics: the holder of their token, or an admin.
pub struct MetricsReader;

impl<S: Sync> FromRequestParts<S> for MetricsReader {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        if let Some(Identity::Metrics) = parts.extensions.get::<Identity>() {
            return Ok(Self);
        }
        AdminCaller::from_request_parts(parts, state).await.map(|_| Self)
    }
}

/// The `{id}` of the path. One that can't be an id names nothing: 404.
pub struct PathId<T>(pub T);

impl<S: Send + Sync, T: FromStr + Send> FromRequestParts<S> for PathId<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let params =
            RawPathParams::from_request_parts(parts, state).await.map_err(|_| Error::NotFound)?;
        let id = params.iter().next().and_then(|(_, text)| text.parse().ok());
        id.map(Self).ok_or(Error::NotFound)
    }
}

/// The query, checked; everything wrong with it is reported at once.
pub struct ValidQuery<T>(pub T);

impl<S: Sync, T: FromQuery> FromRequestParts<S> for ValidQuery<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        parse_query(parts.uri.query().unwrap_or_default()).map(Self).map_err(Error::Invalid)
    }
}

/// A JSON body, checked; everything wrong with it is reported at once.
pub struct ValidJson<T>(pub T);

impl<S: Sync, T: FromBody> FromRequest<S> for ValidJson<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        read_json(request).await.map(|(order, _)| Self(order))
    }
}

/// Reads and checks a JSON body; the bytes are for its fingerprint.
pub(crate) async fn read_json<T: FromBody>(request: Request) -> Result<(T, Bytes)> {
    let (parts, body) = request.into_parts();
    if !is_json(&parts.headers) {
        return Err(Error::UnsupportedMediaType { expected: "application/json" });
    }
    let bytes = read_body(&parts.headers, body, JSON_BODY_MAX_BYTES).await?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|error| Error::Malformed { detail: format!("The body is not JSON: {error}.") })?;
    let order = parse_body(&value).map_err(Error::Invalid)?;
    Ok((order, bytes))
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

async fn read_body(headers: &HeaderMap, body: Body, max_bytes: usize) -> Result<Bytes> {
    let too_large = Error::BodyTooLarge { max_bytes };
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced.and_then(|text| text.parse::<usize>().ok()).is_some_and(|bytes| bytes > max_bytes)
    {
        return Err(too_large);
    }
    let mut chunks = body.into_data_stream();
    let mut whole: Vec<u8> = Vec::new();
    let mut only: Option<Bytes> = None;
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|_| Error::Malformed { detail: "The body broke off.".to_owned() })?;
        let so_far = only.as_ref().map_or(whole.len(), Bytes::len);
        if so_far.saturating_add(chunk.len()) > max_bytes {
            return Err(too_large);
        }
        // Most bodies come in one piece, which is used as it is.
        match only.take() {
            None if whole.is_empty() => only = Some(chunk),
            first => {
                whole.extend_from_slice(first.as_deref().unwrap_or_default());
                whole.extend_from_slice(&chunk);
            }
        }
    }
    Ok(only.unwrap_or_else(|| whole.into()))
}

/// The origin under which the caller reached the edge, such as `https://chandelle.example`.
pub struct BaseUrl(pub String);

impl<S: Sync> FromRequestParts<S> for BaseUrl {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let host = parts.headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let authority = parts.uri.authority().map(|authority| authority.as_str()).or(host);
        let authority = authority.unwrap_or("localhost");
        let scheme = parts.uri.scheme_str().unwrap_or("http");
        Ok(Self(format!("{scheme}://{authority}")))
    }
}

pub(crate) fn context(parts: &Parts) -> Result<&Arc<RequestContext>> {
    let context = parts.extensions.get::<Arc<RequestContext>>();
    context.ok_or_else(|| Error::internal("a route was called without its middleware"))
}
