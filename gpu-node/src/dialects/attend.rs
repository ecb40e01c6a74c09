//! What goes on beside a job for its caller: its time limits, and the webhooks that tell of it. Neither holds up a lane.

use std::{
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};

use futures_util::{FutureExt, StreamExt};
use serde_json::Value;
use shared::node::jobs::{NodeEvent, NodeJobStatus};
use tokio::time;

use super::{ids::replicate_id, replicate, runpod};
use crate::{
    jobs::{Callback, Dialect, Jobs, Phase, Run, RunView, StopCause},
    registry::Manifest,
    webhooks::{Plan, Webhooks},
};

/// Watches over a job that has just been opened.
pub fn attend(jobs: &Arc<Jobs>, webhooks: Option<&Arc<Webhooks>>, run: &Arc<Run>) {
    tokio::spawn(keep_time(jobs.clone(), run.clone()));
    if let (Some(webhooks), Some(callback)) = (webhooks, run.origin.callback.clone()) {
        let open = webhooks.open();
        let reporter = Reporter {
            jobs: jobs.clone(),
            webhooks: webhooks.clone(),
            run: run.clone(),
            callback,
            sent: 0,
        };
        tokio::spawn(async move {
            reporter.report().await;
            drop(open);
        });
    }
}

async fn keep_time(jobs: Arc<Jobs>, run: Arc<Run>) {
    let patience = run.origin.patience;
    let began = run.wait_until(|standing| standing.has_begun);
    let too_long = async {
        began.await;
        sleep(patience.run).await;
    };
    let cause = tokio::select! {
        () = run.wait_until(|standing| standing.phase.is_end()) => return,
        () = sleep(patience.total) => match run.origin.dialect {
            Dialect::RunPod { .. } => StopCause::Expired,
            Dialect::Native | Dialect::Replicate => StopCause::Deadline,
        },
        () = too_long => StopCause::RunTooLong,
    };
    let was_running = run.phase() == Phase::Running;
    jobs.stop_job(&run, cause);
    if cause == StopCause::Expired && was_running {
        // As on RunPod, nothing is left of a job whose time was over while it ran.
        run.wait_until(|standing| standing.is_over).await;
        jobs.book.forget_ended(run.order.id);
    }
}

async fn sleep(duration: Option<Duration>) {
    match duration {
        Some(duration) => time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

struct Reporter {
    jobs: Arc<Jobs>,
    webhooks: Arc<Webhooks>,
    run: Arc<Run>,
    callback: Callback,
    sent: u32,
}

impl Reporter {
    async fn report(mut self) {
        match self.run.origin.dialect {
            Dialect::Native => {}
            Dialect::RunPod { .. } => {
                self.run.wait_until(|standing| standing.is_over).await;
                let body = runpod::status_body(&self.jobs, &self.run);
                self.send(&body, Plan::RunPod).await;
            }
            Dialect::Replicate => self.report_prediction().await,
        }
    }

    async fn report_prediction(&mut self) {
        let (events, interval) = (self.callback.events, self.webhooks.pauses().logs);
        let mut heard = Box::pin(self.run.clone().follow(None));
        let (mut steps, mut last_logs, mut has_unsent_logs) = (Vec::new(), None, false);
        while let Some((_, event)) = heard.next().await {
            // What came while the last call was under way is told at once, and not at all once the end is known.
            let mut news = vec![event];
            while let Some(Some((_, event))) = heard.next().now_or_never() {
                news.push(event);
            }
            for event in &news {
                if let NodeEvent::Progress { step, steps: of } = event {
                    steps.push((*step, *of));
                    has_unsent_logs = events.logs;
                }
            }
            if let Some(end) = news.last().filter(|event| event.is_end()) {
                let is_output = matches!(end, NodeEvent::Completed { .. }) && events.output;
                if is_output || events.completed || has_unsent_logs {
                    self.tell_end().await;
                }
                return;
            }
            let is_start = events.start && news.contains(&NodeEvent::Started);
            let is_due = last_logs.is_none_or(|at: Instant| at.elapsed() >= interval);
            if has_unsent_logs && is_due {
                (last_logs, has_unsent_logs) = (Some(Instant::now()), false);
                self.tell_moment(steps.clone()).await;
            } else if is_start {
                self.tell_moment(Vec::new()).await;
            }
        }
    }

    /// A prediction under way, as it was at that moment.
    async fn tell_moment(&mut self, steps: Vec<(u32, u32)>) {
        let view = self.run.view();
        let view = RunView {
            status: NodeJobStatus::Running,
            stop: None,
            steps,
            end: None,
            ended_at: None,
            ..view
        };
        let (manifest, base) = (self.manifest(), &self.run.origin.base_url);
        let body = replicate::prediction_at(&self.run, &view, manifest, base);
        self.send(&body, Plan::InBetween).await;
    }

    async fn tell_end(&mut self) {
        let base = &self.run.origin.base_url;
        let body = replicate::prediction(&self.run, self.manifest(), base);
        self.send(&body, Plan::Completed).await;
    }

    fn manifest(&self) -> Option<&Manifest> {
        self.jobs.catalog.find(&self.run.order.model).map(|model| &model.manifest)
    }

    async fn send(&mut self, body: &Value, plan: Plan) {
        self.sent += 1;
        // The time tells apart the runs of a job that was tried again.
        let since = self.run.created_at().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (job, micros) = (replicate_id(self.run.order.id), since.as_micros());
        let id = format!("msg_{job}_{micros}_{}", self.sent);
        let bytes = body.to_string().into_bytes();
        self.webhooks.deliver(&self.callback.url, &id, &bytes, plan).await;
    }
}
