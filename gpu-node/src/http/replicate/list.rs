//! `GET /v1/predictions`: every job of the node, a hundred at a time, the newest first, the long texts of their inputs shortened.

use std::{
    ops::Range,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{Json, extract::State};
use serde_json::{Value, json};
use shared::ids::JobId;

use super::handlers::wrong;
use crate::{
    dialects::{
        ids::{parse_id, replicate_id},
        replicate::{brief_prediction, calendar, parse_time},
    },
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
    let places: Vec<Place> = runs.iter().map(|run| place(run)).collect();
    let Range { start: from, end: to } = window(&places, cursor);
    let link = |word: &str, run: Option<&Arc<Run>>| {
        let (nanos, id) = place(run?);
        let mut link = format!("{base}/v1/predictions?cursor={word}-{nanos}-{}", replicate_id(id));
        for (name, time) in [("created_after", after), ("created_before", before)] {
            if let Some(time) = time {
                link.push_str(&format!("&{name}={}", calendar(time)));
            }
        }
        Some(link)
    };
    let page = &runs[from..to];
    let describe = |run: &Arc<Run>| {
        let model = state.jobs.catalog.find(&run.order.model);
        brief_prediction(run, model.map(|model| &model.manifest), &base)
    };
    let results: Vec<Value> = page.iter().map(describe).collect();
    Ok(Json(json!({
        "next": link("older", page.last().filter(|_| to < runs.len())),
        "previous": link("newer", page.first().filter(|_| from > 0)),
        "results": results,
    })))
}

/// When a run was ordered, in nanoseconds, and its id: two that were ordered at once are told apart.
type Place = (u128, JobId);

/// Older or newer than that run, as `next` and `previous` have it.
enum Cursor {
    Older(Place),
    Newer(Place),
}

/// The page among places that are sorted, the newest first.
fn window(places: &[Place], cursor: Option<Cursor>) -> Range<usize> {
    match cursor {
        None => 0..places.len().min(PAGE),
        Some(Cursor::Older(place)) => {
            let from = places.partition_point(|other| *other >= place);
            from..places.len().min(from + PAGE)
        }
        Some(Cursor::Newer(place)) => {
            let to = places.partition_point(|other| *other > place);
            to.saturating_sub(PAGE)..to
        }
    }
}

fn place(run: &Run) -> Place {
    let since = run.created_at().duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_nanos(), run.order.id)
}

fn read_cursor(text: &str) -> Result<Cursor> {
    let read = |place: &str| {
        let (nanos, id) = place.split_once('-')?;
        Some((nanos.parse().ok()?, parse_id(id)?))
    };
    let cursor = match text.split_once('-') {
        Some(("older", place)) => read(place).map(Cursor::Older),
        Some(("newer", place)) => read(place).map(Cursor::Newer),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of a burst: ordered at one moment, the highest id first.
    fn burst(count: u8) -> Vec<Place> {
        (0..count).rev().map(|number| (7, JobId::from_random([number; 16]))).collect()
    }

    #[test]
    fn a_burst_is_on_its_pages_once_each() {
        let places = burst(250);
        let mut seen = window(&places, None);
        for _ in 0..2 {
            let next = window(&places, Some(Cursor::Older(places[seen.end - 1])));
            assert_eq!(next.start, seen.end, "nothing is skipped");
            assert_eq!(window(&places, Some(Cursor::Newer(places[next.start]))), seen);
            seen = next;
        }
        assert_eq!(seen, 200..250);
    }
}
