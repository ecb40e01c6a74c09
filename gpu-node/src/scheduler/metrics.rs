//! The node's numbers for Prometheus: jobs, queues, durations, requests, memory.

use std::{fmt, time::Duration};

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::engines::text::batching::StepFigures;

type Labels<const N: usize> = [(&'static str, String); N];

/// The media type of what [`Metrics::render`] gives.
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Every metric of one node.
pub struct Metrics {
    registry: Registry,
    jobs: Family<Labels<2>, Counter>,
    waiting: Family<Labels<1>, Gauge>,
    running: Family<Labels<1>, Gauge>,
    loaded: Family<Labels<1>, Gauge>,
    run_seconds: Family<Labels<1>, Histogram>,
    load_seconds: Family<Labels<1>, Histogram>,
    step_seconds: Family<Labels<1>, Histogram>,
    first_token_seconds: Family<Labels<1>, Histogram>,
    text_tokens: Family<Labels<2>, Counter>,
    preemptions: Family<Labels<1>, Counter>,
    sequences: Family<Labels<1>, Gauge>,
    cache_blocks: Family<Labels<2>, Gauge>,
    requests: Family<Labels<3>, Counter>,
    artifact_bytes: Gauge,
    resident_bytes: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("chandelle_node");
        // From 50 ms (a tiny model on a card) to half an hour (a video on a CPU).
        let seconds =
            || Histogram::new([0.05, 0.1, 0.25, 0.5, 1., 2.5, 5., 10., 30., 60., 300., 1800.]);
        // From 1 ms (one token of a small model on a card) on.
        let short_seconds = || {
            Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1., 2.5, 10.])
        };
        let metrics = Self {
            jobs: Family::default(),
            waiting: Family::default(),
            running: Family::default(),
            loaded: Family::default(),
            run_seconds: Family::new_with_constructor(seconds),
            load_seconds: Family::new_with_constructor(seconds),
            step_seconds: Family::new_with_constructor(short_seconds),
            first_token_seconds: Family::new_with_constructor(short_seconds),
            text_tokens: Family::default(),
            preemptions: Family::default(),
            sequences: Family::default(),
            cache_blocks: Family::default(),
            requests: Family::default(),
            artifact_bytes: Gauge::default(),
            resident_bytes: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register("jobs", "Jobs that ended, by outcome", metrics.jobs.clone());
        registry.register("queue_depth", "Jobs that wait for their lane", metrics.waiting.clone());
        registry.register("jobs_running", "Jobs that run now", metrics.running.clone());
        registry.register("model_loaded", "1 when the model is in memory", metrics.loaded.clone());
        let (run, load) = (metrics.run_seconds.clone(), metrics.load_seconds.clone());
        registry.register_with_unit("run", "Time the engine took", Unit::Seconds, run);
        registry.register_with_unit("load", "Time loading a model took", Unit::Seconds, load);
        let (step, first) = (metrics.step_seconds.clone(), metrics.first_token_seconds.clone());
        registry.register_with_unit("text_step", "Time one pass took", Unit::Seconds, step);
        registry.register_with_unit(
            "text_first_token",
            "From order to answer",
            Unit::Seconds,
            first,
        );
        registry.register("text_tokens", "Tokens, by what was done", metrics.text_tokens.clone());
        let preemptions = metrics.preemptions.clone();
        registry.register("text_preemptions", "Sequences sent out for their blocks", preemptions);
        registry.register("text_sequences", "Sequences under way", metrics.sequences.clone());
        let cache_blocks = metrics.cache_blocks.clone();
        registry.register("text_cache_blocks", "Blocks of keys and values", cache_blocks);
        registry.register("http_requests", "Requests answered", metrics.requests.clone());
        let (artifacts, resident) =
            (metrics.artifact_bytes.clone(), metrics.resident_bytes.clone());
        registry.register_with_unit(
            "artifacts",
            "Results kept to be fetched",
            Unit::Bytes,
            artifacts,
        );
        registry.register_with_unit(
            "resident_memory",
            "Memory of the process",
            Unit::Bytes,
            resident,
        );
        Self { registry, ..metrics }
    }
}

