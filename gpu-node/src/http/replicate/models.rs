//! Models and their versions, as Replicate's clients look them up before they run one.

use std::time::{Duration, UNIX_EPOCH};

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::{Value, json};

use super::handlers::wrong;
use crate::{
    catalog::ServedModel,
    dialects::replicate::{model, version, version_of},
    error::{Error, Result},
    http::base::BaseUrl,
    state::AppState,
};

/// `GET /v1/models/{owner}/{name}`.
pub async fn find_model(
    State(state): State<AppState>,
    Path((_owner, name)): Path<(String, String)>,
    BaseUrl(base): BaseUrl,
) -> Result<Json<Value>> {
    let served = find_by_name(&state, &name)?;
    let runs = state.jobs.book.tally(&name).completed;
    Ok(Json(model(&served.manifest, runs, since(&state), &base)))
}

/// `GET /v1/models/{owner}/{name}/versions`: the one there is.
pub async fn list_versions(
    State(state): State<AppState>,
    Path((_owner, name)): Path<(String, String)>,
) -> Result<Json<Value>> {
    let served = find_by_name(&state, &name)?;
    let versions = [version(&served.manifest, since(&state))];
    Ok(Json(json!({ "next": null, "previous": null, "results": versions })))
}

/// `GET /v1/models/{owner}/{name}/versions/{version}`.
pub async fn find_version(
    State(state): State<AppState>,
    Path((_owner, name, id)): Path<(String, String, String)>,
) -> Result<Json<Value>> {
    let served = find_by_name(&state, &name)?;
    if id != version_of(&served.manifest) {
        return Err(Error::NotFound("version"));
    }
    Ok(Json(version(&served.manifest, since(&state))))
}

/// The model of that name, whoever is said to own it.
pub(super) fn find_by_name<'a>(state: &'a AppState, name: &str) -> Result<&'a ServedModel> {
    state.jobs.catalog.find(name).ok_or(Error::NotFound("model"))
}

/// `owner/name`, `owner/name:version` or a version alone.
pub(super) fn find_by_version<'a>(state: &'a AppState, text: &str) -> Result<&'a ServedModel> {
    let (name, id) = match text.split_once('/') {
        Some((_owner, rest)) => match rest.split_once(':') {
            Some((name, id)) => (Some(name), Some(id)),
            None => (Some(rest), None),
        },
        None => (None, Some(text)),
    };
    let mut models = state.jobs.catalog.models().iter();
    let found = models.find(|served| {
        name.is_none_or(|name| name == served.manifest.name)
            && id.is_none_or(|id| id == version_of(&served.manifest))
    });
    let rule = "names no model of this node: owner/name, owner/name:version or a version's 64 hex \
                digits";
    found.ok_or_else(|| wrong("/version", "choice", rule))
}

/// A version is as old as this node's run.
fn since(state: &AppState) -> std::time::SystemTime {
    UNIX_EPOCH + Duration::from_secs(state.started_at)
}
