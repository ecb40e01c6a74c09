//! How long a lane that is asked for its room goes on with what waits for it.
//!
//! Leaving at once, lanes that want the same room would read a model for every job; never leaving, one would starve the
//! others.

use std::time::{Duration, Instant};

/// A lane that was asked leaves after so long, even if it has more to do.
const LONGEST: Duration = Duration::from_secs(20);
/// Or after so many times what its load took, if that is longer: most of the time is for work.
const LOADS: u32 = 2;

/// A lane's time with its model in memory.
#[derive(Debug)]
pub(super) struct Stay {
    /// Jobs that begin after it was asked, at most.
    most_jobs: u32,
    load: Duration,
    has_served: bool,
    /// Since then somebody else wants the room.
    asked: Option<Instant>,
    jobs_since: u32,
}

impl Stay {
    pub(super) fn new(most_jobs: u32) -> Self {
        Self { most_jobs, load: Duration::ZERO, has_served: false, asked: None, jobs_since: 0 }
    }

    /// The model is in memory. Who was asked on the way has its time from now on.
    pub(super) fn note_loaded(&mut self, now: Instant, took: Duration) {
        (self.load, self.has_served, self.jobs_since) = (took, false, 0);
        self.asked = self.asked.map(|_| now);
    }

    /// The model is not in memory any more: nobody waits for this lane to leave.
    pub(super) fn note_left(&mut self) {
        self.asked = None;
    }

    /// So many jobs begin.
    pub(super) fn note_jobs(&mut self, jobs: usize) {
        self.has_served = true;
        self.jobs_since = self.jobs_since.saturating_add(jobs as u32);
    }

    /// Somebody else wants the room.
    pub(super) fn ask_to_leave(&mut self, now: Instant) {
        if self.asked.is_none() {
            (self.asked, self.jobs_since) = (Some(now), 0);
        }
    }

    /// Whether it has to leave before the next job.
    pub(super) fn is_over(&self, now: Instant, has_waiting: bool) -> bool {
        let Some(asked) = self.asked else { return false };
        let longest = LONGEST.max(self.load * LOADS);
        let is_enough = self.jobs_since >= self.most_jobs || now - asked >= longest;
        !has_waiting || (self.has_served && is_enough)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(load_s: u64) -> (Stay, Instant) {
        let (mut stay, now) = (Stay::new(3), Instant::now());
        stay.note_loaded(now, Duration::from_secs(load_s));
        stay.ask_to_leave(now);
        (stay, now)
    }

    #[test]
    fn a_lane_stays_until_it_is_asked_and_leaves_at_once_with_nothing_to_do() {
        let (mut stay, now) = (Stay::new(3), Instant::now());
        stay.note_loaded(now, Duration::ZERO);
        assert!(!stay.is_over(now + LONGEST, false));
        stay.ask_to_leave(now);
        assert!(stay.is_over(now, false) && !stay.is_over(now, true));
    }

    #[test]
    fn an_asked_lane_does_so_many_jobs_more_however_often_it_is_asked() {
        let (mut stay, now) = asked(0);
        for _ in 0..3 {
            assert!(!stay.is_over(now, true));
            stay.note_jobs(1);
            stay.ask_to_leave(now);
        }
        assert!(stay.is_over(now, true));
        stay.note_left();
        assert!(!stay.is_over(now, false));
    }

    #[test]
    fn a_lane_whose_jobs_are_slow_leaves_in_time_but_never_before_its_first_job() {
        for (load_s, longest) in [(0, LONGEST), (60, Duration::from_secs(120))] {
            let (mut stay, now) = asked(load_s);
            assert!(!stay.is_over(now + longest * 2, true));
            stay.note_jobs(1);
            assert!(!stay.is_over(now + longest - Duration::from_secs(1), true));
            assert!(stay.is_over(now + longest, true));
        }
    }

    #[test]
    fn who_is_asked_while_it_loads_has_its_time_afterwards() {
        let (mut stay, now) = asked(0);
        let later = now + LONGEST * 3;
        stay.note_loaded(later, Duration::ZERO);
        stay.note_jobs(1);
        assert!(!stay.is_over(later, true));
        assert!(stay.is_over(later + LONGEST, true));
    }
}
