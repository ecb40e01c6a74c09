//! Where requests wait for a lane's thread, and where the thread waits for them: a bounded queue with its limits.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, PoisonError, Weak},
    time::Instant,
};

use super::pace::Pace;
use crate::{
    engines::EngineError,
    scheduler::{
        Failure, LaneStatus, LoadModel, LoadState, MemoryBudget, Metrics, Refused,
        budget::{NoRoom, Tenant},
        job::first_line,
        loading::catch,
        locked,
        stay::Stay,
        stop::{StopFlag, StopReason},
    },
};

/// Requests that a lane lets in while somebody else waits for its room; many of them run at once.
const STAY_REQUESTS: u32 = 64;

/// A request's place in its lane; dropping it cancels the request.
#[derive(Debug)]
pub struct Ticket {
    stop: Arc<StopFlag>,
    budget: Weak<MemoryBudget>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.stop.raise(StopReason::Cancelled);
        if let Some(budget) = self.budget.upgrade() {
            budget.wake();
        }
    }
}

/// What a lane is asked for.
pub(super) trait Order: Send + 'static {
    /// It will not be done.
    fn fail(self, failure: Failure);
}

/// An order in the queue, or taken out of it.
pub(super) struct Waiting<O> {
    pub(super) order: O,
    pub(super) stop: Arc<StopFlag>,
    pub(super) since: Instant,
}

/// What the lane's thread is to do next.
pub(super) enum Task<O> {
    Load,
    Unload,
    /// Whatever runs has to end now.
    Stop,
    LetIn(Waiting<O>),
    /// Nobody comes in; what runs goes on.
    GoOn,
}

struct State<O> {
    waiting: VecDeque<Waiting<O>>,
    /// Requests that run.
    running: usize,
    pace: Pace,
    load: LoadState,
    stay: Stay,
    /// Nothing new is taken in.
    is_closed: bool,
    /// What runs is to end now.
    must_stop: bool,
    is_dropped: bool,
}

/// What a lane's callers and its thread have in common.
pub(super) struct Door<O> {
    model: String,
    /// Requests that may be here, running and waiting.
    places: usize,
    memory_bytes: u64,
    state: Mutex<State<O>>,
    wake: Condvar,
    budget: Arc<MemoryBudget>,
    pub(super) metrics: Arc<Metrics>,
}

impl<O: Order> Door<O> {
    pub(super) fn new(
        model: &str,
        places: usize,
        memory_bytes: u64,
        (budget, metrics): (Arc<MemoryBudget>, Arc<Metrics>),
    ) -> Arc<Self> {
        metrics.set_queue(model, 0, 0);
        metrics.set_loaded(model, false);
        let state = State {
            waiting: VecDeque::new(),
            running: 0,
            pace: Pace::default(),
            load: LoadState::NotLoaded,
            stay: Stay::new(STAY_REQUESTS),
            is_closed: false,
            must_stop: false,
            is_dropped: false,
        };
        Arc::new(Self {
            model: model.to_owned(),
            places,
            memory_bytes,
            state: Mutex::new(state),
            wake: Condvar::new(),
            budget,
            metrics,
        })
    }

    pub(super) fn model(&self) -> &str {
        &self.model
    }

    pub(super) fn places(&self) -> usize {
        self.places
    }

    /// Takes the order in or refuses it, without waiting.
    pub(super) fn submit(&self, order: O) -> Result<Ticket, Refused> {
        let (stop, since) = (Arc::<StopFlag>::default(), Instant::now());
        let mut state = locked(&self.state);
        if state.is_closed {
            return Err(Refused::Draining);
        }
        if state.waiting.len() + state.running >= self.places {
            // Whoever was cancelled has given its place up.
            self.drop_cancelled(&mut state);
        }
        if state.waiting.len() + state.running >= self.places {
            return Err(Refused::Full { retry_after_ms: state.pace.retry_after_ms(since) });
        }
        state.waiting.push_back(Waiting { order, stop: stop.clone(), since });
        self.report(&state);
        self.wake.notify_all();
        Ok(Ticket { stop, budget: Arc::downgrade(&self.budget) })
    }

