//! A prediction's files and its stream. They need no token: whoever has the address has got it from the prediction.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    extract::{Path, State},
    http::header,
    response::{
        Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::{Stream, StreamExt, stream};
use shared::node::jobs::NodeEvent;

use super::find::{find_by_key, index_of};
use crate::{
    dialects::replicate::{file_url, files_url, log_line},
    error::{Error, Result},
    http::base::BaseUrl,
    jobs::NumberedEvent,
    state::AppState,
};

/// Shorter than the idle time-outs of the proxies in between.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// `GET /v1/files/{id}/{key}/{name}`: one result's bytes.
pub async fn fetch_file(
    State(state): State<AppState>,
    Path((id, key, name)): Path<(String, String, String)>,
) -> Result<Response> {
    let run = find_by_key(&state, &id, &key)?;
    let index = index_of(&name)?;
    let stored =
        state.jobs.find_artifact(run.order.id, index).map_err(|_| Error::NotFound("file"))?;
    Response::builder()
        .header(header::CONTENT_TYPE, &stored.artifact.content_type)
        .header(header::CONTENT_LENGTH, stored.artifact.bytes)
        .header(header::CACHE_CONTROL, "private, max-age=3600, immutable")
        .body(Body::from(stored.bytes))
        .map_err(|error| Error::Internal { cause: error.to_string() })
}

/// `GET /v1/files/{id}/{key}/stream`: progress as `logs`, each file as `output`, then `error` or `done`.
pub async fn stream_events(
    State(state): State<AppState>,
    Path((id, key)): Path<(String, String)>,
    BaseUrl(base): BaseUrl,
) -> Result<Sse<impl Stream<Item = std::result::Result<Event, Infallible>>>> {
    let run = find_by_key(&state, &id, &key)?;
    let files = files_url(&run, &base);
    let events = run.follow(None).flat_map(move |numbered| stream::iter(told(numbered, &files)));
    Ok(Sse::new(events.map(Ok)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// Clients skip events that have no id.
fn told((number, event): NumberedEvent, files: &str) -> Vec<Event> {
    let tell = |name: &str, part: usize, data: &str| {
        Event::default().event(name).id(format!("{number}:{part}")).data(data)
    };
    match event {
        NodeEvent::Progress { step, steps } => vec![tell("logs", 0, &log_line(step, steps))],
        NodeEvent::Completed { artifacts, .. } => {
            let urls = artifacts.iter().map(|artifact| file_url(files, artifact));
            let mut events: Vec<Event> =
                urls.enumerate().map(|(part, url)| tell("output", part, &url)).collect();
            events.push(tell("done", artifacts.len(), "{}"));
            events
        }
        NodeEvent::Failed { detail, .. } => {
            vec![tell("error", 0, &detail), tell("done", 1, r#"{"reason": "error"}"#)]
        }
        NodeEvent::Cancelled => vec![tell("done", 0, r#"{"reason": "canceled"}"#)],
        NodeEvent::Queued { .. } | NodeEvent::Started | NodeEvent::Preview { .. } => Vec::new(),
    }
}
