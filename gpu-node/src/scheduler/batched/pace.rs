//! How fast places become free, from how fast they did: what a refused caller is told.

use std::{collections::VecDeque, time::Instant};

/// Long enough to even out one slow request, short enough to follow the load.
const TAKEN_REMEMBERED: usize = 32;
/// What a lane says before it knows its pace.
const RETRY_AFTER_UNKNOWN_MS: u64 = 2_000;
/// A longer promise would be a guess, a shorter one a busy loop.
const RETRY_AFTER_MS: std::ops::RangeInclusive<u64> = 1_000..=60_000;

/// When the last requests left the queue for the model.
#[derive(Debug, Default)]
pub(super) struct Pace {
    taken: VecDeque<Instant>,
}

impl Pace {
    /// One was taken out of the queue.
    pub(super) fn note_taken(&mut self, now: Instant) {
        if self.taken.len() == TAKEN_REMEMBERED {
            self.taken.pop_front();
        }
        self.taken.push_back(now);
    }

    /// When the next place should be free.
    pub(super) fn retry_after_ms(&self, now: Instant) -> u64 {
        let (Some(first), count) = (self.taken.front(), self.taken.len()) else {
            return RETRY_AFTER_UNKNOWN_MS;
        };
        let each_ms = now.saturating_duration_since(*first).as_millis() as u64 / count as u64;
        each_ms.clamp(*RETRY_AFTER_MS.start(), *RETRY_AFTER_MS.end())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_refused_caller_hears_how_often_places_became_free() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert_eq!(pace.retry_after_ms(start), RETRY_AFTER_UNKNOWN_MS);
        for second in [0, 4, 8] {
            pace.note_taken(start + Duration::from_secs(second));
        }
        assert_eq!(pace.retry_after_ms(start + Duration::from_secs(12)), 4_000);
    }

    #[test]
    fn it_is_neither_a_busy_loop_nor_a_guess() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.note_taken(start);
        assert_eq!(pace.retry_after_ms(start), 1_000);
        assert_eq!(pace.retry_after_ms(start + Duration::from_secs(3600)), 60_000);
    }
}
