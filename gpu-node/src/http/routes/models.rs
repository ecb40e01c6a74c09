//! What this node can run.

use axum::{Json, extract::State};
use serde::Serialize;
use shared::node::image::SchedulerKind;

use crate::{jobs::ServedModel, scheduler::LoadState, state::AppState};

/// Every model of the node.
#[derive(Debug, Serialize)]
pub struct Models {
    models: Vec<Model>,
}

/// One model, and what a request gets that leaves things open.
#[derive(Debug, Serialize)]
struct Model {
    name: String,
    description: String,
    modality: &'static str,
    architecture: String,
    revision: String,
    licence: String,
    memory_bytes: u64,
    is_loaded: bool,
    queued: usize,
    width: u32,
    height: u32,
    steps: u32,
    guidance: f64,
    scheduler: SchedulerKind,
}

/// `GET /v1/models`.
pub async fn list_models(State(state): State<AppState>) -> Json<Models> {
    Json(Models { models: state.jobs.catalog.models().iter().filter_map(describe).collect() })
}

fn describe(model: &ServedModel) -> Option<Model> {
    let (manifest, status) = (&model.manifest, model.lane.status());
    let defaults = manifest.defaults.image()?;
    Some(Model {
        name: manifest.name.clone(),
        description: manifest.description.clone(),
        modality: manifest.modality.as_str(),
        architecture: manifest.architecture.clone(),
        revision: manifest.revision.clone(),
        licence: manifest.licence.clone(),
        memory_bytes: manifest.memory_bytes,
        is_loaded: status.load == LoadState::Loaded,
        queued: status.waiting,
        width: defaults.width,
        height: defaults.height,
        steps: defaults.steps,
        guidance: defaults.guidance,
        scheduler: defaults.scheduler,
    })
}
