//! `GET /api/metrics`: numbers for Prometheus, read when asked for. The edge itself counts nothing: it has no memory.

use std::fmt::Write;

use axum::http::{HeaderName, header};

use crate::{
    error::Result,
    http::{
        extract::{MetricsReader, State},
        routes::Routes,
    },
    ports::{fleet::NodeState, text::TextTotals},
    routes,
};

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Before the statuses of outbox rows in what the store counts.
const OUTBOX_PREFIX: &str = "outbox_";
/// And before the names of counters.
const COUNTER_PREFIX: &str = "counter_";

/// Counters of the database and their metrics.
const COUNTERS: [(&str, &str, &str); 2] = [
    (
        "counter_accounts_corrected",
        "chandelle_accounts_corrected_total",
        "Accounts that had drifted from the ledger.",
    ),
    (
        "counter_files_removed",
        "chandelle_files_removed_total",
        "Files without a row that were removed.",
    ),
];

pub fn routes() -> Routes {
    routes![read_metrics]
}

/// Read the numbers of jobs, texts, outbox messages and nodes, in Prometheus' text format.
#[utoipa::path(get, path = "/api/metrics", tag = "operations", responses(
    (status = 200, body = String, content_type = "text/plain"),
    (status = "4XX", body = shared::errors::ErrorBody, content_type = "application/problem+json"),
))]
pub async fn read_metrics(
    State(state): State,
    _reader: MetricsReader,
) -> Result<([(HeaderName, &'static str); 1], String)> {
    let counts = state.jobs.counts().await?;
    let nodes = state.fleet.list().await?;
    let totals = state.texts.totals().await?;
    let text = metrics_text(&counts, &nodes) + &texts_text(&totals);
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text))
}

/// The AI service: what it wrote, from where, and how long that took.
fn texts_text(totals: &[TextTotals]) -> String {
    let mut text = String::new();
    counter(&mut text, "chandelle_texts_total", "Texts by kind, end and state of the cache.");
    for total in totals {
        let TextTotals { kind, status, cached, .. } = total;
        let labels = [("kind", kind), ("status", status), ("cache", cached)];
        let labels = labels.map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
        let name = format!("chandelle_texts_total{{{}}}", labels.join(","));
        sample(&mut text, &name, total.runs);
    }
    let sum = |of: fn(&TextTotals) -> u64| totals.iter().map(of).sum::<u64>();
    let written = |of: fn(&TextTotals) -> u64| {
        totals.iter().filter(|total| total.cached == "miss").map(of).sum::<u64>()
    };
    let counters = [
        ("chandelle_text_prompt_tokens_total", "Tokens read.", sum(|t| t.prompt_tokens)),
        ("chandelle_text_completion_tokens_total", "Tokens written.", sum(|t| t.completion_tokens)),
        ("chandelle_text_switches_total", "Nodes left for another one.", sum(|t| t.switches)),
        ("chandelle_text_written_total", "Texts that a node wrote.", written(|t| t.runs)),
        (
            "chandelle_text_first_token_ms_total",
            "Milliseconds to first words, of texts that a node wrote.",
            written(|t| t.first_token_ms),
        ),
        (
            "chandelle_text_duration_ms_total",
            "Milliseconds of texts that a node wrote.",
            written(|t| t.duration_ms),
        ),
    ];
    for (name, help, value) in counters {
        counter(&mut text, name, help);
        sample(&mut text, name, value);
    }
    text
}

fn metrics_text(counts: &[(String, u64)], nodes: &[NodeState]) -> String {
    let mut text = String::new();
    let is_outbox = |name: &str| name.starts_with(OUTBOX_PREFIX);
    family(&mut text, "chandelle_jobs", "gauge", "Jobs by status.");
    let is_counter = |name: &str| name.starts_with(COUNTER_PREFIX);
    for (status, count) in counts.iter().filter(|(name, _)| !is_outbox(name) && !is_counter(name)) {
        sample(&mut text, &format!("chandelle_jobs{{status=\"{}\"}}", escaped(status)), *count);
    }
    family(&mut text, "chandelle_outbox_messages", "gauge", "Messages to third parties by status.");
    for (name, count) in counts.iter().filter(|(name, _)| is_outbox(name)) {
        let status = escaped(name.trim_start_matches(OUTBOX_PREFIX));
        sample(&mut text, &format!("chandelle_outbox_messages{{status=\"{status}\"}}"), *count);
    }
    let healthy = nodes.iter().filter(|node| node.is_healthy);
    let sum = |of: fn(&NodeState) -> u32| nodes.iter().map(|node| u64::from(of(node))).sum::<u64>();
    let gauges = [
        ("chandelle_nodes_healthy", "Nodes that take work.", healthy.count() as u64),
        ("chandelle_nodes_total", "Nodes that are known.", nodes.len() as u64),
        ("chandelle_nodes_running", "Runs under way on all nodes.", sum(|node| node.running)),
        ("chandelle_nodes_queued", "Runs waiting on all nodes.", sum(|node| node.queued)),
        ("chandelle_nodes_texts", "Texts under way on all nodes.", sum(|node| node.texts)),
    ];
    for (name, help, value) in gauges {
        family(&mut text, name, "gauge", help);
        sample(&mut text, name, value);
    }
    for (counted, name, help) in COUNTERS {
        let value = counts.iter().find(|(name, _)| name == counted).map_or(0, |(_, value)| *value);
        family(&mut text, name, "counter", help);
        sample(&mut text, name, value);
    }
    text
}

fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string can't fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn counter(text: &mut String, name: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
}

fn sample(text: &mut String, name: &str, value: u64) {
    let _ = writeln!(text, "{name} {value}");
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
