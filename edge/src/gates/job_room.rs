//! One job's room: numbered events, replay from a number, and nothing after the end.

use serde::{Deserialize, Serialize};
use shared::api::jobs::JobEvent;

/// Events kept for replay: the steps of the longest run twice over.
const EVENTS_MAX: usize = 400;

/// A room outlives its end by this, for clients that come back late.
pub const KEPT_AFTER_END_MS: u64 = 60 * 60 * 1000;

/// A room in which nothing happens is given up after this.
pub const KEPT_IDLE_MS: u64 = 24 * 60 * 60 * 1000;

/// A call to the object of one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum RoomCall {
    Publish { event: JobEvent },
    Watch { last_event_id: Option<u64>, present: JobEvent },
    WaitForEnd { timeout_ms: u64 },
}

/// An event and its number in the room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    pub number: u64,
    pub event: JobEvent,
}

/// What a new watcher gets first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// These, then whatever comes.
    Live(Vec<Message>),
    /// These, and that was all.
    Complete(Vec<Message>),
    /// It has seen the end already.
    NothingLeft,
}

/// An event as a watcher gets it; a snapshot of an empty room has no number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub number: Option<u64>,
    pub event: JobEvent,
}

/// The events of one job, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomGate {
    events: Vec<Numbered>,
}

impl RoomGate {
    /// The room as it was stored.
    pub fn from_stored(mut events: Vec<Numbered>) -> Self {
        events.sort_by_key(|numbered| numbered.number);
        Self { events }
    }

    /// Takes an event; `None` when the room has ended or nothing is new about it.
    pub fn publish(&mut self, mut event: JobEvent) -> Option<Numbered> {
        let last = self.events.last();
        // A second run starts from the row, which hears of progress less often than the room does.
        event.progress =
            last.map_or(event.progress, |last| event.progress.max(last.event.progress));
        if last.is_some_and(|last| last.event.status.is_end() || last.event == event) {
            return None;
        }
        let number = last.map_or(1, |last| last.number.saturating_add(1));
        let numbered = Numbered { number, event };
        self.events.push(numbered.clone());
        let too_many = self.events.len().saturating_sub(EVENTS_MAX);
        self.events.drain(..too_many);
        Some(numbered)
    }

    /// The end event, once there is one.
    pub fn end(&self) -> Option<&JobEvent> {
        self.events.last().map(|last| &last.event).filter(|event| event.status.is_end())
    }

    /// Whether the row knows of an end that never reached the room.
    pub fn misses_end(&self, present: &JobEvent) -> bool {
        present.status.is_end() && !self.events.is_empty() && self.end().is_none()
    }

    /// What a watcher gets that has seen everything up to `last_event_id`.
    pub fn open(&self, last_event_id: Option<u64>, present: JobEvent) -> Opening {
        let Some(last) = self.events.last() else {
            let is_end = present.status.is_end();
            let snapshot = vec![Message { number: None, event: present }];
            return if is_end { Opening::Complete(snapshot) } else { Opening::Live(snapshot) };
        };
        let is_ended = last.event.status.is_end();
        // A greater number than the last stems from a room that was given up since: start over.
        let seen = last_event_id.filter(|seen| *seen <= last.number).unwrap_or(0);
        if is_ended && seen == last.number {
            return Opening::NothingLeft;
        }
        let unseen = self
            .events
            .iter()
            .filter(|numbered| numbered.number > seen)
            .map(|numbered| Message::from(numbered.clone()))
            .collect();
        if is_ended { Opening::Complete(unseen) } else { Opening::Live(unseen) }
    }
}

impl From<Numbered> for Message {
    fn from(numbered: Numbered) -> Self {
        Self { number: Some(numbered.number), event: numbered.event }
    }
}

impl Message {
    /// As the wire has it (server-sent events).
    pub fn to_sse(&self) -> String {
        let data = serde_json::to_string(&self.event).unwrap_or_default();
        let id = self.number.map(|number| format!("id: {number}\n")).unwrap_or_default();
        format!("{id}event: {}\ndata: {data}\n\n", self.event.status)
    }
}

#[cfg(test)]
mod tests {
    use shared::{api::jobs::JobStatus, ids::JobId};

    use super::*;

    fn event(status: JobStatus, progress: u8) -> JobEvent {
        let job_id = JobId::from_random([1; 16]);
        JobEvent { job_id, status, progress, message: String::new(), error: None }
    }

