//! What the answers of one request have in common.

use axum::{
    Json,
    http::{HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;
use shared::{errors::FieldError, node::text::TokenScore};

use super::{
    fields::{Fields, read_body},
    parameters::Parameter,
};
use crate::{
    catalog::{ServedLane, ServedModel, ServedText},
    clock::unix_seconds,
    engines::text::request,
    error::{Error, Result},
    state::AppState,
};

const WITHOUT_EFFECT: HeaderName = HeaderName::from_static("x-parameters-without-effect");

/// The id, the time and the model of an answer.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: String,
    pub(super) fingerprint: String,
}

impl Head {
    /// A fresh one; `prefix` tells the kinds of answers apart.
    pub(super) fn new(prefix: &str, model: &ServedModel) -> Self {
        Self {
            id: format!("{prefix}-{}", uuid::Uuid::new_v4().simple()),
            created: unix_seconds(),
            model: model.manifest.name.clone(),
            fingerprint: model.fingerprint(),
        }
    }
}

/// What a body asks for, and the names of those of its parameters that do nothing.
pub(super) struct Asked<T> {
    pub(super) call: T,
    pub(super) without_effect: Vec<&'static str>,
}

/// Reads a body by its table, or says everything that is wrong with it.
pub(super) fn read_call<T>(
    body: &Value,
    table: &'static [Parameter],
    read: impl FnOnce(&mut Fields<'_, '_>) -> T,
) -> Result<Asked<T>> {
    let (call, mut report) = read_body(body, table, read);
    report.without_effect.sort_unstable();
    match call {
        Some(call) if report.errors.is_empty() => {
            Ok(Asked { call, without_effect: report.without_effect })
        }
        _ => Err(Error::InvalidFields(report.errors)),
    }
}

/// The text model of that name.
pub(super) fn find_text<'a>(
    state: &'a AppState,
    name: &str,
) -> Result<(&'a ServedModel, &'a ServedText)> {
    let model = find_model(state, name)?;
    match &model.lane {
        ServedLane::Text(text) => Ok((model, text)),
        _ => Err(wrong_kind(model, "text")),
    }
}

/// The model of that name, whatever it does.
pub(super) fn find_model<'a>(state: &'a AppState, name: &str) -> Result<&'a ServedModel> {
    state.jobs.catalog.find(name).ok_or_else(|| Error::UnknownModel(name.to_owned()))
}

/// What is said of a model that does something else.
pub(super) fn wrong_kind(model: &ServedModel, wanted: &str) -> Error {
    let modality = model.manifest.modality.as_str();
    Error::InvalidFields(vec![FieldError {
        pointer: "/model".to_owned(),
        code: "choice".to_owned(),
        detail: format!("must be a model of the modality {wanted}; this one's is {modality}"),
    }])
}

/// A whole answer.
pub(super) fn answer(body: &impl Serialize, without_effect: &[&str]) -> Response {
    with_notes(Json(body).into_response(), without_effect)
}

/// Names in the answer what was sent for nothing.
pub(super) fn with_notes(mut response: Response, without_effect: &[&str]) -> Response {
    if !without_effect.is_empty()
        && let Ok(value) = HeaderValue::from_str(&without_effect.join(", "))
    {
        response.headers_mut().insert(WITHOUT_EFFECT, value);
    }
    response
}

/// A token's score as it goes on the wire.
pub(super) fn token_score(score: &request::TokenScore) -> TokenScore {
    TokenScore {
        token: String::from_utf8_lossy(&score.bytes).into_owned(),
        logprob: score.logprob,
        bytes: score.bytes.clone(),
    }
}
