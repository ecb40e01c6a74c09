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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runpods_is_tried_twice_more_ten_seconds_apart_and_logs_wait_half_a_second() {
        let pauses = Pauses::default();
        assert_eq!(Plan::RunPod.pauses(&pauses), [Duration::from_secs(10); 2]);
        assert_eq!(Plan::InBetween.pauses(&pauses), [Duration::ZERO; 0]);
        assert_eq!(pauses.logs, Duration::from_millis(500));
        let about_a_minute = Plan::Completed.pauses(&pauses).iter().sum::<Duration>();
        assert_eq!(about_a_minute, Duration::from_secs(62));
    }

    #[test]
    fn a_redirect_is_no_delivery_in_any_plan() {
        for (status, taken) in [(200, [true; 3]), (204, [false, true, true]), (307, [false; 3])] {
            let plans = [Plan::RunPod, Plan::Completed, Plan::InBetween];
            assert_eq!(plans.map(|plan| plan.is_delivered(status)), taken, "{status}");
        }
    }
}