    fn generating(progress: u8) -> JobEvent {
        event(JobStatus::Generating, progress)
    }

    fn room(progress: &[u8]) -> RoomGate {
        let mut room = RoomGate::default();
        for step in progress {
            room.publish(generating(*step)).unwrap();
        }
        room
    }

    fn numbers(opening: &Opening) -> Vec<Option<u64>> {
        match opening {
            Opening::Live(messages) | Opening::Complete(messages) => {
                messages.iter().map(|message| message.number).collect()
            }
            Opening::NothingLeft => vec![],
        }
    }

    #[test]
    fn numbers_events_from_one() {
        let mut room = room(&[10]);
        assert_eq!(room.publish(generating(20)).unwrap().number, 2);
    }

    #[test]
    fn takes_nothing_after_the_end_and_no_exact_repeat() {
        let mut room = room(&[10]);
        assert_eq!(room.publish(generating(10)), None);
        room.publish(event(JobStatus::Completed, 100)).unwrap();
        assert_eq!(room.publish(event(JobStatus::Failed, 0)), None);
        assert_eq!(room.end().unwrap().status, JobStatus::Completed);
    }

    #[test]
    fn progress_never_falls_in_a_room() {
        let mut room = room(&[40]);
        let waiting = room.publish(event(JobStatus::Queued, 28)).unwrap();
        assert_eq!((waiting.event.status, waiting.event.progress), (JobStatus::Queued, 40));
    }

    #[test]
    fn replays_what_was_not_seen() {
        let room = room(&[10, 20, 30]);
        let opening = room.open(Some(1), generating(0));
        assert!(matches!(opening, Opening::Live(_)));
        assert_eq!(numbers(&opening), [Some(2), Some(3)]);
        assert_eq!(numbers(&room.open(None, generating(0))).len(), 3);
    }

    #[test]
    fn an_empty_room_shows_the_row() {
        let room = RoomGate::default();
        let opening = room.open(None, event(JobStatus::Queued, 0));
        assert_eq!(numbers(&opening), [None]);
        assert!(matches!(opening, Opening::Live(_)));
        let opening = room.open(Some(7), event(JobStatus::Completed, 100));
        assert_eq!(numbers(&opening), [None]);
        assert!(matches!(opening, Opening::Complete(_)));
    }

    #[test]
    fn closes_after_the_end_and_leaves_nothing_for_who_saw_it() {
        let mut room = room(&[10]);
        room.publish(event(JobStatus::Cancelled, 10)).unwrap();
        assert!(matches!(room.open(Some(1), generating(0)), Opening::Complete(_)));
        assert_eq!(room.open(Some(2), generating(0)), Opening::NothingLeft);
    }

    #[test]
    fn a_number_from_a_former_room_starts_over() {
        let room = room(&[10, 20]);
        assert_eq!(numbers(&room.open(Some(99), generating(0))), [Some(1), Some(2)]);
    }

    #[test]
    fn notices_an_end_that_only_the_row_knows() {
        let room = room(&[10]);
        assert!(room.misses_end(&event(JobStatus::Completed, 100)));
        assert!(!room.misses_end(&generating(50)));
        assert!(!RoomGate::default().misses_end(&event(JobStatus::Completed, 100)));
    }

    #[test]
    fn keeps_the_latest_events_only_and_goes_on_counting() {
        let mut room = RoomGate::default();
        for step in 0..1_000_u32 {
            let mut event = generating(0);
            event.message = step.to_string();
            room.publish(event).unwrap();
        }
        assert_eq!(room.events.len(), EVENTS_MAX);
        assert_eq!(room.events.last().unwrap().number, 1_000);
    }

    #[test]
    fn a_room_read_back_from_storage_goes_on_where_it_was() {
        let stored = room(&[10, 20]).events.into_iter().rev().collect();
        let mut room = RoomGate::from_stored(stored);
        assert_eq!(room.publish(generating(30)).unwrap().number, 3);
    }

    #[test]
    fn writes_server_sent_events() {
        let message = Message { number: Some(3), event: event(JobStatus::Saving, 90) };
        let text = message.to_sse();
        assert!(text.starts_with("id: 3\nevent: saving\ndata: {"));
        assert!(text.ends_with("}\n\n"));
        assert_eq!(text.matches('\n').count(), 4);
    }
}
