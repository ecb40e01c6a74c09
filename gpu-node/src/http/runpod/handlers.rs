//! The handlers of RunPod's routes. None of them ever answers 202: RunPod's JavaScript client takes all but 200 for a
//! failure.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::{Value, json};
use shared::{
    errors::FieldError,
    ids::JobId,
    node::{image::ImageInput, jobs::CreateNodeJob},
    validate::parse_body,
};
use tokio::time;

use crate::{
    catalog::ServedModel,
    dialects::{
        attend::attend,
        ids::{parse_id, runpod_id},
        input::{by_their_name, in_words, read_image_input},
        order::RunPodOrder,
        runpod::{brief, status_body, stream_body},
    },
    error::{Error, Result},
    http::{
        base::BaseUrl,
        extract::{Asked, JsonBody},
        replicate::held_file,
    },
    jobs::{Callback, CallbackEvents, Dialect, Keep, Origin, Phase, Run, StopCause},
    scheduler::LoadState,
    state::AppState,
};

/// How long RunPod keeps what ended.
const KEEP_ASYNC: Duration = Duration::from_secs(30 * 60);
const KEEP_SYNC: Duration = Duration::from_secs(60);
const DEFAULT_WAIT_MS: u64 = 90_000;
/// Clients ask again without a pause; shorter than their own patience.
const STREAM_WAIT: Duration = Duration::from_secs(5);

/// `POST /v2/{endpoint}/run`. Says `IN_QUEUE` even of a job that began or ended meanwhile, as RunPod does.
pub async fn create_async(
    State(state): State<AppState>,
    Path(endpoint): Path<String>,
    BaseUrl(base): BaseUrl,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>> {
    let run = open(&state, &endpoint, body, (false, base)).await?;
    Ok(Json(json!({ "id": runpod_id(&run), "status": "IN_QUEUE" })))
}

/// `POST /v2/{endpoint}/runsync?wait=ms`: the end if it comes in time.
pub async fn create_sync(
    State(state): State<AppState>,
    Path(endpoint): Path<String>,
    asked: Asked,
    BaseUrl(base): BaseUrl,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>> {
    let wait = read_wait(&asked, 300_000)?;
    let run = open(&state, &endpoint, body, (true, base)).await?;
    Ok(Json(wait_for_end(&state, &run, wait).await))
}

/// `GET /v2/{endpoint}/status/{id}`.
pub async fn status(
    State(state): State<AppState>,
    Path((endpoint, id)): Path<(String, String)>,
) -> Result<Json<Value>> {
    Ok(Json(status_body(&state.jobs, &*find(&state, &endpoint, &id)?)))
}

/// `GET /v2/{endpoint}/status-sync/{id}?wait=ms`: no document has it, RunPod's JavaScript client uses it.
pub async fn status_sync(
    State(state): State<AppState>,
    Path((endpoint, id)): Path<(String, String)>,
    asked: Asked,
) -> Result<Json<Value>> {
    let run = find(&state, &endpoint, &id)?;
    Ok(Json(wait_for_end(&state, &run, read_wait(&asked, 90_000)?).await))
}

/// `GET /v2/{endpoint}/stream/{id}`: what nobody was given before, held back until there is something.
pub async fn follow(
    State(state): State<AppState>,
    Path((endpoint, id)): Path<(String, String)>,
) -> Result<Json<Value>> {
    let run = find(&state, &endpoint, &id)?;
    let deadline = time::Instant::now() + STREAM_WAIT;
    loop {
        let _ = time::timeout_at(deadline, run.wait_for_news()).await;
        let body = stream_body(&state.jobs, &run);
        let is_empty = body["stream"].as_array().is_none_or(Vec::is_empty);
        let goes_on = !run.phase().is_end();
        // A place in the queue is news, and nothing for a stream.
        if !(is_empty && goes_on) || time::Instant::now() >= deadline {
            return Ok(Json(body));
        }
    }
}

/// `POST /v2/{endpoint}/cancel/{id}`.
pub async fn cancel(
    State(state): State<AppState>,
    Path((endpoint, id)): Path<(String, String)>,
) -> Result<Json<Value>> {
    let run = find(&state, &endpoint, &id)?;
    state.jobs.stop_job(&run, StopCause::Asked);
    Ok(Json(Value::Object(brief(&run, &run.view()))))
}

/// `POST /v2/{endpoint}/retry/{id}`.
pub async fn retry(
    State(state): State<AppState>,
    Path((endpoint, id)): Path<(String, String)>,
) -> Result<Json<Value>> {
    let failed = find(&state, &endpoint, &id)?;
    let image = match &failed.origin.input {
        Some(input) => read_input(&state, find_endpoint(&state, &endpoint)?, input).ok(),
        None => Some(failed.order.image.clone()),
    };
    let run = state.jobs.retry_job(&failed, image).await?;
    attend(&state.jobs, state.webhooks.as_ref(), &run);
    Ok(Json(json!({ "id": runpod_id(&run), "status": "IN_QUEUE" })))
}

/// `POST /v2/{endpoint}/purge-queue`: whoever waits is cancelled, whatever runs goes on.
pub async fn purge(
    State(state): State<AppState>,
    Path(endpoint): Path<String>,
) -> Result<Json<Value>> {
    find_endpoint(&state, &endpoint)?;
    let removed = state.jobs.stop_waiting(&endpoint);
    Ok(Json(json!({ "removed": removed, "status": "completed" })))
}

/// `GET /v2/{endpoint}/health`: the node is the endpoint's one worker.
pub async fn check_health(
    State(state): State<AppState>,
    Path(endpoint): Path<String>,
) -> Result<Json<Value>> {
    let model = find_endpoint(&state, &endpoint)?;
    let (status, tally) = (model.status(), state.jobs.book.tally(&endpoint));
    let taken = model.control().running();
    // What was taken out of the queue first waits for its model.
    let is_cold = taken > 0 && status.load != LoadState::Loaded;
    let (running, waiting) =
        if is_cold { (0, status.waiting + taken) } else { (taken, status.waiting) };
    let is_running = running > 0;
    let is_loading = is_cold || status.load == LoadState::Awaited;
    let is_broken =
        !is_loading && matches!(status.load, LoadState::Failed(_) | LoadState::AwaitedAgain(_));
    Ok(Json(json!({
        "jobs": {
            "completed": tally.completed,
            "failed": tally.failed,
            "inProgress": running,
            "inQueue": waiting,
            "retried": tally.retried,
        },
        "workers": {
            "idle": u8::from(!is_running && !is_loading && !is_broken),
            "initializing": u8::from(is_loading),
            "ready": u8::from(!is_loading && !is_broken),
            "running": u8::from(is_running),
            "throttled": 0,
            "unhealthy": u8::from(is_broken),
        },
    })))
}

fn find_endpoint<'a>(state: &'a AppState, endpoint: &str) -> Result<&'a ServedModel> {
    state.jobs.catalog.find(endpoint).ok_or(Error::NotFound("endpoint"))
}

