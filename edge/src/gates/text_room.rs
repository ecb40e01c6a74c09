//! One request's room: its run while it is written, and its answer afterwards. Whoever asks the same in the meantime
//! joins; whoever asks later gets the answer that is there.

use serde::{Deserialize, Serialize};
use shared::{
    api::assistant::AnswerEvent,
    ids::{JobId, UserId},
};

use crate::ports::text::{CacheState, RunEnd, TextFailure, TextRun};

/// How long an answer is given again to the same request.
const REUSED_FOR_MS: u64 = 60 * 60 * 1000;

/// How long a run can be resumed, and its idempotency key answered.
pub const KEPT_FOR_MS: u64 = 24 * 60 * 60 * 1000;

/// A run nobody listens to is stopped after this: time to reconnect.
const UNHEARD_FOR_MS: u64 = 15 * 1000;

/// A call to the object of one room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum TextRoomCall {
    Stream { run: Box<TextRun>, last_event_id: Option<u64> },
    Answer { run: Box<TextRun> },
    Resume { run_id: JobId, user_id: UserId, last_event_id: Option<u64> },
}

/// How a caller comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Nothing here will do: the run is the caller's to begin.
    Begin,
    /// It is being written.
    Join(CacheState),
    /// It is written.
    Ready(CacheState),
}

/// What the room holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptRun {
    pub run_id: JobId,
    pub user_id: UserId,
    /// An event's number is its place here, from 1.
    pub events: Vec<AnswerEvent>,
    pub end: Option<RunEnd>,
}

/// The room.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TextRoomGate {
    kept: Option<KeptRun>,
    unheard_since_ms: Option<u64>,
}

impl TextRoomGate {
    /// The room as it was stored. A run without an end was lost with the memory of its room.
    pub fn from_stored(mut kept: Option<KeptRun>) -> Self {
        if let Some(kept) = &mut kept
            && kept.end.is_none()
        {
            kept.end = Some(RunEnd::Failed { failure: TextFailure::Lost });
        }
        Self { kept, unheard_since_ms: None }
    }

    /// What is to be stored.
    pub fn kept(&self) -> Option<&KeptRun> {
        self.kept.as_ref()
    }

    /// Lets a request in. With `last_event_id` it comes back to what it began.
    pub fn enter(&mut self, run: &TextRun, last_event_id: Option<u64>, now_ms: u64) -> Entry {
        if let Some(kept) = &self.kept
            && kept.user_id == run.user_id
        {
            let is_same = kept.run_id == run.run_id;
            let is_back =
                last_event_id.is_some_and(|seen| seen >= 1 && seen <= kept.events.len() as u64);
            let cache = |others| if is_same || is_back { CacheState::Miss } else { others };
            match &kept.end {
                None => return Entry::Join(cache(CacheState::Shared)),
                Some(RunEnd::Answered { written_ms, .. }) => {
                    let is_young = now_ms.saturating_sub(*written_ms) < REUSED_FOR_MS;
                    if is_same || is_back || (is_young && !run.is_fresh) {
                        return Entry::Ready(cache(CacheState::Hit));
                    }
                }
                // What broke off after its first word is shown again only to whoever saw that word.
                Some(RunEnd::Failed { .. }) if !kept.events.is_empty() && (is_same || is_back) => {
                    return Entry::Ready(CacheState::Miss);
                }
                // Its words are gone. Whoever has seen some would be told others from the start, and pay once more.
                Some(RunEnd::Failed { failure: TextFailure::Lost })
                    if last_event_id.is_some_and(|seen| seen >= 1) =>
                {
                    return Entry::Ready(CacheState::Miss);
                }
                Some(RunEnd::Failed { .. }) => {}
            }
        }
        self.kept = Some(KeptRun {
            run_id: run.run_id,
            user_id: run.user_id,
            events: Vec::new(),
            end: None,
        });
        self.unheard_since_ms = None;
        Entry::Begin
    }

    /// The run, if it is the one a caller comes back to.
    pub fn find(&self, run_id: JobId, user_id: UserId) -> Option<&KeptRun> {
        self.kept.as_ref().filter(|kept| kept.run_id == run_id && kept.user_id == user_id)
    }

    /// Takes an event; its number, unless the run has ended.
    pub fn publish(&mut self, event: AnswerEvent) -> Option<u64> {
        let kept = self.kept.as_mut().filter(|kept| kept.end.is_none())?;
        kept.events.push(event);
        Some(kept.events.len() as u64)
    }

