//! The word that a running job hears at its next `emit`: go on, or stop and why.

use std::sync::atomic::{AtomicU8, Ordering};

/// Why a job is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopReason {
    /// Somebody no longer wants it.
    Cancelled,
    /// The node goes away and will not wait longer.
    Draining,
}

/// One job's flag, shared by the lane's thread and whoever may stop it.
#[derive(Debug, Default)]
pub(super) struct StopFlag(AtomicU8);

impl StopFlag {
    /// Asks the job to stop; the first reason given stays.
    pub(super) fn raise(&self, reason: StopReason) {
        let value = match reason {
            StopReason::Cancelled => 1,
            StopReason::Draining => 2,
        };
        // Nothing else is published through the flag, so no ordering is needed; losing the race keeps the first reason.
        let _ = self.0.compare_exchange(0, value, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Why the job should stop, if it should.
    pub(super) fn reason(&self) -> Option<StopReason> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(StopReason::Cancelled),
            _ => Some(StopReason::Draining),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_stays() {
        let flag = StopFlag::default();
        assert_eq!(flag.reason(), None);
        flag.raise(StopReason::Cancelled);
        flag.raise(StopReason::Draining);
        assert_eq!(flag.reason(), Some(StopReason::Cancelled));
    }
}