impl Metrics {
    pub(super) fn job_ended(&self, model: &str, outcome: &str) {
        let labels = [("model", model.to_owned()), ("outcome", outcome.to_owned())];
        self.jobs.get_or_create(&labels).inc();
    }

    pub(super) fn set_queue(&self, model: &str, waiting: usize, running: usize) {
        let labels = [("model", model.to_owned())];
        self.waiting.get_or_create(&labels).set(waiting as i64);
        self.running.get_or_create(&labels).set(running as i64);
    }

    pub(super) fn set_loaded(&self, model: &str, is_loaded: bool) {
        self.loaded.get_or_create(&[("model", model.to_owned())]).set(is_loaded.into());
    }

    pub(super) fn observe_run(&self, model: &str, took: Duration) {
        self.run_seconds.get_or_create(&[("model", model.to_owned())]).observe(took.as_secs_f64());
    }

    pub(super) fn observe_load(&self, model: &str, took: Duration) {
        self.load_seconds.get_or_create(&[("model", model.to_owned())]).observe(took.as_secs_f64());
    }

    /// One pass of a text model.
    pub(super) fn observe_step(&self, model: &str, took: Duration, figures: &StepFigures) {
        let labels = [("model", model.to_owned())];
        self.step_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        self.preemptions.get_or_create(&labels).inc_by(figures.preempted as u64);
        for (kind, count) in [
            ("read", figures.read_tokens),
            ("cached", figures.cached_tokens),
            ("written", figures.written_tokens),
            ("guessed", figures.guessed_tokens),
            ("accepted", figures.accepted_tokens),
        ] {
            let labels = [("model", model.to_owned()), ("kind", kind.to_owned())];
            self.text_tokens.get_or_create(&labels).inc_by(count as u64);
        }
    }

    /// From a text order's arrival until its first words.
    pub(super) fn observe_first_token(&self, model: &str, took: Duration) {
        let labels = [("model", model.to_owned())];
        self.first_token_seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// What a text model has under way, and how many blocks of its cache that takes.
    pub(super) fn set_batch(&self, model: &str, sequences: usize, (used, all): (usize, usize)) {
        self.sequences.get_or_create(&[("model", model.to_owned())]).set(sequences as i64);
        for (state, count) in [("used", used), ("free", all - used)] {
            let labels = [("model", model.to_owned()), ("state", state.to_owned())];
            self.cache_blocks.get_or_create(&labels).set(count as i64);
        }
    }

    /// `route` is the pattern, never the path: a label per job id would grow without end.
    pub fn request_answered(&self, method: &str, route: &str, status: u16) {
        let labels = [
            ("method", method.to_owned()),
            ("route", route.to_owned()),
            ("status", status.to_string()),
        ];
        self.requests.get_or_create(&labels).inc();
    }

    /// How many bytes of results are kept.
    pub fn set_artifact_bytes(&self, bytes: u64) {
        self.artifact_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Everything, as Prometheus reads it.
    pub fn render(&self) -> Result<String, fmt::Error> {
        if let Some(bytes) = resident_bytes() {
            self.resident_bytes.set(bytes);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// The process's memory as Linux counts it; elsewhere the gauge stays 0.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_what_happened_with_its_labels() {
        let metrics = Metrics::default();
        metrics.job_ended("tiny", "completed");
        metrics.set_queue("tiny", 3, 1);
        metrics.observe_run("tiny", Duration::from_millis(300));
        metrics.request_answered("POST", "/v1/jobs", 201);
        let text = metrics.render().unwrap();
        for line in [
            r#"chandelle_node_jobs_total{model="tiny",outcome="completed"} 1"#,
            r#"chandelle_node_queue_depth{model="tiny"} 3"#,
            r#"chandelle_node_run_seconds_bucket{le="0.5",model="tiny"} 1"#,
            r#"chandelle_node_http_requests_total{method="POST",route="/v1/jobs",status="201"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
