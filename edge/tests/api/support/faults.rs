//! Failures on demand: the n-th call to a part fails, with or without its effect, or a part is away for a while.

use std::sync::{Arc, Mutex};

use edge::{
    error::{Error, Result},
    ports::system::Clock,
};

use super::clock::FakeClock;

/// What can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Database,
    Storage,
    Node,
    Gate,
    Queue,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing was done.
    Before,
    /// Everything was done, and the answer was lost.
    After,
}

#[derive(Default)]
struct Plan {
    calls: Vec<(Part, &'static str)>,
    struck: Option<(usize, Fault)>,
    away: Option<(Part, u64)>,
    named: Option<(&'static str, u32)>,
}

/// The plan all fakes of a test follow.
#[derive(Clone)]
pub struct Faults {
    clock: FakeClock,
    plan: Arc<Mutex<Plan>>,
}

impl Faults {
    pub fn new(clock: FakeClock) -> Self {
        Self { clock, plan: Arc::default() }
    }

    /// Calls made so far.
    pub fn calls(&self) -> Vec<(Part, &'static str)> {
        self.plan.lock().unwrap().calls.clone()
    }

    /// Forgets the calls, so that counting starts anew.
    pub fn start_counting(&self) {
        self.plan.lock().unwrap().calls.clear();
    }

    /// The `number`-th call from now, whichever it is, fails.
    pub fn strike(&self, number: usize, fault: Fault) {
        self.start_counting();
        self.plan.lock().unwrap().struck = Some((number, fault));
    }

    /// The next `times` calls of this name fail.
    pub fn fail_calls(&self, name: &'static str, times: u32) {
        self.plan.lock().unwrap().named = Some((name, times));
    }

    /// A part is away for so long.
    pub fn away(&self, part: Part, for_ms: u64) {
        let until_ms = self.clock.now_ms() + for_ms;
        self.plan.lock().unwrap().away = Some((part, until_ms));
    }

    /// Everything works again.
    pub fn heal(&self) {
        let mut plan = self.plan.lock().unwrap();
        (plan.struck, plan.away, plan.named) = (None, None, None);
    }

    /// Passes a call through the plan: `act` is its effect.
    pub fn pass<T>(
        &self,
        part: Part,
        name: &'static str,
        act: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        match self.fault(part, name) {
            None => act(),
            Some(Fault::Before) => Err(Error::unavailable("a part", name)),
            Some(Fault::After) => {
                act()?;
                Err(Error::unavailable("a part, after acting", name))
            }
        }
    }

    /// Whether and how this call fails.
    pub fn fault(&self, part: Part, name: &'static str) -> Option<Fault> {
        let now_ms = self.clock.now_ms();
        let mut plan = self.plan.lock().unwrap();
        let number = plan.calls.len();
        plan.calls.push((part, name));
        if let Some((away, until_ms)) = plan.away
            && away == part
            && now_ms < until_ms
        {
            return Some(Fault::Before);
        }
        if let Some((named, times)) = plan.named
            && named == name
            && times > 0
        {
            plan.named = Some((named, times - 1));
            return Some(Fault::Before);
        }
        plan.struck.filter(|(struck, _)| *struck == number).map(|(_, fault)| fault)
    }
}
