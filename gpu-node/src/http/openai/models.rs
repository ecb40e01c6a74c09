//! `GET /v1/models`: what this node can run, as OpenAI's clients read it.

use axum::{
    Json,
    extract::{Path, State},
};
use shared::node::models::{ImageDefaults, Model, ModelList};

use super::head::find_model as find;
use crate::{
    catalog::{ServedLane, ServedModel},
    error::Result,
    scheduler::LoadState,
    state::AppState,
};

/// `GET /v1/models`.
pub async fn list_models(State(state): State<AppState>) -> Json<ModelList> {
    let models = state.jobs.catalog.models().iter();
    let data = models.map(|model| describe(model, state.started_at)).collect();
    Json(ModelList { object: "list".to_owned(), data })
}

/// `GET /v1/models/{id}`.
pub async fn find_model(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Model>> {
    Ok(Json(describe(find(&state, &id)?, state.started_at)))
}

/// A model as OpenAI's clients read it.
pub fn describe(model: &ServedModel, created: u64) -> Model {
    let (manifest, status) = (&model.manifest, model.status());
    let (mut image, mut context_tokens) = (None, None);
    match &model.lane {
        ServedLane::Image(_) => {
            image = manifest.defaults.image().map(|defaults| ImageDefaults {
                width: defaults.width,
                height: defaults.height,
                steps: defaults.steps,
                guidance: defaults.guidance,
                scheduler: defaults.scheduler,
            });
        }
        ServedLane::Text(text) => context_tokens = text.context_tokens,
        ServedLane::Embeddings(embeddings) => context_tokens = embeddings.context_tokens,
    }
    Model {
        id: manifest.name.clone(),
        object: "model".to_owned(),
        created,
        owned_by: "chandelle".to_owned(),
        description: manifest.description.clone(),
        modality: manifest.modality.as_str().to_owned(),
        architecture: manifest.architecture.clone(),
        revision: manifest.revision.clone(),
        licence: manifest.licence.clone(),
        memory_bytes: manifest.memory_bytes,
        is_loaded: status.load == LoadState::Loaded,
        queued: status.waiting,
        image,
        context_tokens,
    }
}
