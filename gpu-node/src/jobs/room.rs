//! Which of the runs that ended are kept when there is no room for all.

use super::{book::Retention, run::Run};

/// How many runs with results there is room for when there is room for one that never began.
const NEVER_BEGAN_SHARE: usize = 10;

/// What is lost with a run, the most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// Results that nobody has fetched.
    Unfetched,
    /// Results that somebody has.
    Fetched,
    /// That an engine worked for it.
    Ran,
    /// That it was ordered: anybody can make a thousand of these in a second.
    NeverBegan,
}

impl Worth {
    pub(super) fn of(run: &Run) -> Self {
        match (run.has_results(), run.standing().has_begun) {
            (true, _) if run.has_unfetched() => Self::Unfetched,
            (true, _) => Self::Fetched,
            (false, true) => Self::Ran,
            (false, false) => Self::NeverBegan,
        }
    }

    pub(super) fn has_results(self) -> bool {
        matches!(self, Self::Unfetched | Self::Fetched)
    }
}

/// What is left while runs are taken in, the most worth and the newest first.
pub(super) struct Room {
    max_bytes: u64,
    results: usize,
    ran: usize,
    never_began: usize,
    bytes: u64,
    pub(super) artifact_bytes: u64,
    /// What does not fit takes everything older of its worth with it.
    full: Option<Worth>,
    is_empty: bool,
}

impl Room {
    pub(super) fn new(retention: &Retention) -> Self {
        Self {
            max_bytes: retention.max_bytes,
            results: retention.max_count,
            ran: retention.max_count,
            never_began: retention.max_count.div_ceil(NEVER_BEGAN_SHARE),
            bytes: 0,
            artifact_bytes: 0,
            full: None,
            is_empty: true,
        }
    }

    /// Whether one more may be there at all; from now on it is.
    pub(super) fn has_place(&mut self, worth: Worth) -> bool {
        let places = match worth {
            Worth::Unfetched | Worth::Fetched => &mut self.results,
            Worth::Ran => &mut self.ran,
            Worth::NeverBegan => &mut self.never_began,
        };
        let has_place = *places > 0;
        *places = places.saturating_sub(1);
        has_place
    }

    /// Whether what it holds has room too, which the first always has.
    pub(super) fn take(&mut self, worth: Worth, artifact_bytes: u64, input_bytes: u64) -> bool {
        let bytes = artifact_bytes + input_bytes;
        let fits = self.is_empty || bytes == 0 || self.bytes + bytes <= self.max_bytes;
        if !fits && worth.has_results() {
            self.full = Some(worth);
        }
        self.is_empty = false;
        if !fits || self.full == Some(worth) {
            return false;
        }
        self.bytes += bytes;
        self.artifact_bytes += artifact_bytes;
        true
    }
}
