//! A job that somebody waits for on an open line: it ends when they hang up.

use std::sync::Arc;

use futures_util::{StreamExt, stream::BoxStream};
use shared::node::jobs::{Artifact, CreateNodeJob, NodeEvent};

use super::{
    run::{NumberedEvent, Run, StoredArtifact},
    service::Jobs,
    view::StopCause,
};
use crate::error::{Error, Result};

/// One job and its events. Dropping it cancels the job, waiting or running.
pub struct AwaitedJob {
    jobs: Arc<Jobs>,
    run: Arc<Run>,
    events: BoxStream<'static, NumberedEvent>,
    has_ended: bool,
}

impl AwaitedJob {
    /// Queues the job under an id of its own.
    pub async fn start(jobs: &Arc<Jobs>, order: CreateNodeJob) -> Result<Self> {
        let id = order.id;
        jobs.create_job(order).await?;
        // Nothing is awaited from here on, so whoever hangs up now drops what cancels the job.
        let run = jobs.find_run(id)?;
        let events = run.clone().follow(None).boxed();
        Ok(Self { jobs: jobs.clone(), run, events, has_ended: false })
    }

    /// What happens next; `None` after the end.
    pub async fn next(&mut self) -> Option<NodeEvent> {
        let event = self.events.next().await.map(|(_, event)| event);
        self.has_ended = event.as_ref().is_none_or(NodeEvent::is_end);
        event
    }

    /// The results of a job that ended with that event; they count as fetched.
    pub fn results(&self, end: Option<NodeEvent>) -> Result<Vec<StoredArtifact>> {
        let artifacts = artifacts_of(end)?;
        let fetch = |artifact: &Artifact| self.run.fetch_artifact(artifact.index);
        let stored = artifacts.iter().map(fetch).collect::<Option<Vec<_>>>();
        self.jobs.book.note_fetched();
        stored.ok_or(Error::NotFound("artifact"))
    }

    /// Waits for the job's end; gives its results.
    pub async fn finish(&mut self) -> Result<Vec<StoredArtifact>> {
        let end = self.end().await;
        self.results(end)
    }

    /// Waits for the job's end; its results stay where they can be fetched.
    pub async fn finish_unfetched(&mut self) -> Result<(&Run, Vec<Artifact>)> {
        let end = self.end().await;
        Ok((&*self.run, artifacts_of(end)?))
    }

    async fn end(&mut self) -> Option<NodeEvent> {
        loop {
            let event = self.next().await;
            if self.has_ended {
                return event;
            }
        }
    }
}

fn artifacts_of(end: Option<NodeEvent>) -> Result<Vec<Artifact>> {
    match end {
        Some(NodeEvent::Completed { artifacts, .. }) => Ok(artifacts),
        Some(NodeEvent::Failed { code, detail, is_retryable }) => {
            Err(Error::of_failure(&code, detail, is_retryable))
        }
        _ => Err(Error::Conflict("the job was cancelled")),
    }
}

impl Drop for AwaitedJob {
    fn drop(&mut self) {
        if !self.has_ended {
            self.jobs.stop_job(&self.run, StopCause::Asked);
        }
    }
}
