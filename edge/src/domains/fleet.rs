//! How nodes join, stay and leave by themselves, with the join token.

use axum::{
    Json,
    http::{StatusCode, Uri},
};
use shared::{
    api::fleet::{Heartbeat, NodeRegistered, RegisterNode},
    errors::{ErrorBody, FieldError},
};

use crate::{
    config::Environment,
    error::{Error, Result},
    http::{
        extract::{NodeJoin, PathId, State, ValidJson},
        routes::Routes,
    },
    routes,
};

/// Three missed ones and a node gets no more work.
const HEARTBEAT_INTERVAL_MS: u64 = 10_000;

pub fn routes() -> Routes {
    routes![register_node, receive_heartbeat, remove_node]
}

/// Register a node, or renew what is known of it.
#[utoipa::path(post, path = "/api/nodes/register", tag = "nodes", request_body = RegisterNode, responses(
    (status = 201, body = NodeRegistered),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn register_node(
    State(state): State,
    _join: NodeJoin,
    ValidJson(node): ValidJson<RegisterNode>,
) -> Result<(StatusCode, Json<NodeRegistered>)> {
    let node = checked(node, state.config.environment)?;
    tracing::info!(node_id = node.node_id, url = node.url, "a node registered");
    state.fleet.register(node).await?;
    let heartbeat_interval_ms = HEARTBEAT_INTERVAL_MS;
    Ok((StatusCode::CREATED, Json(NodeRegistered { heartbeat_interval_ms })))
}

/// Receive a node's load; 404 tells it to register again.
#[utoipa::path(post, path = "/api/nodes/{id}/heartbeat", tag = "nodes", params(("id" = String, Path)),
    request_body = Heartbeat, responses(
    (status = 204, description = "Noted."),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn receive_heartbeat(
    State(state): State,
    _join: NodeJoin,
    PathId(node_id): PathId<String>,
    ValidJson(heartbeat): ValidJson<Heartbeat>,
) -> Result<StatusCode> {
    let is_known = state.fleet.heartbeat(&node_id, heartbeat).await?;
    if is_known { Ok(StatusCode::NO_CONTENT) } else { Err(Error::NotFound) }
}

/// Forget a node that is leaving.
#[utoipa::path(delete, path = "/api/nodes/{id}", tag = "nodes", params(("id" = String, Path)), responses(
    (status = 204, description = "It gets no more work."),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn remove_node(
    State(state): State,
    _join: NodeJoin,
    PathId(node_id): PathId<String>,
) -> Result<StatusCode> {
    state.fleet.leave(&node_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The edge sends its node token to this URL, so it must be one, and encrypted outside a local machine.
fn checked(node: RegisterNode, environment: Environment) -> Result<RegisterNode> {
    let uri = node.url.parse::<Uri>().ok();
    let scheme = uri.as_ref().filter(|uri| uri.host().is_some()).and_then(Uri::scheme_str);
    let is_encrypted = scheme == Some("https");
    let is_plain_and_local = scheme == Some("http") && environment == Environment::Local;
    if is_encrypted || is_plain_and_local {
        let url = node.url.trim_end_matches('/').to_owned();
        return Ok(RegisterNode { url, ..node });
    }
    Err(Error::Invalid(vec![FieldError {
        pointer: "/url".to_owned(),
        code: "format".to_owned(),
        detail: "must be an https URL (http only in the local environment)".to_owned(),
    }]))
}