fn find(state: &AppState, endpoint: &str, id: &str) -> Result<Arc<Run>> {
    let run = state.jobs.find_run(parse_id(id).ok_or(Error::NotFound("job"))?)?;
    if run.order.model == endpoint { Ok(run) } else { Err(Error::NotFound("job")) }
}

/// A request that RunPod would take is taken; what the model cannot do with its input is a job that failed.
async fn open(
    state: &AppState,
    endpoint: &str,
    body: Value,
    (is_sync, base_url): (bool, String),
) -> Result<Arc<Run>> {
    let model = find_endpoint(state, endpoint)?;
    let asked: RunPodOrder = parse_body(&body).map_err(Error::InvalidFields)?;
    let callback = match asked.webhook {
        Some(url) => Some(callback(state, url)?),
        None => None,
    };
    let keep = if is_sync { KEEP_SYNC } else { KEEP_ASYNC };
    let origin = Origin {
        dialect: Dialect::RunPod { is_sync },
        patience: asked.patience,
        keep: Some(Keep { data: keep, record: keep }),
        callback,
        base_url,
        input: None,
    };
    let order = |image| CreateNodeJob {
        id: JobId(uuid::Uuid::new_v4()),
        model: endpoint.to_owned(),
        image,
    };
    let fail = |detail| {
        let nothing = ImageInput::from_prompt(String::new());
        state.jobs.open_failed(order(nothing), origin.clone(), detail)
    };
    let with_input = || Origin { input: Some(asked.input.clone()), ..origin.clone() };
    let run = match read_input(state, model, &asked.input) {
        Err(detail) => fail(detail)?,
        Ok(image) => match state.jobs.open_job(order(image), with_input()).await {
            Ok((run, _)) => run,
            Err(Error::InvalidFields(errors)) => fail(refusal(errors, &asked.input))?,
            Err(error) => return Err(error),
        },
    };
    attend(&state.jobs, state.webhooks.as_ref(), &run);
    Ok(run)
}

fn read_input(
    state: &AppState,
    model: &ServedModel,
    input: &Value,
) -> std::result::Result<ImageInput, String> {
    if model.manifest.defaults.image().is_none() {
        let kind = model.manifest.modality.as_str();
        return Err(format!("the endpoint's model is one of {kind}: ask it below /openai/v1"));
    }
    let Some(members) = input.as_object() else {
        return Err("input must be an object".to_owned());
    };
    read_image_input(members, &|url| held_file(state, url))
        .map_err(|errors| format!("input is not valid: {}", in_words(&errors)))
}

/// The model's own rules, found with `/image` before each place.
fn refusal(errors: Vec<FieldError>, input: &Value) -> String {
    let nothing = serde_json::Map::new();
    let input = input.as_object().unwrap_or(&nothing);
    let errors: Vec<FieldError> = errors
        .into_iter()
        .map(|error| {
            let pointer = error.pointer.trim_start_matches("/image/");
            by_their_name(FieldError { pointer: format!("/{pointer}"), ..error }, input)
        })
        .collect();
    format!("input is not valid: {}", in_words(&errors))
}

fn callback(state: &AppState, url: String) -> Result<Callback> {
    state.check_webhook(&url)?;
    let events = CallbackEvents { completed: true, ..CallbackEvents::default() };
    Ok(Callback { url, events })
}

/// `?wait=` in milliseconds, brought into its range.
fn read_wait(asked: &Asked, max_ms: u64) -> Result<Duration> {
    let wait = match asked.get("wait").map(str::parse) {
        None => DEFAULT_WAIT_MS,
        Some(Ok(wait)) => wait,
        Some(Err(_)) => {
            let (pointer, code) = ("/wait".to_owned(), "type".to_owned());
            let detail = "must be a number of milliseconds".to_owned();
            return Err(Error::InvalidFields(vec![FieldError { pointer, code, detail }]));
        }
    };
    Ok(Duration::from_millis(wait.clamp(1_000, max_ms)))
}

async fn wait_for_end(state: &AppState, run: &Run, wait: Duration) -> Value {
    let ended = run.wait_until(|standing| standing.phase.is_end());
    let _ = time::timeout(wait, ended).await;
    match run.phase() {
        Phase::Queued | Phase::Running => {
            let body = brief(run, &run.view());
            json!({ "id": body["id"], "status": body["status"] })
        }
        _ => status_body(&state.jobs, run),
    }
}
