//! Who waits for a lane and who runs: admission, positions, estimates. No thread here; `lane.rs` has it.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use shared::ids::JobId;

use super::{
    history::History,
    job::{LaneJob, Place, Refused},
    stop::{StopFlag, StopReason},
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
    stop: Arc<StopFlag>,
}

pub(super) struct Queue<E: Engine> {
    capacity: usize,
    waiting: VecDeque<Entry<E>>,
    /// One, or several that run in one pass.
    running: Vec<Running>,
    /// When they began; `None` while the model loads.
    started: Option<Instant>,
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
            running: Vec::new(),
            started: None,
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
        if self.waiting.len() + usize::from(self.is_running()) > self.capacity {
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
        self.note_running(&entry);
        self.announce(0, now);
        Some(entry)
    }

    /// The next job too, if it may run in one pass with those that were taken. Nobody overtakes anybody.
    pub(super) fn take_if(&mut self, joins: impl FnOnce(&E::Input) -> bool) -> Option<Entry<E>> {
        self.waiting.front().filter(|entry| joins(&entry.job.input))?;
        let entry = self.waiting.pop_front()?;
        self.note_running(&entry);
        Some(entry)
    }

    /// What those who wait want, the next one first.
    pub(super) fn waiting_inputs(&self) -> impl Iterator<Item = &E::Input> {
        self.waiting.iter().map(|entry| &entry.job.input)
    }

    fn note_running(&mut self, entry: &Entry<E>) {
        let LaneJob { id, weight, .. } = entry.job;
        self.running.push(Running { id, weight, stop: entry.stop.clone() });
    }

    /// The engine began with what was taken.
    pub(super) fn begin(&mut self, now: Instant) {
        self.started = Some(now);
        self.announce(0, now);
    }

    /// What was taken has ended.
    pub(super) fn finish(&mut self, now: Instant) {
        (self.running, self.started) = (Vec::new(), None);
        self.announce(0, now);
    }

    /// One of those that run together has ended before the others.
    pub(super) fn leave(&mut self, id: JobId, now: Instant) {
        self.running.retain(|running| running.id != id);
        self.announce(0, now);
    }

    /// Takes a waiting job out.
    pub(super) fn remove(&mut self, id: JobId, now: Instant) -> Option<Entry<E>> {
        let index = self.waiting.iter().position(|entry| entry.job.id == id)?;
        let entry = self.waiting.remove(index)?;
        self.announce(index, now);
        Some(entry)
    }

    /// The flag of that job, if it runs.
    pub(super) fn running_flag(&self, id: JobId) -> Option<Arc<StopFlag>> {
        Some(self.running.iter().find(|running| running.id == id)?.stop.clone())
    }

    /// Asks all that runs to stop.
    pub(super) fn stop_running(&self, reason: StopReason) {
        self.running.iter().for_each(|running| running.stop.raise(reason));
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
        !self.running.is_empty()
    }

