//! Following a run: what happened, then what happens, up to its end.

use std::sync::Arc;

use futures_util::{Stream, stream};
use tokio::sync::watch;

use super::run::{NumberedEvent, Run};

impl Run {
    /// Every event after `last_seen`, those to come included, up to the one that ends the run.
    pub fn follow(self: Arc<Self>, last_seen: Option<u64>) -> impl Stream<Item = NumberedEvent> {
        // A number this log never gave comes from before a restart of the node: everything is new to that follower.
        let next = last_seen
            .filter(|number| *number < self.next_number())
            .map_or(self.first_number, |number| number + 1)
            .max(self.first_number);
        let changed = self.changes();
        let position = Position { run: self, next, changed, ready: Vec::new().into_iter() };
        stream::unfold(position, |mut position| async {
            let event = position.next_event().await?;
            Some((event, position))
        })
    }
}

struct Position {
    run: Arc<Run>,
    next: u64,
    changed: watch::Receiver<()>,
    ready: std::vec::IntoIter<NumberedEvent>,
}

impl Position {
    async fn next_event(&mut self) -> Option<NumberedEvent> {
        loop {
            if let Some((number, event)) = self.ready.next() {
                self.next = number + 1;
                return Some((number, event));
            }
            // Seen before reading the log, so that an event pushed meanwhile wakes us again.
            self.changed.borrow_and_update();
            let has_ended = self.run.ended_at().is_some();
            let events = self.run.events_from(self.next);
            if events.is_empty() {
                if has_ended {
                    return None;
                }
                self.changed.changed().await.ok()?;
            }
            self.ready = events.into_iter();
        }
    }
}
