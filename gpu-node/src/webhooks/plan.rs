//! How often a delivery is tried again, and what counts as delivered.

use std::time::Duration;

/// The pauses between the attempts at one delivery, and between deliveries.
#[derive(Debug, Clone)]
pub struct Pauses {
    /// Of RunPod's: two more attempts.
    pub runpod: Vec<Duration>,
    /// Of Replicate's last one: it comes back for about a minute.
    pub completed: Vec<Duration>,
    /// Between two deliveries that tell of progress, at least.
    pub logs: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        let seconds = |list: &[u64]| list.iter().map(|s| Duration::from_secs(*s)).collect();
        let logs = Duration::from_millis(500);
        Self { runpod: seconds(&[10, 10]), completed: seconds(&[2, 4, 8, 16, 32]), logs }
    }
}

/// How one delivery goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// 200 and nothing else is a success.
    RunPod,
    /// Worth several attempts; any 2xx is a success.
    Completed,
    /// A later one says more: it is not tried again.
    InBetween,
}

impl Plan {
    pub(super) fn pauses(self, pauses: &Pauses) -> &[Duration] {
        match self {
            Self::RunPod => &pauses.runpod,
            Self::Completed => &pauses.completed,
            Self::InBetween => &[],
        }
    }

    pub(super) fn is_delivered(self, status: u16) -> bool {
        match self {
            Self::RunPod => status == 200,
            Self::Completed | Self::InBetween => (200..300).contains(&status),
        }
    }
}
