//! How much memory the loaded models may take together, and who leaves when another needs room.
//!
//! The least recently used leaves first, and never while it runs: a lane that is asked leaves between two jobs, soon
//! ([`Stay`](super::stay::Stay)). Who wants room gets it in the order of asking.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::locked;

/// A lane, as the budget sees it. Called with the budget's lock held.
pub(super) trait Tenant: Send + Sync {
    fn name(&self) -> &str;
    fn is_idle(&self) -> bool;
    /// Asks it to unload its model between two jobs, and then to call [`MemoryBudget::release`].
    fn ask_to_leave(&self);
}

struct Lease {
    tenant: Arc<dyn Tenant>,
    bytes: u64,
    /// Which one it is: a tenant may leave and come back.
    number: u64,
    /// For what it runs now, beyond its model.
    borrowed: u64,
    last_used: Instant,
    was_asked: bool,
}

/// Those who want room, the first to ask at the front.
#[derive(Default)]
struct Line {
    waiting: VecDeque<u64>,
    last: u64,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// It would not fit even alone.
    TooLarge { limit_bytes: u64 },
    /// Nobody wants it any more.
    Unwanted,
}

/// The memory that the loaded models of one node share.
pub struct MemoryBudget {
    limit_bytes: Option<u64>,
    leases: Mutex<Vec<Lease>>,
    /// Who waits for room; locked with the leases' lock held.
    line: Mutex<Line>,
    changed: Condvar,
}

impl MemoryBudget {
    /// `None` lets everything load.
    pub fn new(limit_bytes: Option<u64>) -> Self {
        Self {
            limit_bytes,
            leases: Mutex::default(),
            line: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Waits until there is room for the tenant's model, making some if need be. Nobody passes who asked before.
    pub(super) fn reserve(
        &self,
        tenant: Arc<dyn Tenant>,
        bytes: u64,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<(), NoRoom> {
        if let Some(limit_bytes) = self.limit_bytes.filter(|limit| bytes > *limit) {
            return Err(NoRoom::TooLarge { limit_bytes });
        }
        let mut leases = locked(&self.leases);
        let place = self.join_line();
        loop {
            if !is_wanted() {
                self.leave_line(place);
                return Err(NoRoom::Unwanted);
            }
            if !self.is_first(place) {
                leases = self.wait(leases);
                continue;
            }
            let fits = |used: u64| {
                self.limit_bytes.is_none_or(|limit| used.saturating_add(bytes) <= limit)
            };
            let models = leases.iter().map(|lease| lease.bytes).sum();
            let borrowed: u64 = leases.iter().map(|lease| lease.borrowed).sum();
            if fits(borrowed.saturating_add(models)) {
                let (last_used, was_asked) = (Instant::now(), false);
                let (number, borrowed) = (place, 0);
                leases.push(Lease { tenant, bytes, number, borrowed, last_used, was_asked });
                self.leave_line(place);
                return Ok(());
            }
            // What is borrowed comes back by itself.
            if !fits(models) && !leases.iter().any(|lease| lease.was_asked) {
                // Idle ones first; among the busy ones the longest unused has to leave after its run.
                let next = leases.iter_mut().min_by_key(|l| (!l.tenant.is_idle(), l.last_used));
                if let Some(lease) = next {
                    lease.was_asked = true;
                    lease.tenant.ask_to_leave();
                }
            }
            leases = self.wait(leases);
        }
    }

    /// As much of `bytes` as is free, for what a loaded model runs now; nothing while another one waits for room.
    pub(super) fn borrow(&self, name: &str, bytes: u64) -> u64 {
        let Some(limit) = self.limit_bytes else { return bytes };
        let mut leases = locked(&self.leases);
        let used = leases.iter().map(|l| l.bytes.saturating_add(l.borrowed)).sum();
        let lease = leases.iter_mut().find(|lease| lease.tenant.name() == name);
        let Some(lease) = lease.filter(|_| locked(&self.line).waiting.is_empty()) else {
            return 0;
        };
        let lent = limit.saturating_sub(used).min(bytes);
        lease.borrowed += lent;
        lent
    }

    /// The tenant's run is over: all it borrowed is free again.
    pub(super) fn give_back(&self, name: &str) {
        let mut leases = locked(&self.leases);
        for lease in leases.iter_mut().filter(|l| l.tenant.name() == name && l.borrowed > 0) {
            lease.borrowed = 0;
            self.changed.notify_all();
        }
    }

    /// After a load for which the memory was not there in truth: has an idle model leave, the longest unused one, and
    /// waits for that. `false` when there is none.
    pub(super) fn make_room(&self, name: &str, is_wanted: &dyn Fn() -> bool) -> bool {
        let mut leases = locked(&self.leases);
        let others = leases.iter_mut().filter(|l| l.tenant.name() != name && l.tenant.is_idle());
        let Some(lease) = others.min_by_key(|lease| lease.last_used) else { return false };
        lease.was_asked = true;
        lease.tenant.ask_to_leave();
        let leaving = lease.number;
        while leases.iter().any(|lease| lease.number == leaving) {
            if !is_wanted() {
                return false;
            }
            leases = self.wait(leases);
        }
        true
    }

    fn wait<'a>(&self, leases: MutexGuard<'a, Vec<Lease>>) -> MutexGuard<'a, Vec<Lease>> {
        self.changed.wait(leases).unwrap_or_else(PoisonError::into_inner)
    }

    fn join_line(&self) -> u64 {
        let mut line = locked(&self.line);
        line.last += 1;
        let place = line.last;
        line.waiting.push_back(place);
        place
    }

    fn is_first(&self, place: u64) -> bool {
        locked(&self.line).waiting.front() == Some(&place)
    }

    /// Whoever is behind looks again.
    fn leave_line(&self, place: u64) {
        locked(&self.line).waiting.retain(|other| *other != place);
        self.changed.notify_all();
    }

    /// The tenant's model is out of memory.
    pub(super) fn release(&self, name: &str) {
        locked(&self.leases).retain(|lease| lease.tenant.name() != name);
        self.changed.notify_all();
    }

    /// The tenant's model was used just now.
    pub(super) fn touch(&self, name: &str) {
        for lease in locked(&self.leases).iter_mut().filter(|lease| lease.tenant.name() == name) {
            lease.last_used = Instant::now();
        }
    }

    /// Lets those who wait look again whether they are still wanted.
    pub(super) fn wake(&self) {
        // The lock orders this after a waiter's look at its flag, so that none sleeps through it.
        drop(locked(&self.leases));
        self.changed.notify_all();
    }
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
