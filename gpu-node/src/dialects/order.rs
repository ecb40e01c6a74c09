//! The bodies that order a job: RunPod's `run` and `runsync`, Replicate's predictions.

use std::{str::FromStr, time::Duration};

use serde_json::{Map, Value};
use shared::validate::{Fields, FromBody};

use crate::jobs::{CallbackEvents, Patience};

const WEBHOOK_MAX_CHARS: usize = 2_048;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const EXECUTION_TIMEOUT_MS: u64 = 600_000;

/// The body of `run` and `runsync`.
#[derive(Debug, Clone, PartialEq)]
pub struct RunPodOrder {
    /// What is in it is the model's business: anything but an object is a job that fails.
    pub input: Value,
    pub webhook: Option<String>,
    pub patience: Patience,
}

impl FromBody for RunPodOrder {
    fn from_fields(fields: &mut Fields<'_>) -> Self {
        let input = fields.value("input").cloned();
        if input.is_none() {
            fields.reject("input", "missing", "is required");
        }
        let webhook = fields.optional_text("webhook", WEBHOOK_MAX_CHARS);
        let webhook_v2 = fields.optional_text("webhookV2", WEBHOOK_MAX_CHARS);
        if fields.value("s3Config").is_some() {
            let rule = "is not supported: this node holds no keys; fetch results from it";
            fields.reject("s3Config", "unsupported", rule);
        }
        let policy = fields.value("policy").is_some().then(|| fields.object::<Policy>("policy"));
        Self {
            input: input.unwrap_or_default(),
            webhook: webhook.or(webhook_v2),
            patience: policy.flatten().unwrap_or_default().patience(),
        }
    }
}

#[derive(Default)]
struct Policy {
    execution_timeout_ms: Option<u64>,
    ttl_ms: Option<u64>,
}

impl Policy {
    fn patience(&self) -> Patience {
        let run = self.execution_timeout_ms.unwrap_or(EXECUTION_TIMEOUT_MS);
        let total = self.ttl_ms.unwrap_or(DAY_MS);
        Patience {
            run: Some(Duration::from_millis(run)),
            total: Some(Duration::from_millis(total)),
        }
    }
}

impl FromBody for Policy {
    fn from_fields(fields: &mut Fields<'_>) -> Self {
        // It keeps RunPod from starting more workers for the job; one node never does.
        fields.optional_flag("lowPriority");
        Self {
            execution_timeout_ms: fields.optional_integer("executionTimeout", 5_000, 7 * DAY_MS),
            ttl_ms: fields.optional_integer("ttl", 10_000, 7 * DAY_MS),
        }
    }
}

/// The body that creates a prediction, whatever the route.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplicateOrder {
    /// Where the route does not name the model.
    pub version: Option<String>,
    pub input: Map<String, Value>,
    pub webhook: Option<(String, CallbackEvents)>,
}

impl FromBody for ReplicateOrder {
    fn from_fields(fields: &mut Fields<'_>) -> Self {
        let version = fields.optional_text("version", 300);
        let input = fields.members("input", 100);
        let webhook = fields.optional_text("webhook", WEBHOOK_MAX_CHARS);
        let completed = fields.optional_text("webhook_completed", WEBHOOK_MAX_CHARS);
        let rule = "must be start, output, logs or completed";
        let chosen: Vec<CallbackEvent> =
            fields.optional_choices("webhook_events_filter", (0, 4), rule);
        // Every prediction can be streamed, asked or not.
        fields.optional_flag("stream");
        let webhook = webhook.map(|url| (url, events_of(&chosen)));
        let only_the_end = CallbackEvents { completed: true, ..CallbackEvents::default() };
        Self { version, input, webhook: webhook.or(completed.map(|url| (url, only_the_end))) }
    }
}

