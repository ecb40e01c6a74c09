//! Who waits for a lane and who runs: admission, positions, estimates. No thread here; `lane.rs` has it.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use shared::ids::JobId;

use super::{
    history::History,
    job::{LaneJob, Place, Refused},
    stop::StopFlag,
};
use crate::engines::Engine;

/// What a full lane says before it has any history.
const RETRY_AFTER_UNKNOWN_MS: u64 = 5_000;
/// A longer promise would be a guess, a shorter one a busy loop.
const RETRY_AFTER_MS: std::ops::RangeInclusive<f64> = 1_000.0..=300_000.0;

/// A job in the queue, or taken out of it to be run.
pub(super) struct Entry<E: Engine> {
    pub(super) job: LaneJob<E>,
    pub(super) stop: Arc<StopFlag>,
    pub(super) since: Instant,
}

struct Running {
    id: JobId,
    weight: f64,
    /// `None` while the model loads.
    started: Option<Instant>,
    stop: Arc<StopFlag>,
}

pub(super) struct Queue<E: Engine> {
    capacity: usize,
    waiting: VecDeque<Entry<E>>,
    running: Option<Running>,
    pub(super) history: History,
    pub(super) is_loaded: bool,
    is_closed: bool,
}

impl<E: Engine> Queue<E> {
    /// `capacity` jobs may wait while one runs.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            waiting: VecDeque::new(),
            running: None,
            history: History::default(),
            is_loaded: false,
            is_closed: false,
        }
    }

    /// Takes the job in, or refuses it at once; it never waits for a place.
    pub(super) fn admit(&mut self, job: LaneJob<E>, now: Instant) -> Result<(), Refused> {
        if self.is_closed {
            return Err(Refused::Draining);
        }
        // Counting the running one keeps an idle lane's first job, not yet taken by the thread, from using a place.
        if self.waiting.len() + usize::from(self.running.is_some()) > self.capacity {
            return Err(Refused::Full { retry_after_ms: self.retry_after_ms(now) });
        }
        self.waiting.push_back(Entry { job, stop: Arc::default(), since: now });
        if let (Some(entry), Some(place)) =
            (self.waiting.back(), self.place_at(self.waiting.len() - 1, now))
        {
            entry.job.observer.queued(place);
        }
        Ok(())
    }

    /// The next job; from now on it counts as running.
    pub(super) fn take(&mut self, now: Instant) -> Option<Entry<E>> {
        let entry = self.waiting.pop_front()?;
        self.running = Some(Running {
            id: entry.job.id,
            weight: entry.job.weight,
            started: None,
            stop: entry.stop.clone(),
        });
        self.announce(0, now);
        Some(entry)
    }

    /// The engine began with the job that was taken.
    pub(super) fn begin(&mut self, now: Instant) {
        if let Some(running) = &mut self.running {
            running.started = Some(now);
        }
    }

    /// The job that was taken has ended.
    pub(super) fn finish(&mut self, now: Instant) {
        self.running = None;
        self.announce(0, now);
    }

    /// Takes a waiting job out.
    pub(super) fn remove(&mut self, id: JobId, now: Instant) -> Option<Entry<E>> {
        let index = self.waiting.iter().position(|entry| entry.job.id == id)?;
        let entry = self.waiting.remove(index)?;
        self.announce(index, now);
        Some(entry)
    }

    /// The flag of the running job, if it is that one.
    pub(super) fn running_flag(&self, id: Option<JobId>) -> Option<Arc<StopFlag>> {
        let running = self.running.as_ref()?;
        id.is_none_or(|id| id == running.id).then(|| running.stop.clone())
    }

    /// Refuses from now on, and gives back everyone who waits.
    pub(super) fn close(&mut self) -> Vec<Entry<E>> {
        self.is_closed = true;
        self.waiting.drain(..).collect()
    }

    pub(super) fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Where the job stands; `None` when it neither waits nor runs here.
    pub(super) fn place(&self, id: JobId, now: Instant) -> Option<Place> {
        if self.running.as_ref().is_some_and(|running| running.id == id) {
            return Some(Place { position: 0, estimated_ms: self.running_ms(now).map(whole_ms) });
        }
        let index = self.waiting.iter().position(|entry| entry.job.id == id)?;
        self.place_at(index, now)
    }

    fn place_at(&self, index: usize, now: Instant) -> Option<Place> {
        let weight: f64 = self.waiting.iter().take(index + 1).map(|entry| entry.job.weight).sum();
        let ahead_ms = self.running_ms(now);
        let estimated_ms = match (self.history.run_ms(weight), ahead_ms) {
            (Some(own_ms), Some(ahead_ms)) => Some(whole_ms(own_ms + ahead_ms)),
            _ => None,
        };
        Some(Place { position: (index + usize::from(self.running.is_some())) as u32, estimated_ms })
    }

    /// What is left of the running job, with the load before it; 0 for an idle lane.
    fn running_ms(&self, now: Instant) -> Option<f64> {
        let load_ms = if self.is_loaded { 0.0 } else { self.history.load_ms() };
        let Some(running) = &self.running else {
            return Some(load_ms);
        };
        let whole_ms = self.history.run_ms(running.weight)?;
        match running.started {
            Some(started) => Some((whole_ms - (now - started).as_secs_f64() * 1e3).max(0.0)),
            None => Some(load_ms + whole_ms),
        }
    }

    /// When a place should be free: the running job's end.
    fn retry_after_ms(&self, now: Instant) -> u64 {
        match self.running_ms(now) {
            Some(left_ms) if self.running.is_some() => {
                whole_ms(left_ms.clamp(*RETRY_AFTER_MS.start(), *RETRY_AFTER_MS.end()))
            }
            _ => RETRY_AFTER_UNKNOWN_MS,
        }
    }

    fn announce(&self, from: usize, now: Instant) {
        for (index, entry) in self.waiting.iter().enumerate().skip(from) {
            if let Some(place) = self.place_at(index, now) {
                entry.job.observer.queued(place);
            }
        }
    }
}

fn whole_ms(ms: f64) -> u64 {
    ms.ceil() as u64
}
