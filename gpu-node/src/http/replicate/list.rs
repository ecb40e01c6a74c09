//! `GET /v1/predictions`: every job of the node, a hundred at a time, the newest first.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::handlers::{describe, wrong};
use crate::{
    dialects::replicate::{calendar, parse_time},
    error::{Error, Result},
    http::{base::BaseUrl, extract::Asked},
    jobs::Run,
    state::AppState,
};

const PAGE: usize = 100;

/// `GET /v1/predictions`.
pub async fn list_predictions(
    State(state): State<AppState>,
    asked: Asked,
    BaseUrl(base): BaseUrl,
) -> Result<Json<Value>> {
    let after = read_time("created_after", asked.get("created_after"))?;
    let before = read_time("created_before", asked.get("created_before"))?;
    let cursor = asked.get("cursor").map(read_cursor).transpose()?;
    let mut runs = state.jobs.book.list();
    runs.retain(|run| {
        after.is_none_or(|after| run.created_at() >= after)
            && before.is_none_or(|before| run.created_at() < before)
    });
    let (from, to) = window(&runs, cursor);
    let link = |word: &str, run: Option<&Arc<Run>>| {
        let mut link = format!("{base}/v1/predictions?cursor={word}-{}", micros(run?));
        for (name, time) in [("created_after", after), ("created_before", before)] {
            if let Some(time) = time {
                link.push_str(&format!("&{name}={}", calendar(time)));
            }
        }
        Some(link)
    };
    let page = &runs[from..to];
    let results: Vec<Value> = page.iter().map(|run| describe(&state, run, &base)).collect();
    Ok(Json(json!({
        "next": link("older", page.last().filter(|_| to < runs.len())),
        "previous": link("newer", page.first().filter(|_| from > 0)),
        "results": results,
    })))
}

/// Older or newer than that microsecond, as `next` and `previous` have it.
enum Cursor {
    Older(u128),
    Newer(u128),
}

/// The page's place among the runs, which are sorted.
fn window(runs: &[Arc<Run>], cursor: Option<Cursor>) -> (usize, usize) {
    let newer_than = |at: u128| runs.partition_point(|run| micros(run) > at);
    match cursor {
        None => (0, runs.len().min(PAGE)),
        Some(Cursor::Older(at)) => {
            let from = runs.partition_point(|run| micros(run) >= at);
            (from, runs.len().min(from + PAGE))
        }
        Some(Cursor::Newer(at)) => {
            let to = newer_than(at);
            (to.saturating_sub(PAGE), to)
        }
    }
}

fn micros(run: &Run) -> u128 {
    run.created_at().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros()
}

fn read_cursor(text: &str) -> Result<Cursor> {
    let read = |number: &str| number.parse().ok();
    let cursor = match text.split_once('-') {
        Some(("older", number)) => read(number).map(Cursor::Older),
        Some(("newer", number)) => read(number).map(Cursor::Newer),
        _ => None,
    };
    cursor.ok_or_else(|| wrong("/cursor", "format", "must come from `next` or `previous`"))
}

fn read_time(name: &str, text: Option<&str>) -> Result<Option<SystemTime>> {
    let Some(text) = text else { return Ok(None) };
    let time = parse_time(text);
    let refused = || -> Error { wrong(&format!("/{name}"), "format", "must be an RFC 3339 time") };
    time.map(Some).ok_or_else(refused)
}