    /// Whether a run goes on to be written, with so many listeners.
    pub fn is_wanted(&mut self, listeners: usize, now_ms: u64) -> bool {
        if listeners > 0 {
            self.unheard_since_ms = None;
            return true;
        }
        let since_ms = *self.unheard_since_ms.get_or_insert(now_ms);
        now_ms.saturating_sub(since_ms) < UNHEARD_FOR_MS
    }

    /// Ends the run.
    pub fn end(&mut self, end: RunEnd) {
        if let Some(kept) = self.kept.as_mut().filter(|kept| kept.end.is_none()) {
            kept.end = Some(end);
        }
    }

    /// Whether there is something to tell whoever waits: a first word, or the end.
    pub fn is_ready(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| !kept.events.is_empty() || kept.end.is_some())
    }

    /// Whether the run has ended.
    pub fn is_ended(&self) -> bool {
        self.kept.as_ref().is_none_or(|kept| kept.end.is_some())
    }
}

impl KeptRun {
    /// The failure that is a caller's whole answer, because no word came before it.
    pub fn silent_failure(&self) -> Option<&TextFailure> {
        match &self.end {
            Some(RunEnd::Failed { failure }) if self.events.is_empty() => Some(failure),
            _ => None,
        }
    }

    /// The events after the one that was seen, on the wire. A greater number than the last stems from a run that was
    /// forgotten since: everything is told.
    pub fn events_after(&self, last_event_id: Option<u64>) -> String {
        let known = self.events.len() as u64;
        let seen = last_event_id.filter(|seen| *seen <= known).unwrap_or(0);
        let events = self.events.iter().zip(1_u64..).skip(seen as usize);
        events.map(|(event, number)| to_sse(event, number)).collect()
    }
}

