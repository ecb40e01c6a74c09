//! Jobs over HTTP.

use axum::{Json, http::HeaderMap};
use shared::{
    api::{
        Page,
        jobs::{Job, JobKind, JobStatus, JobsRemoved},
    },
    errors::ErrorBody,
    ids::JobId,
};

use super::{job_ports::JobPorts, service};
use crate::{
    caller::Caller,
    error::Result,
    http::{
        extract::{PathId, State, ValidQuery},
        query::{FromQuery, Parameters, page_cursor, page_limit},
    },
    ports::{NativeResponse, stores::JobFilter},
};

/// What a cleanup leaves alone when it isn't told.
const CLEANUP_DAYS_DEFAULT: u64 = 30;
const CLEANUP_DAYS_MAX: u64 = 36_500;

/// List the caller's jobs, newest first.
#[utoipa::path(get, path = "/api/jobs", tag = "jobs", params(
    ("status" = Option<JobStatus>, Query),
    ("kind" = Option<JobKind>, Query),
    ("limit" = Option<u64>, Query, minimum = 1, maximum = 100),
    ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
), responses(
    (status = 200, body = Page<Job>),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn list_jobs(
    State(state): State,
    caller: Caller,
    ValidQuery(filter): ValidQuery<JobFilter>,
) -> Result<Json<Page<Job>>> {
    service::list_jobs(&JobPorts::from(state.as_ref()), &caller, &filter).await.map(Json)
}

impl FromQuery for JobFilter {
    fn from_query(parameters: &mut Parameters<'_>) -> Self {
        Self {
            status: parameters.optional_parsed("status", "must be the status of a job"),
            kind: parameters.optional_parsed("kind", "must be scene or image"),
            limit: page_limit(parameters),
            cursor: page_cursor(parameters),
        }
    }
}

/// Read one of the caller's jobs.
#[utoipa::path(get, path = "/api/jobs/{id}", tag = "jobs", params(("id" = JobId, Path)), responses(
    (status = 200, body = Job),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn find_job(
    State(state): State,
    caller: Caller,
    PathId(id): PathId<JobId>,
) -> Result<Json<Job>> {
    service::find_job(&JobPorts::from(state.as_ref()), &caller, id).await.map(Json)
}

/// Watch one of the caller's jobs: `JobEvent`s as server-sent events, until its end.
#[utoipa::path(get, path = "/api/jobs/{id}/events", tag = "jobs", params(
    ("id" = JobId, Path),
    ("Last-Event-ID" = Option<u64>, Header, description = "Events after this one; the header counts before the query."),
    ("last_event_id" = Option<u64>, Query),
), responses(
    (status = 200, content_type = "text/event-stream", body = String),
    (status = 204, description = "The end was seen already: an `EventSource` stops."),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn watch_job(
    State(state): State,
    caller: Caller,
    PathId(id): PathId<JobId>,
    ValidQuery(from): ValidQuery<WatchFrom>,
    headers: HeaderMap,
) -> Result<NativeResponse> {
    let header = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let last_event_id = header.or(from.last_event_id);
    service::watch_job(&JobPorts::from(state.as_ref()), &caller, id, last_event_id).await
}

/// Where to go on watching.
pub struct WatchFrom {
    last_event_id: Option<u64>,
}

impl FromQuery for WatchFrom {
    fn from_query(parameters: &mut Parameters<'_>) -> Self {
        Self { last_event_id: parameters.optional_integer("last_event_id", 0, u64::MAX) }
    }
}

/// Cancel a job of the caller; one that has ended stays as it is.
#[utoipa::path(post, path = "/api/jobs/{id}/cancel", tag = "jobs", params(("id" = JobId, Path)), responses(
    (status = 200, body = Job),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn cancel_job(
    State(state): State,
    caller: Caller,
    PathId(id): PathId<JobId>,
) -> Result<Json<Job>> {
    service::cancel_job(&JobPorts::from(state.as_ref()), &caller, id).await.map(Json)
}

/// Remove the caller's jobs that ended some days ago (an admin: everyone's). Scenes stay.
#[utoipa::path(delete, path = "/api/jobs/cleanup", tag = "jobs", params(
    ("older_than_days" = Option<u32>, Query, minimum = 0, description = "30 if left out."),
), responses(
    (status = 200, body = JobsRemoved),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn remove_finished_jobs(
    State(state): State,
    caller: Caller,
    ValidQuery(Cleanup { older_than_days }): ValidQuery<Cleanup>,
) -> Result<Json<JobsRemoved>> {
    let ports = JobPorts::from(state.as_ref());
    service::remove_finished_jobs(&ports, &caller, older_than_days).await.map(Json)
}

/// What to remove.
pub struct Cleanup {
    older_than_days: u32,
}

impl FromQuery for Cleanup {
    fn from_query(parameters: &mut Parameters<'_>) -> Self {
        let days = parameters.optional_integer("older_than_days", 0, CLEANUP_DAYS_MAX);
        Self { older_than_days: days.unwrap_or(CLEANUP_DAYS_DEFAULT) as u32 }
    }
}
