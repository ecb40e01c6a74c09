//! A run and a model in Replicate's words.

use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::node::jobs::{Artifact, NodeEvent};

use super::ids::replicate_id;
use crate::{
    jobs::{Phase, Run, RunView, StopCause},
    registry::Manifest,
};

/// The owner of every model here. Callers may name another: it is the model's name that counts.
pub const OWNER: &str = "chandelle";

/// Texts in inputs that are longer are shortened where many predictions are told.
const LONG_TEXT_BYTES: usize = 1_000;
const LONG_TEXT_HEAD_CHARS: usize = 64;

/// A model's version: 64 hex digits that change with its revision.
pub fn version_of(manifest: &Manifest) -> String {
    let text = format!("{}\n{}", manifest.name, manifest.revision);
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Replicate's name of a run's state.
pub fn status_name(view: &RunView) -> &'static str {
    match view.phase() {
        Phase::Queued => "starting",
        Phase::Running => "processing",
        Phase::Completed => "succeeded",
        Phase::Failed | Phase::TimedOut => "failed",
        Phase::Cancelled if view.stop == Some(StopCause::Deadline) && view.started_at.is_none() => {
            "aborted"
        }
        Phase::Cancelled => "canceled",
    }
}

/// The prediction object, its links below `base`.
pub fn prediction(run: &Run, manifest: Option<&Manifest>, base: &str) -> Value {
    describe(run, &run.view(), manifest, (base, Value::clone))
}

/// The same with long texts of its input shortened, for many of them at once.
pub fn brief_prediction(run: &Run, manifest: Option<&Manifest>, base: &str) -> Value {
    prediction_at(run, &run.view(), manifest, base)
}

/// The brief one as it was at some moment.
pub fn prediction_at(run: &Run, view: &RunView, manifest: Option<&Manifest>, base: &str) -> Value {
    describe(run, view, manifest, (base, shortened))
}

fn describe(
    run: &Run,
    view: &RunView,
    manifest: Option<&Manifest>,
    (base, input_as): (&str, fn(&Value) -> Value),
) -> Value {
    let id = replicate_id(run.order.id);
    let files = files_url(run, base);
    let output: Option<Vec<String>> = artifacts(view)
        .filter(|_| !view.is_data_removed)
        .map(|artifacts| artifacts.iter().map(|artifact| file_url(&files, artifact)).collect());
    let ended = view.phase().is_end();
    let error = match view.phase() {
        Phase::Failed | Phase::TimedOut => {
            Some(view.failure().unwrap_or("the prediction took longer than it was allowed to"))
        }
        _ => None,
    };
    json!({
        "id": id,
        "model": format!("{OWNER}/{}", run.order.model),
        "version": manifest.map(version_of).unwrap_or_default(),
        "status": status_name(view),
        "input": if view.is_data_removed { Value::Null } else { input_of(run, input_as) },
        "output": output,
        "logs": if view.is_data_removed { String::new() } else { logs(view) },
        "error": error,
        "metrics": metrics(view),
        "created_at": calendar(view.created_at),
        "started_at": view.started_at.map(calendar),
        "completed_at": view.ended_at.filter(|_| ended).map(calendar),
        "data_removed": view.is_data_removed,
        "source": "api",
        "urls": {
            "get": format!("{base}/v1/predictions/{id}"),
            "cancel": format!("{base}/v1/predictions/{id}/cancel"),
            "stream": format!("{files}/stream"),
        },
    })
}

/// Where a run's files are, for whoever has the address.
pub fn files_url(run: &Run, base: &str) -> String {
    format!("{base}/v1/files/{}/{:032x}", replicate_id(run.order.id), run.key)
}

/// One result's address.
pub fn file_url(files: &str, artifact: &Artifact) -> String {
    let extension = match artifact.content_type.as_str() {
        "image/jpeg" => "jpg",
        "image/webp" => "webp",
        _ => "png",
    };
    format!("{files}/{}.{extension}", artifact.index)
}

fn artifacts(view: &RunView) -> Option<&[Artifact]> {
    match &view.end {
        Some(NodeEvent::Completed { artifacts, .. }) => Some(artifacts),
        _ => None,
    }
}

/// As the caller wrote it; an order in the node's own words is written out, and one that was refused is not kept.
fn input_of(run: &Run, input_as: fn(&Value) -> Value) -> Value {
    match &run.origin.input {
        Some(input) => input_as(input),
        None if run.was_refused() => Value::Null,
        None => serde_json::to_value(&run.order.image).unwrap_or_default(),
    }
}