/// An event as the wire has it (server-sent events).
pub fn to_sse(event: &AnswerEvent, number: u64) -> String {
    let data = serde_json::to_string(event).unwrap_or_default();
    format!("id: {number}\nevent: {}\ndata: {data}\n\n", event.name())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use shared::language::Language;

    use super::*;
    use crate::{
        caller::AccessToken,
        ports::text::{AnswerShape, TextAnswer, TextOrder},
    };

    fn id(number: u8) -> JobId {
        JobId::from_random([number; 16])
    }

    fn run(number: u8) -> TextRun {
        TextRun {
            run_id: id(number),
            user_id: UserId::from_random([200; 16]),
            token: AccessToken::new("token"),
            request_id: String::new(),
            asked_ms: 0,
            room: String::new(),
            seed: 1,
            is_fresh: false,
            order: TextOrder {
                task: "assistant".to_owned(),
                model: "m".to_owned(),
                language: Language::Fr,
                values: BTreeMap::new(),
                turns: Vec::new(),
                temperature: 0.0,
                max_tokens: 1,
                shape: AnswerShape::Text,
            },
        }
    }

    fn word(text: &str) -> AnswerEvent {
        AnswerEvent::Delta { text: text.to_owned() }
    }

    fn answered(written_ms: u64) -> RunEnd {
        RunEnd::Answered {
            written_ms,
            answer: TextAnswer::Text { finish_reason: "stop".to_owned() },
        }
    }

    fn failed() -> RunEnd {
        RunEnd::Failed { failure: TextFailure::BrokeOff }
    }

    fn begun() -> TextRoomGate {
        let mut room = TextRoomGate::default();
        assert_eq!(room.enter(&run(1), None, 0), Entry::Begin);
        room
    }

    #[test]
    fn the_first_begins_and_the_others_join() {
        let mut room = begun();
        assert_eq!(room.enter(&run(2), None, 1), Entry::Join(CacheState::Shared));
        assert_eq!(room.enter(&run(1), None, 1), Entry::Join(CacheState::Miss));
        room.end(answered(5));
        assert_eq!(room.enter(&run(2), None, 6), Entry::Ready(CacheState::Hit));
        assert_eq!(room.enter(&run(1), None, 6), Entry::Ready(CacheState::Miss));
    }

    #[test]
    fn an_old_answer_is_for_those_who_come_back_to_it_alone() {
        let mut room = begun();
        room.publish(word("a"));
        room.end(answered(0));
        assert_eq!(room.enter(&run(1), None, REUSED_FOR_MS), Entry::Ready(CacheState::Miss));
        assert_eq!(room.enter(&run(2), Some(1), REUSED_FOR_MS), Entry::Ready(CacheState::Miss));
        assert_eq!(room.enter(&run(2), None, REUSED_FOR_MS), Entry::Begin);
    }

    #[test]
    fn a_failure_is_no_answer_for_anyone_who_saw_nothing_of_it() {
        let mut room = begun();
        room.end(failed());
        assert_eq!(room.enter(&run(1), None, 1), Entry::Begin);
        room.publish(word("a"));
        room.end(failed());
        assert_eq!(room.enter(&run(2), Some(1), 1), Entry::Ready(CacheState::Miss));
        assert_eq!(room.enter(&run(2), Some(9), 1), Entry::Begin);
    }

    #[test]
    fn whoever_wants_it_anew_still_joins_what_is_being_written_anew() {
        let fresh = |number| TextRun { is_fresh: true, ..run(number) };
        let mut room = begun();
        room.end(answered(0));
        assert_eq!(room.enter(&fresh(2), None, 1), Entry::Begin);
        assert_eq!(room.enter(&fresh(3), None, 2), Entry::Join(CacheState::Shared));
    }

    #[test]
    fn nobody_else_is_let_in() {
        let mut room = begun();
        room.end(answered(0));
        let stranger = TextRun { user_id: UserId::from_random([7; 16]), ..run(1) };
        assert_eq!(room.find(id(1), stranger.user_id), None);
        assert_eq!(room.enter(&stranger, None, 1), Entry::Begin);
    }

    #[test]
    fn events_follow_each_other_from_any_place() {
        let mut room = begun();
        assert_eq!(room.publish(word("a")), Some(1));
        assert_eq!(room.publish(word("b")), Some(2));
        let kept = room.kept().unwrap();
        let (first, second) = (to_sse(&word("a"), 1), to_sse(&word("b"), 2));
        assert_eq!(second, "id: 2\nevent: delta\ndata: {\"event\":\"delta\",\"text\":\"b\"}\n\n");
        assert_eq!(kept.events_after(None), format!("{first}{second}"));
        assert_eq!(kept.events_after(Some(1)), second);
        assert_eq!(kept.events_after(Some(2)), "");
        assert_eq!(kept.events_after(Some(3)), format!("{first}{second}"), "another run's number");
        room.end(answered(1));
        assert_eq!(room.publish(word("c")), None);
    }

    #[test]
    fn a_run_is_wanted_until_nobody_has_listened_for_a_while() {
        let mut room = begun();
        assert!(room.is_wanted(0, 1_000));
        assert!(room.is_wanted(0, 1_000 + UNHEARD_FOR_MS - 1));
        assert!(room.is_wanted(1, 1_000 + UNHEARD_FOR_MS));
        assert!(room.is_wanted(0, 20_000 + UNHEARD_FOR_MS));
        assert!(!room.is_wanted(0, 20_000 + 2 * UNHEARD_FOR_MS));
    }

    #[test]
    fn a_run_that_lost_its_memory_is_a_failure() {
        let stored = serde_json::to_string(begun().kept().unwrap()).unwrap();
        let room = TextRoomGate::from_stored(Some(serde_json::from_str(&stored).unwrap()));
        assert_eq!(room.kept().unwrap().silent_failure(), Some(&TextFailure::Lost));
        let mut ended = begun();
        ended.publish(word("a"));
        ended.end(answered(3));
        let stored = serde_json::to_string(ended.kept().unwrap()).unwrap();
        let room = TextRoomGate::from_stored(Some(serde_json::from_str(&stored).unwrap()));
        assert_eq!(room.kept(), ended.kept());
    }

    #[test]
    fn a_lost_run_is_told_as_lost_to_whoever_saw_some_of_it_and_begun_anew_for_others() {
        let lost = || TextRoomGate::from_stored(begun().kept().cloned());
        let mut room = lost();
        for number in [1, 2] {
            assert_eq!(room.enter(&run(number), Some(3), 1), Entry::Ready(CacheState::Miss));
            assert_eq!(room.kept().unwrap().silent_failure(), Some(&TextFailure::Lost));
        }
        assert_eq!(room.enter(&run(2), None, 2), Entry::Begin);
        assert_eq!(lost().enter(&run(1), None, 2), Entry::Begin);
        assert_eq!(lost().enter(&run(1), Some(0), 2), Entry::Begin, "it has seen nothing");
    }

    #[test]
    fn an_order_travels_whole_and_its_token_never_prints() {
        let call = TextRoomCall::Stream { run: Box::new(run(1)), last_event_id: Some(2) };
        let text = serde_json::to_string(&call).unwrap();
        assert_eq!(serde_json::from_str::<TextRoomCall>(&text).unwrap(), call);
        let printed =
            format!("{:?}", TextRun { token: AccessToken::new("secret-token"), ..run(1) });
        assert!(!printed.contains("secret-token"), "{printed}");
    }
}
