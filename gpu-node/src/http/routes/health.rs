//! Whether the process lives, and whether it can take work. Public, for probes.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
};
use serde::Serialize;

use crate::{error::Result, scheduler::LoadState, state::AppState};

/// What a ready node says about itself.
#[derive(Debug, Serialize)]
pub struct Ready {
    status: &'static str,
    device: &'static str,
    models_loaded: Vec<String>,
}

/// `GET /health/live`: 200 as long as the process answers.
pub async fn is_live() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "status": "live" }))
}

/// `GET /health/ready`: 200 when a job can be sent here, 503 with the reason otherwise; the reason of a load that failed
/// is for callers with a token.
pub async fn is_ready(State(state): State<AppState>, headers: HeaderMap) -> Result<Json<Ready>> {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    state.jobs.check_ready(state.access.allows(token))?;
    let catalog = &state.jobs.catalog;
    let models_loaded = catalog
        .models()
        .iter()
        .filter(|model| model.status().load == LoadState::Loaded)
        .map(|model| model.manifest.name.clone())
        .collect();
    Ok(Json(Ready { status: "ready", device: catalog.device, models_loaded }))
}
