//! Whether the process lives, and whether it can take work. Public, for probes.

use axum::{Json, extract::State};
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

/// `GET /health/ready`: 200 when a job can be sent here, 503 with the reason otherwise.
pub async fn is_ready(State(state): State<AppState>) -> Result<Json<Ready>> {
    state.jobs.check_ready()?;
    let catalog = &state.jobs.catalog;
    let models_loaded = catalog
        .models()
        .iter()
        .filter(|model| model.status().load == LoadState::Loaded)
        .map(|model| model.manifest.name.clone())
        .collect();
    Ok(Json(Ready { status: "ready", device: catalog.device, models_loaded }))
}
