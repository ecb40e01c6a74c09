//! Talking to a node: its jobs, their events, and their artifacts on the way to storage.

use std::sync::Arc;

use async_trait::async_trait;
use shared::{
    errors::ErrorBody,
    ids::JobId,
    node::jobs::{Artifact, CreateNodeJob, NodeJob},
};
use worker::send::SendFuture;

use super::{
    http_client::{Answer, Call, Unreached},
    node_events::FetchedEvents,
    supabase::SupabaseClient,
    transfer::transfer,
};
use crate::ports::fleet::{NodeClient, NodeEvents, NodeFailure, NodeRef, StoreFailure};

/// A node answers at once, or its lane is refused; only its work takes long.
const TIMEOUT_MS: u32 = 15_000;

/// When a node that is full or leaving doesn't say for how long.
const RETRY_AFTER_S: u32 = 5;

/// Nodes over HTTP, and the storage their artifacts go to.
pub struct HttpNodeClient {
    pub token: String,
    pub storage: Arc<SupabaseClient>,
}

impl HttpNodeClient {
    fn call(&self, method: &'static str, node: &NodeRef, path: &str) -> Call {
        Call::new(method, format!("{}/v1/jobs{path}", node.url), TIMEOUT_MS)
            .header("authorization", format!("Bearer {}", self.token))
    }
}

#[async_trait]
impl NodeClient for HttpNodeClient {
    async fn open(&self, node: &NodeRef, job: &CreateNodeJob) -> Result<NodeJob, NodeFailure> {
        let call = self.call("POST", node, "").json(job);
        SendFuture::new(async move {
            let answer = call.send().await?;
            let text = answer.text().await?;
            if !answer.is_success() {
                return Err(failure_of(&answer, &text));
            }
            serde_json::from_str(&text)
                .map_err(|e| NodeFailure::unreachable(format!("its answer: {e}")))
        })
        .await
    }

    async fn events(&self, node: &NodeRef, job: JobId) -> Result<Box<dyn NodeEvents>, NodeFailure> {
        let call = self
            .call("GET", node, &format!("/{job}/events"))
            .header("accept", "text/event-stream")
            .streaming();
        SendFuture::new(async move {
            let answer = successful(call.send().await?).await?;
            Ok(Box::new(FetchedEvents::open(&answer)?) as Box<dyn NodeEvents>)
        })
        .await
    }

    async fn cancel(&self, node: &NodeRef, job: JobId) -> Result<(), NodeFailure> {
        let call = self.call("DELETE", node, &format!("/{job}"));
        SendFuture::new(async move {
            let answer = call.send().await?;
            match answer.status() {
                // Whatever it doesn't know, it doesn't run.
                404 => {
                    answer.discard();
                    Ok(())
                }
                _ => successful(answer).await.map(|answer| answer.discard()),
            }
        })
        .await
    }

    async fn store_artifact(
        &self,
        node: &NodeRef,
        job: JobId,
        artifact: &Artifact,
        path: &str,
    ) -> Result<(), StoreFailure> {
        let index = artifact.index;
        let call = self.call("GET", node, &format!("/{job}/artifacts/{index}")).streaming();
        SendFuture::new(async move {
            let fetched = async { successful(call.send().await?).await };
            let source = fetched.await.map_err(StoreFailure::Node)?;
            let upload = self.storage.upload(path, &artifact.content_type);
            transfer(source, upload, artifact).await
        })
        .await
    }
}

async fn successful(answer: Answer) -> Result<Answer, NodeFailure> {
    if answer.is_success() {
        return Ok(answer);
    }
    let text = answer.text().await.unwrap_or_default();
    Err(failure_of(&answer, &text))
}

fn failure_of(answer: &Answer, text: &str) -> NodeFailure {
    failure(answer.status(), answer.retry_after_s(), text)
}

fn failure(status: u16, retry_after_s: Option<u32>, text: &str) -> NodeFailure {
    let problem = serde_json::from_str::<ErrorBody>(text).ok();
    match status {
        // 503: it is draining, and does not break what it runs.
        429 | 503 => NodeFailure::Full { retry_after_s: retry_after_s.unwrap_or(RETRY_AFTER_S) },
        404 | 410 => NodeFailure::Unknown,
        400 | 409 | 413 | 415 | 422 => NodeFailure::Refused {
            code: problem.as_ref().map_or("invalid_request", |p| p.code.as_str()).to_owned(),
            detail: problem.map_or_else(|| format!("the node answered {status}"), |p| words(&p)),
        },
        _ => NodeFailure::unreachable(format!("it answered {status}")),
    }
}

/// Everything a problem says about what is wrong.
fn words(problem: &ErrorBody) -> String {
    let fields = problem.errors.iter().map(|error| format!("{} {}", error.pointer, error.detail));
    std::iter::once(problem.detail.clone()).chain(fields).collect::<Vec<_>>().join("; ")
}

impl From<Unreached> for NodeFailure {
    fn from(cause: Unreached) -> Self {
        NodeFailure::unreachable(cause.0)
    }
}

#[cfg(test)]
mod tests {
    use shared::errors::{ErrorCode, FieldError};

    use super::*;

    #[test]
    fn a_full_or_leaving_node_is_asked_again_later() {
        assert_eq!(failure(429, Some(3), ""), NodeFailure::Full { retry_after_s: 3 });
        assert_eq!(failure(503, None, ""), NodeFailure::Full { retry_after_s: RETRY_AFTER_S });
    }

    #[test]
    fn a_refusal_says_everything_that_is_wrong() {
        let mut problem = ErrorBody::new(ErrorCode::InvalidRequest, 422, "2 fields");
        problem.errors.push(FieldError {
            pointer: "/image/steps".to_owned(),
            code: "range".to_owned(),
            detail: "must be at most 150".to_owned(),
        });
        let text = serde_json::to_string(&problem).unwrap();
        assert_eq!(
            failure(422, None, &text),
            NodeFailure::Refused {
                code: "invalid_request".to_owned(),
                detail: "2 fields; /image/steps must be at most 150".to_owned(),
            }
        );
    }

    #[test]
    fn a_node_that_fails_or_refuses_our_token_counts_as_unreachable() {
        for status in [301, 401, 403, 500, 502] {
            assert!(
                matches!(failure(status, None, ""), NodeFailure::Unreachable { .. }),
                "{status}"
            );
        }
        assert_eq!(failure(404, None, ""), NodeFailure::Unknown);
    }
}
