//! The native job protocol: order, follow, fetch, delete.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::{Stream, StreamExt};
use shared::node::jobs::{CreateNodeJob, NodeJob};

use crate::{
    error::{Error, Result},
    http::extract::{ArtifactPath, JobPath, LastEventId, ValidJson},
    state::AppState,
};

/// Shorter than the idle time-outs of the proxies in between.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// `POST /v1/jobs`: 201 for a new job, 200 when the same order was sent before; 409 for another body under the id,
/// 422 for a bad one, 429 when the lane is full, 503 while draining.
pub async fn create_job(
    State(state): State<AppState>,
    ValidJson(order): ValidJson<CreateNodeJob>,
) -> Result<(StatusCode, Json<NodeJob>)> {
    let opened = state.jobs.create_job(order).await?;
    let status = if opened.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(opened.job)))
}

/// `GET /v1/jobs/{id}`.
pub async fn find_job(
    State(state): State<AppState>,
    JobPath(id): JobPath,
) -> Result<Json<NodeJob>> {
    Ok(Json(state.jobs.find_job(id)?))
}

/// `GET /v1/jobs/{id}/events`: what happened after `Last-Event-ID`, then what happens, until the job's end. Hanging
/// up does not cancel the job.
pub async fn follow_job(
    State(state): State<AppState>,
    JobPath(id): JobPath,
    LastEventId(last_seen): LastEventId,
) -> Result<Sse<impl Stream<Item = std::result::Result<Event, Infallible>>>> {
    let events = state.jobs.follow_job(id, last_seen)?;
    let events = events.filter_map(|(number, event)| async move {
        // The types hold nothing that JSON cannot, so no event is ever left out.
        let data = serde_json::to_string(&event).ok()?;
        Some(Ok(Event::default().event(event.name()).id(number.to_string()).data(data)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive")))
}

/// `GET /v1/jobs/{id}/artifacts/{index}`: one result's bytes; its ETag is its SHA-256.
pub async fn fetch_artifact(
    State(state): State<AppState>,
    ArtifactPath(id, index): ArtifactPath,
    headers: HeaderMap,
) -> Result<Response> {
    let stored = state.jobs.find_artifact(id, index)?;
    let etag = format!("\"{}\"", stored.artifact.sha256);
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value == etag.as_str());
    if is_known {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    Response::builder()
        .header(header::CONTENT_TYPE, &stored.artifact.content_type)
        .header(header::CONTENT_LENGTH, stored.artifact.bytes)
        .header(header::ETAG, etag)
        .body(Body::from(stored.bytes))
        .map_err(|error| Error::Internal { cause: error.to_string() })
}

/// `DELETE /v1/jobs/{id}`: cancels a job under way, forgets one that ended.
pub async fn delete_job(State(state): State<AppState>, JobPath(id): JobPath) -> Result<StatusCode> {
    state.jobs.delete_job(id)?;
    Ok(StatusCode::NO_CONTENT)
}
