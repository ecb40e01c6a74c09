//! What a lane learnt from its own runs: how long the next one will take.

use std::{collections::VecDeque, time::Duration};

/// Old runs say little about a machine whose load changes.
const RUNS_REMEMBERED: usize = 32;

/// Durations of the last runs per unit of work, and of the last load.
#[derive(Debug, Default)]
pub(super) struct History {
    ms_per_unit: VecDeque<f64>,
    load_ms: Option<f64>,
}

impl History {
    /// A run of `weight` units took this long.
    pub(super) fn add_run(&mut self, weight: f64, took: Duration) {
        if self.ms_per_unit.len() == RUNS_REMEMBERED {
            self.ms_per_unit.pop_front();
        }
        self.ms_per_unit.push_back(took.as_secs_f64() * 1e3 / weight.max(f64::MIN_POSITIVE));
    }

    /// Loading the model took this long.
    pub(super) fn set_load(&mut self, took: Duration) {
        self.load_ms = Some(took.as_secs_f64() * 1e3);
    }

    /// How long that much work should take; `None` before the first run.
    pub(super) fn run_ms(&self, weight: f64) -> Option<f64> {
        if self.ms_per_unit.is_empty() {
            return None;
        }
        let mean = self.ms_per_unit.iter().sum::<f64>() / self.ms_per_unit.len() as f64;
        Some(mean * weight)
    }

    /// How long the next load should take; nothing before the first.
    pub(super) fn load_ms(&self) -> f64 {
        self.load_ms.unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_without_runs_does_not_guess() {
        assert_eq!(History::default().run_ms(1.0), None);
    }

    #[test]
    fn twice_the_work_takes_twice_the_time() {
        let mut history = History::default();
        history.add_run(10.0, Duration::from_millis(100));
        history.add_run(10.0, Duration::from_millis(300));
        assert_eq!(history.run_ms(20.0), Some(400.0));
    }

    #[test]
    fn only_the_last_runs_count() {
        let mut history = History::default();
        history.add_run(1.0, Duration::from_secs(3600));
        for _ in 0..RUNS_REMEMBERED {
            history.add_run(1.0, Duration::from_millis(50));
        }
        let estimate = history.run_ms(1.0).expect("it has runs");
        assert!((estimate - 50.0).abs() < 1e-6, "{estimate}");
    }
}