/// What a webhook tells of unless the order says otherwise: new output, and the end.
fn events_of(chosen: &[CallbackEvent]) -> CallbackEvents {
    let has = |event| chosen.contains(&event);
    match chosen {
        [] => CallbackEvents { output: true, completed: true, ..CallbackEvents::default() },
        _ => CallbackEvents {
            start: has(CallbackEvent::Start),
            output: has(CallbackEvent::Output),
            logs: has(CallbackEvent::Logs),
            completed: has(CallbackEvent::Completed),
        },
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallbackEvent {
    Start,
    Output,
    Logs,
    Completed,
}

impl FromStr for CallbackEvent {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "start" => Ok(Self::Start),
            "output" => Ok(Self::Output),
            "logs" => Ok(Self::Logs),
            "completed" => Ok(Self::Completed),
            _ => Err(()),
        }
    }
}

/// `90s`, `1m`, `1h30m`: between 5 seconds and a day.
pub fn parse_cancel_after(text: &str) -> Option<Duration> {
    let (mut seconds, mut digits) = (0_u64, String::new());
    for letter in text.trim().chars() {
        let unit = match letter {
            '0'..='9' if digits.len() < 6 => {
                digits.push(letter);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3600,
            _ => return None,
        };
        seconds += digits.parse::<u64>().ok()? * unit;
        digits.clear();
    }
    // A bare number is one of seconds.
    if !digits.is_empty() {
        seconds += digits.parse::<u64>().ok()?;
    }
    (5..=86_400).contains(&seconds).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::validate::parse_body;

    use super::*;

    fn wrong_fields<T: FromBody>(body: Value) -> Vec<String> {
        let errors = parse_body::<T>(&body).err().unwrap_or_default();
        errors.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn a_policy_has_runpods_defaults_and_ranges() {
        let patience = |body| parse_body::<RunPodOrder>(&body).unwrap().patience;
        let minutes = |count: u64| Some(Duration::from_secs(count * 60));
        let defaults = Patience { run: minutes(10), total: minutes(24 * 60) };
        assert_eq!(patience(json!({ "input": {} })), defaults);
        assert_eq!(patience(json!({ "input": {}, "policy": { "lowPriority": true } })), defaults);
        let body = json!({ "input": {}, "policy": { "executionTimeout": 60000, "ttl": 120000 } });
        assert_eq!(patience(body), Patience { run: minutes(1), total: minutes(2) });
        for policy in [
            json!({ "executionTimeout": 4999 }),
            json!({ "executionTimeout": 604_800_001 }),
            json!({ "ttl": 9999 }),
            json!({ "ttl": 604_800_001 }),
            json!({ "lowPriority": 1 }),
            json!({ "retries": 1 }),
        ] {
            let wrong = wrong_fields::<RunPodOrder>(json!({ "input": {}, "policy": policy }));
            assert_eq!(wrong.len(), 1, "{policy}");
        }
    }

    #[test]
    fn the_nodes_refusals_are_named() {
        let body = json!({ "s3Config": { "accessId": "a" }, "prompt": "x" });
        assert_eq!(wrong_fields::<RunPodOrder>(body), ["/input", "/s3Config", "/prompt"]);
        let body = json!({ "input": 7, "webhook_events_filter": ["ended"] });
        assert_eq!(wrong_fields::<ReplicateOrder>(body), ["/input", "/webhook_events_filter/0"]);
    }

    #[test]
    fn a_webhook_without_a_filter_hears_of_output_and_the_end() {
        let events = |body| parse_body::<ReplicateOrder>(&body).unwrap().webhook.unwrap().1;
        let (url, none) = ("https://example.com", CallbackEvents::default());
        assert_eq!(
            events(json!({ "input": {}, "webhook": url })),
            CallbackEvents { output: true, completed: true, ..none }
        );
        assert_eq!(
            events(json!({ "input": {}, "webhook": url, "webhook_events_filter": ["start"] })),
            CallbackEvents { start: true, ..none }
        );
        assert_eq!(
            events(json!({ "input": {}, "webhook_completed": url })),
            CallbackEvents { completed: true, ..none }
        );
    }

    #[test]
    fn a_deadline_is_read_in_hours_minutes_and_seconds() {
        let seconds = |text| parse_cancel_after(text).map(|duration| duration.as_secs());
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("1m"), Some(60));
        assert_eq!(seconds("1h30m10s"), Some(5410));
        assert_eq!(seconds("30"), Some(30));
        for text in ["", "4s", "25h", "soon", "m", "-5s", "99999999s"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
