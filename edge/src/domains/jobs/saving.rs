//! The end of a run: every artifact into storage, then `finish_job`, then everyone is told. In this order:
//! `completed` is never said before the database said so, and the database never before the files are there.

use serde_json::{Value, json};
use shared::{
    api::jobs::{Job, JobKind, JobOutput},
    node::jobs::Artifact,
};

use super::{
    ending::conclude_ending,
    follow::Results,
    job_ports::JobPorts,
    lease::{Interrupt, Lease},
    node_order::storage_path,
    patience::patiently,
    progress,
};
use crate::{
    error::{Error, Result},
    ports::fleet::{NodeFailure, NodeRef, StoreFailure},
};

/// How saving went.
#[derive(Debug)]
pub enum Saved {
    /// The database was asked for the end; an error means the message must be delivered again.
    Ended(Result<()>),
    /// The node has no (more) artifacts: the run must be repeated.
    ArtifactsGone,
    /// Storage stayed away longer than our patience; the node keeps the artifacts meanwhile.
    StorageAway,
}

/// Stores what a run made and ends the job.
pub async fn save(
    ports: &JobPorts<'_>,
    job: &Job,
    node: &NodeRef,
    results: &Results,
    lease: &mut Lease<'_>,
) -> std::result::Result<Saved, Interrupt> {
    if results.artifacts.is_empty() {
        return Ok(Saved::ArtifactsGone);
    }
    lease.advance(progress::saving()).await?;
    let mut outputs = Vec::with_capacity(results.artifacts.len());
    for artifact in &results.artifacts {
        let path = storage_path(job, artifact);
        let storing = patiently(ports.clock, || store(ports, node, job, artifact, &path));
        match lease.keep_during(Box::pin(storing)).await? {
            Ok(true) => {
                let signing = patiently(ports.clock, || address_of(ports, job, &path));
                let url = match lease.keep_during(Box::pin(signing)).await? {
                    Ok(url) => url,
                    Err(error) => {
                        tracing::warn!(job_id = %job.id, %error, "a file got no address");
                        return Ok(Saved::StorageAway);
                    }
                };
                outputs.push(output_of(artifact, results, path, url));
            }
            Ok(false) => return Ok(Saved::ArtifactsGone),
            Err(error) => {
                tracing::warn!(job_id = %job.id, %error, "an artifact could not be stored");
                return Ok(Saved::StorageAway);
            }
        }
    }
    let metadata = metadata_of(node, results);
    Ok(Saved::Ended(finish(ports, job, &outputs, &metadata).await))
}

async fn finish(
    ports: &JobPorts<'_>,
    job: &Job,
    outputs: &[JobOutput],
    metadata: &Value,
) -> Result<()> {
    let ending = patiently(ports.clock, || ports.jobs.finish(job.id, outputs, metadata)).await?;
    conclude_ending(ports, &ending).await
}

/// `false` when the node has it no more.
async fn store(
    ports: &JobPorts<'_>,
    node: &NodeRef,
    job: &Job,
    artifact: &Artifact,
    path: &str,
) -> Result<bool> {
    match ports.node_client.store_artifact(node, job.id, artifact, path).await {
        Ok(()) => Ok(true),
        Err(StoreFailure::Storage { cause }) => Err(Error::unavailable("storage", cause)),
        Err(StoreFailure::Node(NodeFailure::Full { .. })) => {
            Err(Error::unavailable("the node", "it is busy"))
        }
        Err(StoreFailure::Node(failure)) => {
            tracing::warn!(job_id = %job.id, node = %node.node_id, ?failure, "an artifact is gone");
            Ok(false)
        }
    }
}

/// Of kinds whose results are handed on to whoever has no token of their owner.
async fn address_of(ports: &JobPorts<'_>, job: &Job, path: &str) -> Result<Option<String>> {
    match job.kind {
        JobKind::Scene => Ok(None),
        JobKind::Image => ports.files.sign(path, ports.image_url_lifetime_s).await.map(Some),
    }
}

fn output_of(
    artifact: &Artifact,
    results: &Results,
    path: String,
    url: Option<String>,
) -> JobOutput {
    JobOutput {
        path,
        content_type: artifact.content_type.clone(),
        bytes: artifact.bytes,
        sha256: artifact.sha256.clone(),
        width: artifact.width,
        height: artifact.height,
        seed: artifact.seed,
        model: results.model.clone(),
        model_revision: results.model_revision.clone(),
        url,
    }
}

fn metadata_of(node: &NodeRef, results: &Results) -> Value {
    json!({
        "node_id": node.node_id,
        "engine_version": results.engine_version,
        "queued_ms": results.queued_ms,
        "run_ms": results.run_ms,
    })
}
