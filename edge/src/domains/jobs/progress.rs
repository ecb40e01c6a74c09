//! How far a run is, in one number that never falls: pure rules from node events to progress.

use shared::{api::jobs::JobStatus, node::jobs::NodeEvent};

use crate::ports::stores::JobProgress;

const OPENED: u8 = 5;
const STARTED: u8 = 10;
const LAST_STEP: u8 = 85;
const SAVING: u8 = 90;

/// A node took the job.
pub fn opened() -> JobProgress {
    progress(JobStatus::Initializing, OPENED, "starting")
}

/// Everything is drawn and is being stored.
pub fn saving() -> JobProgress {
    progress(JobStatus::Saving, SAVING, "saving the picture")
}

/// What an event says about progress; ends say nothing.
pub fn of_event(event: &NodeEvent) -> Option<JobProgress> {
    match event {
        NodeEvent::Queued { position, .. } => {
            let message = format!("waiting on the node, {position} before");
            Some(progress(JobStatus::Initializing, OPENED, message))
        }
        NodeEvent::Started => Some(progress(JobStatus::Generating, STARTED, "generating")),
        NodeEvent::Progress { step, steps } => {
            let share =
                u64::from(*step) * u64::from(LAST_STEP - STARTED) / u64::from(*steps).max(1);
            let now = u64::from(STARTED).saturating_add(share).min(u64::from(LAST_STEP)) as u8;
            Some(progress(JobStatus::Generating, now, format!("step {step} of {steps}")))
        }
        NodeEvent::Preview { .. }
        | NodeEvent::Completed { .. }
        | NodeEvent::Failed { .. }
        | NodeEvent::Cancelled => None,
    }
}

/// What to show after `next`: nothing if it lies behind `present`, as events replayed after a break do.
/// A second run passes through the statuses again, at the progress the first one reached.
pub fn forward(present: &JobProgress, mut next: JobProgress) -> Option<JobProgress> {
    let is_behind = next.progress < present.progress;
    if is_behind && rank(next.status) <= rank(present.status) {
        return None;
    }
    next.progress = next.progress.max(present.progress);
    (next != *present).then_some(next)
}

fn rank(status: JobStatus) -> u8 {
    match status {
        JobStatus::Queued => 0,
        JobStatus::Initializing => 1,
        JobStatus::Generating => 2,
        JobStatus::Saving => 3,
        JobStatus::Completed | JobStatus::Failed | JobStatus::Cancelled => 4,
    }
}

fn progress(status: JobStatus, progress: u8, message: impl Into<String>) -> JobProgress {
    JobProgress { status, progress, message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_fill_the_span_between_start_and_saving() {
        let at = |step, steps| of_event(&NodeEvent::Progress { step, steps }).unwrap().progress;
        assert_eq!((at(0, 12), at(6, 12), at(12, 12)), (10, 47, 85));
        assert_eq!((at(99, 12), at(1, 0)), (85, 85));
    }

    #[test]
    fn a_replayed_event_does_not_move_back() {
        let present = of_event(&NodeEvent::Progress { step: 6, steps: 12 }).unwrap();
        assert_eq!(forward(&present, opened()), None);
        assert_eq!(forward(&present, present.clone()), None);
        assert!(forward(&present, saving()).is_some());
    }

    #[test]
    fn a_second_run_keeps_the_progress_of_the_first() {
        let claimed = JobProgress { progress: 47, ..opened() };
        let started = forward(&claimed, of_event(&NodeEvent::Started).unwrap()).unwrap();
        assert_eq!((started.status, started.progress), (JobStatus::Generating, 47));
    }
}
