//! `/v2/{endpoint}/openai/v1/…`: OpenAI's own handlers, below an endpoint that has to exist.

use axum::{
    Json,
    extract::{Path, Request, State},
    middleware::Next,
    response::Response,
};
use shared::node::models::ModelList;

use crate::{
    error::{Error, Result},
    http::openai::models::describe,
    state::AppState,
};

/// Lets a request through when its endpoint is a model of this node.
pub async fn check_endpoint(
    State(state): State<AppState>,
    Path(segments): Path<Vec<(String, String)>>,
    request: Request,
    next: Next,
) -> Result<Response> {
    let endpoint = segments.iter().find(|(name, _)| name == "endpoint");
    if endpoint.is_none_or(|(_, name)| state.jobs.catalog.find(name).is_none()) {
        return Err(Error::NotFound("endpoint"));
    }
    Ok(next.run(request).await)
}

/// `GET /v2/{endpoint}/openai/v1/models`: the endpoint's own model.
pub async fn list_models(
    State(state): State<AppState>,
    Path(endpoint): Path<String>,
) -> Result<Json<ModelList>> {
    let model = state.jobs.catalog.find(&endpoint).ok_or(Error::NotFound("endpoint"))?;
    let data = vec![describe(model, state.started_at)];
    Ok(Json(ModelList { object: "list".to_owned(), data }))
}
