//! How much memory the loaded models may take together, and who leaves when another needs room.
//!
//! The least recently used leaves first, and never while it runs: a lane that is asked leaves between two jobs.

use std::{
    sync::{Arc, Condvar, Mutex},
    time::Instant,
};

use super::locked;

/// A lane, as the budget sees it. Called with the budget's lock held.
pub(super) trait Tenant: Send + Sync {
    fn name(&self) -> &str;
    fn is_idle(&self) -> bool;
    /// Asks it to unload its model before its next job, and then to call [`MemoryBudget::release`].
    fn ask_to_leave(&self);
}

struct Lease {
    tenant: Arc<dyn Tenant>,
    bytes: u64,
    last_used: Instant,
    was_asked: bool,
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
    changed: Condvar,
}

impl MemoryBudget {
    /// `None` lets everything load.
    pub fn new(limit_bytes: Option<u64>) -> Self {
        Self { limit_bytes, leases: Mutex::default(), changed: Condvar::new() }
    }

    /// Waits until there is room for the tenant's model, making some if need be.
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
        loop {
            if !is_wanted() {
                return Err(NoRoom::Unwanted);
            }
            let used: u64 = leases.iter().map(|lease| lease.bytes).sum();
            if self.limit_bytes.is_none_or(|limit| used.saturating_add(bytes) <= limit) {
                leases.push(Lease { tenant, bytes, last_used: Instant::now(), was_asked: false });
                return Ok(());
            }
            if !leases.iter().any(|lease| lease.was_asked) {
                // Idle ones first; among the busy ones the longest unused has to leave after its run.
                let next = leases.iter_mut().min_by_key(|l| (!l.tenant.is_idle(), l.last_used));
                if let Some(lease) = next {
                    lease.was_asked = true;
                    lease.tenant.ask_to_leave();
                }
            }
            leases = self.changed.wait(leases).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
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
