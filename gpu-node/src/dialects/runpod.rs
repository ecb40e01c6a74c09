//! A run in RunPod's words.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use shared::node::jobs::NodeEvent;

use super::ids::runpod_id;
use crate::jobs::{Jobs, Phase, Run, RunView, StoredArtifact};

/// RunPod's own bound for one chunk of a stream.
const CHUNK_MAX_BYTES: usize = 1 << 20;

/// RunPod's name of a phase.
pub fn status_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Queued => "IN_QUEUE",
        Phase::Running => "IN_PROGRESS",
        Phase::Completed => "COMPLETED",
        Phase::Failed => "FAILED",
        Phase::Cancelled => "CANCELLED",
        Phase::TimedOut => "TIMED_OUT",
    }
}

/// What `run` and `cancel` answer: the id, the status, and the times that are known.
pub fn brief(run: &Run, view: &RunView) -> Map<String, Value> {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| {
        body.insert(name.to_owned(), value);
    };
    if let Some(waited) = view.waited() {
        put("delayTime", whole_ms(waited));
    }
    if let Some(ran) = view.ran() {
        put("executionTime", whole_ms(ran));
    }
    put("id", runpod_id(run).into());
    put("status", status_name(view.phase()).into());
    body
}

/// The body of `status`, of `runsync` and of a webhook.
pub fn status_body(jobs: &Jobs, run: &Run) -> Value {
    let view = run.view();
    let mut body = brief(run, &view);
    match view.phase() {
        Phase::Completed => {
            body.insert("output".to_owned(), output(&jobs.fetch_artifacts(run), &view));
        }
        Phase::Running => {
            if let Some((step, steps)) = view.steps.last() {
                body.insert("output".to_owned(), progress(*step, *steps));
            }
        }
        Phase::Failed | Phase::TimedOut => {
            let error = view.failure().unwrap_or("the job took longer than it was allowed to");
            body.insert("error".to_owned(), error.into());
        }
        Phase::Queued | Phase::Cancelled => {}
    }
    Value::Object(body)
}

/// The body of `stream`. A cancelled job is one that failed there: RunPod's Python client knows no other end of a
/// stream, and would ask for ever.
pub fn stream_body(jobs: &Jobs, run: &Run) -> Value {
    let (view, news) = (run.view(), run.take_news());
    let chunks: Vec<Value> = news.iter().flat_map(|event| chunks_of(jobs, run, event)).collect();
    let chunks: Vec<Value> = chunks.into_iter().map(|chunk| json!({ "output": chunk })).collect();
    let status = match view.phase() {
        Phase::Cancelled => "FAILED",
        phase => status_name(phase),
    };
    json!({ "status": status, "stream": chunks })
}

fn chunks_of(jobs: &Jobs, run: &Run, event: &NodeEvent) -> Vec<Value> {
    match event {
        NodeEvent::Progress { step, steps } => vec![progress(*step, *steps)],
        NodeEvent::Preview { index, step, jpeg } => {
            let preview = format!("data:image/jpeg;base64,{jpeg}");
            vec![json!({ "preview": preview, "index": index, "step": step })]
        }
        NodeEvent::Completed { .. } => {
            jobs.fetch_artifacts(run).iter().map(picture_chunk).collect()
        }
        NodeEvent::Queued { .. }
        | NodeEvent::Started
        | NodeEvent::Failed { .. }
        | NodeEvent::Cancelled => Vec::new(),
    }
}

/// A picture that no chunk can hold is announced: `status` has it.
fn picture_chunk(stored: &StoredArtifact) -> Value {
    let (index, seed) = (stored.artifact.index, stored.artifact.seed);
    match data_url(stored) {
        url if url.len() < CHUNK_MAX_BYTES => {
            json!({ "image": url, "index": index, "seed": seed })
        }
        _ => json!({ "image": null, "bytes": stored.artifact.bytes, "index": index, "seed": seed }),
    }
}

fn progress(step: u32, steps: u32) -> Value {
    let percent = u64::from(step) * 100 / u64::from(steps.max(1));
    json!({ "progress": percent, "step": step, "steps": steps })
}

fn output(stored: &[StoredArtifact], view: &RunView) -> Value {
    let seeds: Vec<u64> = stored.iter().map(|stored| stored.artifact.seed).collect();
    let images: Vec<String> = stored.iter().map(data_url).collect();
    let first = stored.first().map(|stored| &stored.artifact);
    let mut output = json!({
        "images": images,
        "seed": seeds.first(),
        "seeds": seeds,
        "width": first.map(|artifact| artifact.width),
        "height": first.map(|artifact| artifact.height),
    });
    if let Some(NodeEvent::Completed { model, model_revision, .. }) = &view.end {
        output["model"] = model.as_str().into();
        output["model_revision"] = model_revision.as_str().into();
    }
    output
}

fn data_url(stored: &StoredArtifact) -> String {
    format!("data:{};base64,{}", stored.artifact.content_type, STANDARD.encode(&stored.bytes))
}

fn whole_ms(duration: std::time::Duration) -> Value {
    (duration.as_millis() as u64).into()
}
