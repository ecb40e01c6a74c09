//! `GET /api/health`: whether the edge, the database and the fleet work.

use axum::{Json, http::StatusCode};
use shared::api::health::{AiCheck, DatabaseCheck, Health, HealthChecks, HealthStatus, NodesCheck};

use crate::{
    http::{extract::State, routes::Routes},
    routes,
    state::AppState,
};

pub fn routes() -> Routes {
    routes![find_health]
}

/// Say how the edge and what stands behind it are.
#[utoipa::path(get, path = "/api/health", tag = "operations", responses(
    (status = 200, body = Health, description = "It works, perhaps without a node."),
    (status = 503, body = Health, description = "The database can't be reached."),
))]
pub async fn find_health(State(state): State) -> (StatusCode, Json<Health>) {
    let health = check(&state).await;
    let status = match health.status {
        HealthStatus::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        HealthStatus::Ok | HealthStatus::Degraded => StatusCode::OK,
    };
    (status, Json(health))
}

async fn check(state: &AppState) -> Health {
    let (database, nodes) = futures_util::join!(state.admin.ping(), state.fleet.list());
    let database = match database {
        Ok(()) => DatabaseCheck::Ok,
        Err(error) => {
            tracing::warn!(%error, "the database did not answer");
            DatabaseCheck::Unreachable
        }
    };
    let nodes = nodes.unwrap_or_else(|error| {
        tracing::warn!(%error, "the fleet did not answer");
        Vec::new()
    });
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let model = state.config.text_model.clone();
    // A node that was configured without its models is asked for any.
    let has_model = |models: &[String]| models.is_empty() || models.contains(&model);
    let writers = nodes.iter().filter(|node| node.is_healthy && has_model(&node.models)).count();
    let ai = AiCheck { is_available: writers > 0, nodes: count(writers), model };
    let nodes = NodesCheck {
        healthy: count(nodes.iter().filter(|node| node.is_healthy).count()),
        total: count(nodes.len()),
    };
    let status = match (database, nodes.healthy) {
        (DatabaseCheck::Unreachable, _) => HealthStatus::Unavailable,
        (DatabaseCheck::Ok, 0) => HealthStatus::Degraded,
        (DatabaseCheck::Ok, _) => HealthStatus::Ok,
    };
    Health {
        status,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        environment: state.config.environment.as_str().to_owned(),
        checks: HealthChecks { database, nodes, ai },
    }
}
