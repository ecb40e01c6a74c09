//! Creating, reading and cancelling predictions.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};
use shared::{
    errors::FieldError, ids::JobId, limits::WAIT_MAX_SECONDS, node::jobs::CreateNodeJob,
    validate::parse_body,
};
use tokio::time;

use super::{
    find::{find_run, held_file},
    models::{find_by_name, find_by_version},
};
use crate::{
    catalog::ServedModel,
    dialects::{
        attend::attend,
        input::{by_their_name, read_image_input},
        order::{ReplicateOrder, parse_cancel_after},
        replicate::prediction,
    },
    error::{Error, Result},
    http::{base::BaseUrl, extract::JsonBody},
    jobs::{Callback, Dialect, Keep, Origin, Patience, Run, StopCause},
    state::AppState,
};

/// Replicate's own bound for a run.
const RUN_MAX: Duration = Duration::from_secs(30 * 60);
/// Input and output are removed after an hour; that there was a prediction is known for a day.
const KEEP: Keep =
    Keep { data: Duration::from_secs(60 * 60), record: Duration::from_secs(24 * 60 * 60) };
/// The answer has to be there within the time that the caller waits.
const WAIT_MARGIN: Duration = Duration::from_millis(250);

type Created = (StatusCode, Json<Value>);

/// `POST /v1/predictions`: `version` says which model.
pub async fn create_prediction(
    State(state): State<AppState>,
    headers: HeaderMap,
    BaseUrl(base): BaseUrl,
    JsonBody(body): JsonBody,
) -> Result<Created> {
    let order = read_order(&body)?;
    let model = match &order.version {
        Some(version) => find_by_version(&state, version)?,
        None => return Err(wrong("/version", "missing", "is required")),
    };
    create(&state, model, order, &headers, base).await
}

/// `POST /v1/models/{owner}/{name}/predictions`, and the same below `deployments`: a model is deployed under its own name.
pub async fn create_for_model(
    State(state): State<AppState>,
    Path((_owner, name)): Path<(String, String)>,
    headers: HeaderMap,
    BaseUrl(base): BaseUrl,
    JsonBody(body): JsonBody,
) -> Result<Created> {
    let model = find_by_name(&state, &name)?;
    create(&state, model, read_order(&body)?, &headers, base).await
}

/// `GET /v1/predictions/{id}`.
pub async fn find_prediction(
    State(state): State<AppState>,
    Path(id): Path<String>,
    BaseUrl(base): BaseUrl,
) -> Result<Json<Value>> {
    Ok(Json(describe(&state, &*find_run(&state, &id)?, &base)))
}

/// `POST /v1/predictions/{id}/cancel`.
pub async fn cancel_prediction(
    State(state): State<AppState>,
    Path(id): Path<String>,
    BaseUrl(base): BaseUrl,
) -> Result<Json<Value>> {
    let run = find_run(&state, &id)?;
    state.jobs.stop_job(&run, StopCause::Asked);
    Ok(Json(describe(&state, &run, &base)))
}

/// `GET /v1/webhooks/default/secret`: what webhooks of this node are signed with.
pub async fn show_secret(State(state): State<AppState>) -> Result<Json<Value>> {
    let webhooks = state.webhooks.as_ref().ok_or(Error::NotFound("webhook secret"))?;
    Ok(Json(json!({ "key": webhooks.secret().expose() })))
}

/// The prediction object of a run.
pub(super) fn describe(state: &AppState, run: &Run, base: &str) -> Value {
    let model = state.jobs.catalog.find(&run.order.model);
    prediction(run, model.map(|model| &model.manifest), base)
}

async fn create(
    state: &AppState,
    model: &ServedModel,
    asked: ReplicateOrder,
    headers: &HeaderMap,
    base: String,
) -> Result<Created> {
    if model.manifest.defaults.image().is_none() {
        return Err(wrong("/version", "choice", "must be a model that makes pictures"));
    }
    let image =
        read_image_input(&asked.input, &|url| held_file(state, url)).map_err(below_input)?;
    let callback = match asked.webhook {
        Some((url, events)) => {
            state.check_webhook(&url)?;
            Some(Callback { url, events })
        }
        None => None,
    };
    let origin = Origin {
        dialect: Dialect::Replicate,
        patience: Patience { run: Some(RUN_MAX), total: cancel_after(headers)? },
        keep: Some(KEEP),
        callback,
        base_url: base.clone(),
        input: Some(Value::Object(asked.input.clone())),
    };
    let id = JobId(uuid::Uuid::new_v4());
    let order = CreateNodeJob { id, model: model.manifest.name.clone(), image };
    let (run, _) = state.jobs.open_job(order, origin).await.map_err(|error| match error {
        Error::InvalidFields(errors) => below_input(named(errors, &asked.input)),
        error => error,
    })?;
    attend(&state.jobs, state.webhooks.as_ref(), &run);
    let mut body = describe(state, &run, &base);
    if let Some(wait) = wait(headers) {
        let ended = run.wait_until(|standing| standing.phase.is_end());
        let is_done = time::timeout(wait, ended).await.is_ok();
        body = describe(state, &run, &base);
        if !is_done {
            // Clients take any other status for the end, and read an output that is not there.
            body["status"] = "starting".into();
        }
    }
    Ok((StatusCode::CREATED, Json(body)))
}

fn read_order(body: &Value) -> Result<ReplicateOrder> {
    parse_body(body).map_err(Error::InvalidFields)
}

/// `Prefer: wait` or `wait=n`.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("prefer")?.to_str().ok()?;
    let preference = value.split([',', ';']).map(str::trim).find_map(|p| p.strip_prefix("wait"))?;
    let seconds = match preference.strip_prefix('=') {
        Some(number) => number.trim().parse().unwrap_or(WAIT_MAX_SECONDS),
        None => WAIT_MAX_SECONDS,
    };
    Some(Duration::from_secs(seconds.clamp(1, WAIT_MAX_SECONDS)) - WAIT_MARGIN)
}

fn cancel_after(headers: &HeaderMap) -> Result<Option<Duration>> {
    let Some(value) = headers.get("cancel-after") else { return Ok(None) };
    match value.to_str().ok().and_then(parse_cancel_after) {
        Some(after) => Ok(Some(after)),
        None => Err(wrong("", "format", "comes with a Cancel-After that is not 5s to 24h")),
    }
}

/// The model's own rules, in the caller's names.
fn named(errors: Vec<FieldError>, input: &serde_json::Map<String, Value>) -> Vec<FieldError> {
    let errors = errors.into_iter().map(|error| {
        let pointer = error.pointer.trim_start_matches("/image/");
        by_their_name(FieldError { pointer: format!("/{pointer}"), ..error }, input)
    });
    errors.collect()
}

fn below_input(errors: Vec<FieldError>) -> Error {
    let errors = errors
        .into_iter()
        .map(|error| FieldError { pointer: format!("/input{}", error.pointer), ..error });
    Error::InvalidFields(errors.collect())
}

/// One thing that is wrong.
pub(super) fn wrong(pointer: &str, code: &str, detail: &str) -> Error {
    Error::InvalidFields(vec![FieldError {
        pointer: pointer.to_owned(),
        code: code.to_owned(),
        detail: detail.to_owned(),
    }])
}
