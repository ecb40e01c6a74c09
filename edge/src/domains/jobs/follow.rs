//! One job on one node: open or attach, follow its events, attach again once when the stream breaks.

use shared::{
    api::jobs::JobError,
    node::jobs::{Artifact, CreateNodeJob, NodeEvent},
};

use super::{
    job_ports::JobPorts,
    lease::{Interrupt, Lease},
    progress,
};
use crate::ports::fleet::{NodeFailure, NodeRef};

/// How a run on a node went.
#[derive(Debug, Clone, PartialEq)]
pub enum Drawn {
    Complete(Results),
    /// It failed there; elsewhere it may not, if `is_retryable`.
    Failed {
        error: JobError,
        is_retryable: bool,
    },
    /// The node will never take it.
    Refused(JobError),
    Full {
        retry_after_s: u32,
    },
    /// The run was never opened.
    NotReached,
    /// It was opened, and lost.
    BrokeOff,
}

/// What a completed run left on its node, and how long it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    pub artifacts: Vec<Artifact>,
    pub model: String,
    pub model_revision: String,
    pub engine_version: String,
    pub queued_ms: u64,
    pub run_ms: u64,
}

/// A job on the node that was picked for it.
#[derive(Clone, Copy)]
pub struct OnNode<'a> {
    pub ports: &'a JobPorts<'a>,
    pub node: &'a NodeRef,
    pub order: &'a CreateNodeJob,
}

enum Attached {
    Over(Drawn),
    Broken { cause: String },
}

impl OnNode<'_> {
    /// Runs it to its end on this node, or to where this node is of no more use.
    pub async fn run(&self, lease: &mut Lease<'_>) -> Result<Drawn, Interrupt> {
        let mut was_opened = false;
        let mut may_attach_again = true;
        loop {
            let before = lease.progress();
            let cause = match self.attach(lease, &mut was_opened).await? {
                Attached::Over(drawn) => return Ok(drawn),
                Attached::Broken { cause } => cause,
            };
            tracing::warn!(job_id = %self.order.id, node = %self.node.node_id, %cause, "a node broke off");
            // A stream that a proxy cuts every minute still moves the job on: only standing still counts.
            may_attach_again |= lease.progress() > before;
            if !was_opened || !may_attach_again {
                self.report(false).await;
                return Ok(if was_opened { Drawn::BrokeOff } else { Drawn::NotReached });
            }
            may_attach_again = false;
        }
    }

    async fn attach(
        &self,
        lease: &mut Lease<'_>,
        was_opened: &mut bool,
    ) -> Result<Attached, Interrupt> {
        let client = self.ports.node_client;
        if let Err(failure) = lease.keep_during(client.open(self.node, self.order)).await? {
            return Ok(not_opened(failure, *was_opened));
        }
        if !*was_opened {
            *was_opened = true;
            self.report(true).await;
        }
        let opened = lease.keep_during(client.events(self.node, self.order.id)).await?;
        let mut events = match opened {
            Ok(events) => events,
            Err(failure) => return Ok(broken(failure)),
        };
        loop {
            match lease.keep_during(events.next()).await? {
                Ok(Some(event)) => {
                    if let Some(next) = progress::of_event(&event) {
                        lease.advance(next).await?;
                    }
                    if let Some(drawn) = end_of(event) {
                        return Ok(Attached::Over(drawn));
                    }
                }
                Ok(None) => {
                    return Ok(Attached::Broken { cause: "the stream ended early".to_owned() });
                }
                Err(failure) => return Ok(broken(failure)),
            }
        }
    }

    /// Tells the node to stop and forget the job. If it can't be told, its own time limits end it.
    pub async fn stop(&self) {
        if let Err(failure) = self.ports.node_client.cancel(self.node, self.order.id).await {
            tracing::debug!(job_id = %self.order.id, ?failure, "the node was not told to stop");
        }
    }

    async fn report(&self, is_ok: bool) {
        if let Err(error) = self.ports.fleet.report(&self.node.node_id, is_ok).await {
            tracing::debug!(node = %self.node.node_id, %error, "the fleet was not told");
        }
    }
}

fn not_opened(failure: NodeFailure, was_opened: bool) -> Attached {
    match failure {
        // Restarted between two attachments, it is full of others' jobs: this run is lost, not refused.
        NodeFailure::Full { .. } if was_opened => Attached::Over(Drawn::BrokeOff),
        NodeFailure::Full { retry_after_s } => Attached::Over(Drawn::Full { retry_after_s }),
        NodeFailure::Refused { code, detail } => {
            Attached::Over(Drawn::Refused(JobError { code, detail }))
        }
        failure => broken(failure),
    }
}

fn broken(failure: NodeFailure) -> Attached {
    let cause = match failure {
        NodeFailure::Unreachable { cause } => cause,
        NodeFailure::Unknown => "it does not know the job any more".to_owned(),
        NodeFailure::Full { .. } => "it is full".to_owned(),
        NodeFailure::Refused { code, detail } => format!("{code}: {detail}"),
    };
    Attached::Broken { cause }
}

fn end_of(event: NodeEvent) -> Option<Drawn> {
    match event {
        NodeEvent::Completed {
            artifacts,
            model,
            model_revision,
            engine_version,
            queued_ms,
            run_ms,
        } => {
            let results =
                Results { artifacts, model, model_revision, engine_version, queued_ms, run_ms };
            Some(Drawn::Complete(results))
        }
        NodeEvent::Failed { code, detail, is_retryable } => {
            Some(Drawn::Failed { error: JobError { code, detail }, is_retryable })
        }
        // Not by us: an operator, or a node that drains. The job itself is still wanted.
        NodeEvent::Cancelled => Some(Drawn::Failed {
            error: JobError {
                code: "cancelled_on_node".to_owned(),
                detail: "the node gave the job up".to_owned(),
            },
            is_retryable: true,
        }),
        NodeEvent::Queued { .. }
        | NodeEvent::Started
        | NodeEvent::Progress { .. }
        | NodeEvent::Preview { .. } => None,
    }
}
