//! The log: what `tracing` is told becomes lines of JSON on the runtime's console.

use std::fmt::Debug;

use serde_json::{Map, Value};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use worker::{console_error, console_log, console_warn};

/// What is less urgent isn't written.
const LEVEL: Level = Level::INFO;

/// Writes events; spans are not kept.
struct Console;

/// Makes the console the log of this isolate.
pub fn install() {
    // It can only fail where there is a log already.
    drop(tracing::subscriber::set_global_default(Console));
    std::panic::set_hook(Box::new(|info| {
        console_error!("{{\"level\":\"panic\",\"message\":{:?}}}", info.to_string())
    }));
}

impl Subscriber for Console {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match self.enabled(metadata) {
            true => Interest::always(),
            false => Interest::never(),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= LEVEL && metadata.is_event()
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(Map::new());
        let level = *event.metadata().level();
        line.0.insert("level".to_owned(), level.as_str().to_lowercase().into());
        line.0.insert("target".to_owned(), event.metadata().target().into());
        event.record(&mut line);
        let line = Value::Object(line.0);
        match level {
            Level::ERROR => console_error!("{line}"),
            Level::WARN => console_warn!("{line}"),
            _ => console_log!("{line}"),
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line(Map<String, Value>);

impl Line {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }
}
