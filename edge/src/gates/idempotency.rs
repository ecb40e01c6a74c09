//! One idempotency key: what a request that brings it may do.

use serde::{Deserialize, Serialize};
use shared::ids::JobId;

use crate::ports::gates::{KeyState, StoredAnswer};

/// How long an answer is kept for its key.
pub const KEPT_FOR_MS: u64 = 24 * 60 * 60 * 1000;

/// After this, whoever brought the key first is taken for dead, and the next may go on in its place.
const ALIVE_FOR_MS: u64 = 60 * 1000;

/// What is kept of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    pub first_seen_ms: u64,
    fingerprint: String,
    /// The same for every bearer of the key, so that a second try makes the same job.
    job_id: JobId,
    stage: Stage,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
enum Stage {
    UnderWay {
        since_ms: u64,
    },
    /// It failed in a way that may be tried again.
    Freed,
    Answered {
        answer: StoredAnswer,
    },
}

/// Registers the key: how its bearer may go on, and the record to keep if it changed.
pub fn begin_key(
    record: Option<KeyRecord>,
    fingerprint: &str,
    job: JobId,
    now_ms: u64,
) -> (KeyState, Option<KeyRecord>) {
    let fresh = |job_id, first_seen_ms| {
        let stage = Stage::UnderWay { since_ms: now_ms };
        let record =
            KeyRecord { first_seen_ms, fingerprint: fingerprint.to_owned(), job_id, stage };
        (KeyState::Fresh { job_id }, Some(record))
    };
    let Some(record) = record.filter(|record| !record.is_expired(now_ms)) else {
        return fresh(job, now_ms);
    };
    let is_same_body = record.fingerprint == fingerprint;
    match record.stage {
        Stage::Freed if is_same_body => fresh(record.job_id, record.first_seen_ms),
        Stage::Freed => fresh(job, now_ms),
        _ if !is_same_body => (KeyState::Mismatch, None),
        Stage::UnderWay { since_ms } if now_ms.saturating_sub(since_ms) >= ALIVE_FOR_MS => {
            fresh(record.job_id, record.first_seen_ms)
        }
        Stage::UnderWay { .. } => (KeyState::InProgress { job_id: record.job_id }, None),
        Stage::Answered { answer } => (KeyState::Answered { answer }, None),
    }
}

impl KeyRecord {
    /// Keeps the answer; `None` frees the key for another try. The first answer stays: a bearer that was taken for dead
    /// may still come with a worse one.
    pub fn finish(&mut self, answer: Option<StoredAnswer>) {
        self.stage = match (&self.stage, answer) {
            (Stage::Answered { .. }, _) => return,
            (_, Some(answer)) => Stage::Answered { answer },
            (_, None) => Stage::Freed,
        };
    }

    fn is_expired(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.first_seen_ms) >= KEPT_FOR_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(number: u8) -> JobId {
        JobId::from_random([number; 16])
    }

    fn answer() -> StoredAnswer {
        StoredAnswer { status: 202, headers: vec![], body: "{}".to_owned() }
    }

    fn begun(now_ms: u64) -> KeyRecord {
        begin_key(None, "body", job(1), now_ms).1.unwrap()
    }

    #[test]
    fn the_first_bearer_goes_on_and_the_second_waits() {
        let (state, record) = begin_key(None, "body", job(1), 0);
        assert_eq!(state, KeyState::Fresh { job_id: job(1) });
        let (state, change) = begin_key(record, "body", job(2), 1);
        assert_eq!((state, change), (KeyState::InProgress { job_id: job(1) }, None));
    }

    #[test]
    fn a_bearer_taken_for_dead_can_not_take_the_answer_back() {
        let mut record = begun(0);
        record = begin_key(Some(record), "body", job(2), ALIVE_FOR_MS).1.unwrap();
        record.finish(Some(answer()));
        record.finish(None);
        record.finish(Some(StoredAnswer { status: 409, ..answer() }));
        let state = begin_key(Some(record), "body", job(3), ALIVE_FOR_MS + 1).0;
        assert_eq!(state, KeyState::Answered { answer: answer() });
    }

    #[test]
    fn another_body_is_a_mismatch_at_every_stage_but_a_freed_one() {
        let mut record = begun(0);
        assert_eq!(begin_key(Some(record.clone()), "other", job(2), 1).0, KeyState::Mismatch);
        record.finish(Some(answer()));
        assert_eq!(begin_key(Some(record), "other", job(2), 1).0, KeyState::Mismatch);
        let mut record = begun(0);
        record.finish(None);
        assert_eq!(
            begin_key(Some(record), "other", job(2), 1).0,
            KeyState::Fresh { job_id: job(2) }
        );
    }

    #[test]
    fn an_answered_key_gives_the_same_answer_for_a_day() {
        let mut record = begun(0);
        record.finish(Some(answer()));
        assert_eq!(
            begin_key(Some(record.clone()), "body", job(2), KEPT_FOR_MS - 1).0,
            KeyState::Answered { answer: answer() }
        );
        assert_eq!(
            begin_key(Some(record), "body", job(2), KEPT_FOR_MS).0,
            KeyState::Fresh { job_id: job(2) }
        );
    }

    #[test]
    fn a_dead_bearers_place_is_taken_with_the_same_job() {
        let (state, record) = begin_key(Some(begun(0)), "body", job(2), ALIVE_FOR_MS);
        assert_eq!(state, KeyState::Fresh { job_id: job(1) });
        let (state, _) = begin_key(record, "body", job(3), ALIVE_FOR_MS + 1);
        assert_eq!(state, KeyState::InProgress { job_id: job(1) });
    }

    #[test]
    fn a_freed_key_makes_the_same_job_again() {
        let mut record = begun(0);
        record.finish(None);
        assert_eq!(
            begin_key(Some(record), "body", job(2), 5).0,
            KeyState::Fresh { job_id: job(1) }
        );
    }
}