/// Pictures in inputs are megabytes of base64, which tell a reader nothing.
fn shortened(value: &Value) -> Value {
    match value {
        Value::String(text) if text.len() > LONG_TEXT_BYTES => {
            let head: String = text.chars().take(LONG_TEXT_HEAD_CHARS).collect();
            format!("{head}… ({} bytes)", text.len()).into()
        }
        Value::Array(items) => items.iter().map(shortened).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), shortened(value))).collect()
        }
        other => other.clone(),
    }
}

fn metrics(view: &RunView) -> Value {
    let Some(ran) = view.ran() else { return json!({}) };
    let total = view.waited().unwrap_or_default() + ran;
    let count = artifacts(view).map(<[Artifact]>::len);
    let mut metrics =
        json!({ "predict_time": ran.as_secs_f64(), "total_time": total.as_secs_f64() });
    if let Some(count) = count {
        metrics["image_count"] = count.into();
    }
    metrics
}

/// What Replicate's own clients read progress from.
pub fn log_line(step: u32, steps: u32) -> String {
    const WIDTH: u32 = 20;
    let steps = steps.max(1);
    let full = (step.min(steps) * WIDTH / steps) as usize;
    let percent = u64::from(step) * 100 / u64::from(steps);
    let bar = format!("{}{}", "█".repeat(full), " ".repeat(WIDTH as usize - full));
    format!("{percent:3}%|{bar}| {step}/{steps}\n")
}

fn logs(view: &RunView) -> String {
    let mut logs: String = view.steps.iter().map(|(step, steps)| log_line(*step, *steps)).collect();
    if let Some(first) = artifacts(view).and_then(<[Artifact]>::first) {
        logs.push_str(&format!("Using seed: {}\n", first.seed));
    }
    logs
}

/// As Replicate writes times.
pub fn calendar(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Reads a time that a caller wrote.
pub fn parse_time(text: &str) -> Option<SystemTime> {
    DateTime::parse_from_rfc3339(text).ok().map(SystemTime::from)
}

/// The model object.
pub fn model(manifest: &Manifest, runs: u64, since: SystemTime, base: &str) -> Value {
    let name = &manifest.name;
    json!({
        "url": format!("{base}/v1/models/{OWNER}/{name}"),
        "owner": OWNER,
        "name": name,
        "description": manifest.description,
        "visibility": "private",
        "github_url": null,
        "paper_url": null,
        "license_url": null,
        "run_count": runs,
        "cover_image_url": null,
        "default_example": null,
        "latest_version": version(manifest, since),
    })
}

/// The version object.
pub fn version(manifest: &Manifest, since: SystemTime) -> Value {
    json!({
        "id": version_of(manifest),
        "created_at": calendar(since),
        // The form of the schema that follows; no Cog is involved.
        "cog_version": "0.14.0",
        "openapi_schema": schema(),
    })
}

fn schema() -> Value {
    let (text, whole) = (json!({ "type": "string" }), json!({ "type": "integer" }));
    let number = json!({ "type": "number" });
    json!({
        "openapi": "3.0.2",
        "info": { "title": "Chandelle", "version": env!("CARGO_PKG_VERSION") },
        "paths": {},
        "components": { "schemas": {
            "Input": {
                "type": "object",
                "title": "Input",
                "required": ["prompt"],
                "properties": {
                    "prompt": text, "negative_prompt": text, "width": whole, "height": whole,
                    "num_inference_steps": whole, "guidance_scale": number, "seed": whole,
                    "scheduler": text, "num_outputs": whole, "output_format": text,
                    "output_quality": whole, "prompt_strength": number,
                    "image": { "type": "string", "format": "uri" },
                },
            },
            "Output": {
                "type": "array",
                "title": "Output",
                "items": { "type": "string", "format": "uri" },
            },
        } },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_written_as_the_clients_read_it() {
        assert_eq!(log_line(1, 4), format!(" 25%|{}{}| 1/4\n", "█".repeat(5), " ".repeat(15)));
        assert_eq!(log_line(4, 4), format!("100%|{}| 4/4\n", "█".repeat(20)));
    }

    #[test]
    fn a_time_is_read_back_as_it_was_written() {
        let time = parse_time("2026-11-21T10:00:00.123456Z").unwrap();
        assert_eq!(calendar(time), "2026-11-21T10:00:00.123456Z");
        assert_eq!(parse_time("yesterday"), None);
    }
}
