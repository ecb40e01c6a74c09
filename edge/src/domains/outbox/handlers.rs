//! The outbox over HTTP, for admins.

use std::str::FromStr;

use axum::{Json, http::StatusCode};
use shared::{
    api::{Page, outbox::OutboxEntry},
    errors::ErrorBody,
};
use uuid::Uuid;

use super::service;
use crate::{
    error::Result,
    http::{
        extract::{AdminCaller, PathId, State, ValidQuery},
        query::{FromQuery, Parameters},
    },
};

/// List messages to third parties, newest first.
#[utoipa::path(get, path = "/api/admin/outbox", tag = "admin", params(
    ("status" = Option<String>, Query, description = "`pending`, `delivered` or `dead`."),
), responses(
    (status = 200, body = Page<OutboxEntry>),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn list_outbox(
    State(state): State,
    AdminCaller(caller): AdminCaller,
    ValidQuery(OutboxQuery { status }): ValidQuery<OutboxQuery>,
) -> Result<Json<Page<OutboxEntry>>> {
    let status = status.map(|EntryStatus(word)| word);
    service::list_outbox(state.outbox.as_ref(), &caller, status).await.map(Json)
}

/// Which messages to list.
pub struct OutboxQuery {
    status: Option<EntryStatus>,
}

struct EntryStatus(&'static str);

impl FromStr for EntryStatus {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let known = ["pending", "delivered", "dead"];
        known.into_iter().find(|word| *word == text).map(Self).ok_or(())
    }
}

impl FromQuery for OutboxQuery {
    fn from_query(parameters: &mut Parameters<'_>) -> Self {
        let rule = "must be pending, delivered or dead";
        Self { status: parameters.optional_parsed("status", rule) }
    }
}

/// Have a message that was given up tried again.
#[utoipa::path(post, path = "/api/admin/outbox/{id}/replay", tag = "admin", params(("id" = Uuid, Path)), responses(
    (status = 202, description = "It is due again."),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn replay_outbox(
    State(state): State,
    AdminCaller(caller): AdminCaller,
    PathId(id): PathId<Uuid>,
) -> Result<StatusCode> {
    let (outbox, queues) = (state.outbox.as_ref(), state.queues.as_ref());
    service::replay_outbox(outbox, queues, &caller, &id.to_string()).await?;
    Ok(StatusCode::ACCEPTED)
}
