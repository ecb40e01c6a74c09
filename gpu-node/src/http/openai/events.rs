//! Streams of server-sent events as OpenAI's clients read them. Of texts data alone and `[DONE]` at the end, of pictures events with
//! names; an error ends either.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::response::{
    IntoResponse, Response, Sse,
    sse::{Event, KeepAlive},
};
use futures_util::stream;
use serde::Serialize;

use super::errors::describe;
use crate::error::Error;

/// Shorter than the idle time-outs of the proxies in between.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Events that wait to be sent.
#[derive(Default)]
pub(super) struct Outbox {
    events: VecDeque<Event>,
    is_over: bool,
}

impl Outbox {
    /// One chunk.
    pub(super) fn push(&mut self, chunk: &impl Serialize) {
        // The types hold nothing that JSON cannot, so no chunk is ever left out.
        if let Ok(data) = serde_json::to_string(chunk) {
            self.events.push_back(Event::default().data(data));
        }
    }

    /// One event with a name.
    pub(super) fn push_named(&mut self, name: &str, event: &impl Serialize) {
        if let Ok(data) = serde_json::to_string(event) {
            self.events.push_back(Event::default().event(name).data(data));
        }
    }

    /// The end of a stream whose last event says that it is the last.
    pub(super) fn close(&mut self) {
        self.is_over = true;
    }

    /// The end, well.
    pub(super) fn finish(&mut self) {
        self.events.push_back(Event::default().data("[DONE]"));
        self.is_over = true;
    }

    /// The end, badly: headers are long gone, so the error is the last event.
    pub(super) fn fail(&mut self, error: &Error) {
        if let Error::Internal { cause } = error {
            tracing::error!(cause, "a stream broke off");
        }
        self.push(&describe(error).1);
        self.is_over = true;
    }
}

/// Something that goes on step by step and puts chunks into its outbox.
pub(super) trait Streamed: Send + 'static {
    /// What waits to be sent.
    fn outbox(&mut self) -> &mut Outbox;

    /// Waits for more and puts it into the outbox.
    fn advance(&mut self) -> impl Future<Output = ()> + Send;
}

/// The answer that sends it; hanging up drops it.
pub(super) fn respond<S: Streamed>(streamed: S) -> Response {
    let events = stream::unfold(streamed, |mut streamed| async move {
        loop {
            if let Some(event) = streamed.outbox().events.pop_front() {
                return Some((Ok::<_, Infallible>(event), streamed));
            }
            if streamed.outbox().is_over {
                return None;
            }
            streamed.advance().await;
        }
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive");
    Sse::new(events).keep_alive(keep_alive).into_response()
}