    /// Has the model loaded as soon as the thread has nothing else to do.
    pub(super) fn preload(&self) {
        let mut state = locked(&self.state);
        if state.load != LoadState::Loaded {
            state.load = state.load.asked();
        }
        self.wake.notify_all();
    }

    pub(super) fn status(&self) -> LaneStatus {
        let state = locked(&self.state);
        LaneStatus {
            load: state.load.clone(),
            waiting: state.waiting.len(),
            is_running: state.running > 0,
        }
    }

    pub(super) fn running(&self) -> usize {
        locked(&self.state).running
    }

    /// Takes nothing new and hands back what waits; what runs goes on.
    pub(super) fn close(&self) {
        locked(&self.state).is_closed = true;
        self.fail_waiting(&Failure::draining());
    }

    /// Has what runs ended after its current step.
    pub(super) fn stop_running(&self) {
        locked(&self.state).must_stop = true;
        self.wake.notify_all();
        self.budget.wake();
    }

    /// The lane is gone: the thread ends what runs, and itself.
    pub(super) fn leave(&self) {
        locked(&self.state).is_dropped = true;
        self.wake.notify_all();
        self.budget.wake();
    }

    /// Waits until there is something to do; `None` when the lane is gone. `has_place` says whether an order may come in.
    pub(super) fn next_task(
        &self,
        (is_loaded, is_running): (bool, bool),
        mut has_place: impl FnMut(&O) -> bool,
    ) -> Option<Task<O>> {
        let mut state = locked(&self.state);
        loop {
            if state.is_dropped {
                drop(state);
                self.fail_waiting(&Failure::draining());
                return None;
            }
            self.drop_cancelled(&mut state);
            if state.must_stop && is_running {
                return Some(Task::Stop);
            }
            let now = Instant::now();
            let must_leave = state.stay.is_over(now, !state.waiting.is_empty());
            if must_leave && !is_running {
                return Some(Task::Unload);
            }
            let is_asked = state.load.is_asked();
            if is_asked || (!is_loaded && !state.waiting.is_empty()) {
                return Some(Task::Load);
            }
            // A lane that is to leave lets nobody in, so that it can.
            if is_loaded
                && !must_leave
                && let Some(first) = state.waiting.pop_front_if(|first| has_place(&first.order))
            {
                state.stay.note_jobs(1);
                state.pace.note_taken(now);
                state.running += 1;
                self.report(&state);
                return Some(Task::LetIn(first));
            }
            if is_running {
                return Some(Task::GoOn);
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// So many run now.
    pub(super) fn set_running(&self, running: usize) {
        if locked(&self.state).running != running {
            // First, so that whoever sees the lane idle also sees when it was used.
            self.budget.touch(&self.model);
            let mut state = locked(&self.state);
            state.running = running;
            self.report(&state);
        }
    }

    /// Brings the model into memory within the budget; `None` when nobody wants it any more, or when it failed, and with
    /// it everyone who waits.
    pub(super) fn load<L>(self: &Arc<Self>, load: &mut dyn LoadModel<L>) -> Option<L> {
        let began = Instant::now();
        let error = match self.load_within_budget(load) {
            Ok(Some(loaded)) => {
                let took = began.elapsed();
                let mut state = locked(&self.state);
                state.load = LoadState::Loaded;
                state.stay.note_loaded(Instant::now(), took);
                drop(state);
                self.metrics.set_loaded(&self.model, true);
                self.metrics.observe_load(&self.model, took);
                let load_ms = took.as_millis() as u64;
                tracing::info!(model = %self.model, load_ms, "model loaded");
                return Some(loaded);
            }
            Ok(None) => {
                locked(&self.state).load = LoadState::NotLoaded;
                return None;
            }
            Err(error) => error,
        };
        self.release();
        self.note_broken(&error);
        self.fail_waiting(&Failure::not_loaded(&self.model, &error));
        None
    }

    fn load_within_budget<L>(
        self: &Arc<Self>,
        load: &mut dyn LoadModel<L>,
    ) -> Result<Option<L>, EngineError> {
        let bytes = self.memory_bytes;
        let is_wanted = || {
            let state = locked(&self.state);
            let is_waiting = state.waiting.iter().any(|first| first.stop.reason().is_none());
            !state.is_dropped && (is_waiting || state.load.is_asked())
        };
        // Before the budget: nobody gives memory up for a model that is still on its way.
        match catch(|| load.fetch(&is_wanted)) {
            Err(EngineError::Cancelled) => return Ok(None),
            fetched => fetched?,
        }
        match self.budget.reserve(self.clone(), bytes, &is_wanted) {
            Ok(()) => {}
            Err(NoRoom::Unwanted) => return Ok(None),
            Err(NoRoom::TooLarge { limit_bytes }) => {
                return Err(EngineError::OutOfMemory(format!(
                    "it takes {bytes} bytes and this node may use {limit_bytes} (MEMORY_BUDGET_MB)"
                )));
            }
        }
        match catch(|| load.load()) {
            Err(EngineError::OutOfMemory(_)) if self.budget.make_room(&self.model, &is_wanted) => {
                catch(|| load.load()).map(Some)
            }
            loaded => loaded.map(Some),
        }
    }

    /// It was asked for and is there already.
    pub(super) fn note_loaded(&self) {
        locked(&self.state).load = LoadState::Loaded;
    }

    /// Nothing is loaded and the next order tries again.
    pub(super) fn note_broken(&self, error: &EngineError) {
        locked(&self.state).load = LoadState::Failed(first_line(error));
        tracing::error!(model = %self.model, %error, "model not loaded");
    }

    /// Drops what was loaded, and gives its memory back.
    pub(super) fn unload<L>(&self, loaded: Option<L>) {
        if let Some(loaded) = loaded {
            // A model that panicked may do so again on its way out.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(loaded)));
            locked(&self.state).load = LoadState::NotLoaded;
            self.metrics.set_loaded(&self.model, false);
            tracing::info!(model = %self.model, "model unloaded");
        }
        self.release();
    }

    fn release(&self) {
        self.budget.release(&self.model);
        // Without its room it cannot be asked for it.
        locked(&self.state).stay.note_left();
    }

    fn fail_waiting(&self, failure: &Failure) {
        let mut state = locked(&self.state);
        let waiting = std::mem::take(&mut state.waiting);
        self.report(&state);
        drop(state);
        for Waiting { order, .. } in waiting {
            self.metrics.job_ended(&self.model, "failed");
            order.fail(failure.clone());
        }
    }

    fn report(&self, state: &State<O>) {
        self.metrics.set_queue(&self.model, state.waiting.len(), state.running);
    }

    /// Takes those out of the queue that nobody wants any more.
    fn drop_cancelled(&self, state: &mut State<O>) {
        let before = state.waiting.len();
        state.waiting.retain(|waiting| waiting.stop.reason().is_none());
        for _ in state.waiting.len()..before {
            self.metrics.job_ended(&self.model, "cancelled");
        }
        if state.waiting.len() < before {
            self.report(state);
        }
    }
}

impl<O: Order> Tenant for Door<O> {
    fn name(&self) -> &str {
        &self.model
    }

    fn is_idle(&self) -> bool {
        let state = locked(&self.state);
        state.running == 0 && state.waiting.is_empty()
    }

    fn ask_to_leave(&self) {
        locked(&self.state).stay.ask_to_leave(Instant::now());
        self.wake.notify_all();
    }
}