    /// Where the job stands; `None` when it neither waits nor runs here.
    pub(super) fn place(&self, id: JobId, now: Instant) -> Option<Place> {
        if self.running.iter().any(|running| running.id == id) {
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
        Some(Place { position: (index + usize::from(self.is_running())) as u32, estimated_ms })
    }

    /// What is left of what runs, with the load before it; 0 for an idle lane.
    fn running_ms(&self, now: Instant) -> Option<f64> {
        let load_ms = if self.is_loaded { 0.0 } else { self.history.load_ms() };
        if !self.is_running() {
            return Some(load_ms);
        }
        let whole_ms = self.history.run_ms(self.running.iter().map(|one| one.weight).sum())?;
        match self.started {
            Some(started) => Some((whole_ms - (now - started).as_secs_f64() * 1e3).max(0.0)),
            None => Some(load_ms + whole_ms),
        }
    }

    /// When a place should be free: the running job's end.
    fn retry_after_ms(&self, now: Instant) -> u64 {
        match self.running_ms(now) {
            Some(left_ms) if self.is_running() => {
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

#[cfg(test)]
mod tests {
    use std::{sync::Mutex, time::Duration};

    use super::{super::locked, *};
    use crate::{
        engines::{EngineError, Sink},
        scheduler::{Observer, Outcome},
    };

    struct NoEngine;

    impl Engine for NoEngine {
        type Input = ();
        type Event = ();
        type Output = ();
        fn run(&mut self, (): (), _: &mut dyn Sink<()>) -> Result<(), EngineError> {
            Ok(())
        }
    }

    #[derive(Default)]
    struct Heard(Mutex<Vec<Place>>);

    impl Observer<NoEngine> for Heard {
        fn queued(&self, place: Place) {
            locked(&self.0).push(place);
        }
        fn started(&self) {}
        fn emitted(&self, (): ()) {}
        fn ended(&self, _: Outcome<()>) {}
    }

    fn id(number: u8) -> JobId {
        JobId::from_random([number; 16])
    }

    fn job(number: u8, weight: f64, observer: &Arc<Heard>) -> LaneJob<NoEngine> {
        LaneJob { id: id(number), input: (), weight, observer: observer.clone() }
    }

    fn admit(queue: &mut Queue<NoEngine>, number: u8, now: Instant) -> Result<(), Refused> {
        queue.admit(job(number, 1.0, &Arc::default()), now)
    }

    /// A queue whose jobs take 10 s per unit of work.
    fn queue_with_history(capacity: usize) -> Queue<NoEngine> {
        let mut queue = Queue::new(capacity);
        queue.is_loaded = true;
        queue.history.add_run(1.0, Duration::from_secs(10));
        queue
    }

    #[test]
    fn as_many_wait_as_there_are_places_while_one_runs() {
        let (mut queue, now) = (Queue::new(2), Instant::now());
        admit(&mut queue, 1, now).unwrap();
        queue.take(now);
        admit(&mut queue, 2, now).unwrap();
        admit(&mut queue, 3, now).unwrap();
        assert_eq!(admit(&mut queue, 4, now), Err(Refused::Full { retry_after_ms: 5_000 }));
        queue.finish(now);
        admit(&mut queue, 4, now).unwrap();
    }

    #[test]
    fn an_idle_lanes_first_job_uses_no_waiting_place() {
        let (mut queue, now) = (Queue::new(1), Instant::now());
        admit(&mut queue, 1, now).unwrap();
        admit(&mut queue, 2, now).expect("the first is about to run");
        assert!(admit(&mut queue, 3, now).is_err());
    }

    #[test]
    fn a_full_queue_says_when_the_running_job_should_end() {
        let (mut queue, now) = (queue_with_history(0), Instant::now());
        admit(&mut queue, 1, now).unwrap();
        queue.take(now);
        queue.begin(now);
        let later = now + Duration::from_secs(3);
        assert_eq!(admit(&mut queue, 2, later), Err(Refused::Full { retry_after_ms: 7_000 }));
        let overdue = now + Duration::from_secs(60);
        assert_eq!(admit(&mut queue, 2, overdue), Err(Refused::Full { retry_after_ms: 1_000 }));
    }

    #[test]
    fn a_place_counts_what_runs_what_waits_before_it_and_its_own_work() {
        let (mut queue, now) = (queue_with_history(5), Instant::now());
        let heard = Arc::default();
        for (number, weight) in [(1, 1.0), (2, 2.0), (3, 1.0)] {
            queue.admit(job(number, weight, &heard), now).unwrap();
        }
        queue.take(now);
        queue.begin(now);
        let later = now + Duration::from_secs(4);
        let place = |number| queue.place(id(number), later).unwrap();
        assert_eq!(place(1), Place { position: 0, estimated_ms: Some(6_000) });
        assert_eq!(place(2), Place { position: 1, estimated_ms: Some(26_000) });
        assert_eq!(place(3), Place { position: 2, estimated_ms: Some(36_000) });
        assert_eq!(queue.place(id(4), later), None);
    }

    #[test]
    fn the_load_of_a_model_is_part_of_the_estimate_while_it_is_not_in_memory() {
        let (mut queue, now) = (queue_with_history(5), Instant::now());
        queue.is_loaded = false;
        queue.history.set_load(Duration::from_secs(2));
        admit(&mut queue, 1, now).unwrap();
        assert_eq!(queue.place(id(1), now).unwrap().estimated_ms, Some(12_000));
    }

    #[test]
    fn whoever_waits_hears_when_it_moves_up() {
        let (mut queue, now) = (Queue::new(5), Instant::now());
        let heard: Arc<Heard> = Arc::default();
        admit(&mut queue, 1, now).unwrap();
        admit(&mut queue, 2, now).unwrap();
        queue.admit(job(3, 1.0, &heard), now).unwrap();
        queue.take(now);
        queue.remove(id(2), now);
        queue.finish(now);
        let positions: Vec<u32> = locked(&heard.0).iter().map(|place| place.position).collect();
        assert_eq!(positions, [2, 2, 1, 0]);
    }

    #[test]
    fn those_who_join_run_with_the_first_and_nobody_overtakes() {
        let (mut queue, now) = (queue_with_history(5), Instant::now());
        for number in 1..=4 {
            admit(&mut queue, number, now).unwrap();
        }
        queue.take(now);
        assert_eq!(queue.take_if(|()| true).map(|entry| entry.job.id), Some(id(2)));
        assert!(queue.take_if(|()| false).is_none());
        queue.begin(now);
        let places = [1, 2, 3, 4].map(|number| queue.place(id(number), now).unwrap());
        assert_eq!(places.map(|place| place.position), [0, 0, 1, 2]);
        assert_eq!(
            places.map(|place| place.estimated_ms.unwrap()),
            [20_000, 20_000, 30_000, 40_000]
        );
        queue.running_flag(id(2)).unwrap().raise(StopReason::Cancelled);
        assert_eq!(queue.running_flag(id(1)).unwrap().reason(), None);
        assert!(queue.running_flag(id(3)).is_none());
    }

    #[test]
    fn a_closed_queue_gives_back_who_waits_and_takes_nobody() {
        let (mut queue, now) = (Queue::new(5), Instant::now());
        admit(&mut queue, 1, now).unwrap();
        admit(&mut queue, 2, now).unwrap();
        queue.take(now);
        assert_eq!(queue.close().len(), 1);
        assert!(queue.is_running());
        assert_eq!(admit(&mut queue, 3, now), Err(Refused::Draining));
    }
}
