//! Turns what a lane says about an image job into the job's events and results.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use shared::node::jobs::{Artifact, NodeEvent};

use super::{
    book::JobBook,
    run::{Run, StoredArtifact},
};
use crate::{
    engines::image::{EncodedImage, ImageEngine, ImageEvent},
    scheduler::{Observer, Outcome, Place},
};

const NO_POSITION: u32 = u32::MAX;

pub(super) struct ImageObserver {
    run: Arc<Run>,
    book: Arc<JobBook>,
    model_revision: String,
    engine_version: &'static str,
    last_position: AtomicU32,
}

impl ImageObserver {
    pub(super) fn new(
        run: Arc<Run>,
        book: Arc<JobBook>,
        model_revision: String,
        engine_version: &'static str,
    ) -> Self {
        let last_position = AtomicU32::new(NO_POSITION);
        Self { run, book, model_revision, engine_version, last_position }
    }
}

impl Observer<ImageEngine> for ImageObserver {
    fn queued(&self, place: Place) {
        if self.last_position.swap(place.position, Ordering::Relaxed) != place.position {
            let Place { position, estimated_ms } = place;
            self.run.push(NodeEvent::Queued { position, estimated_ms });
        }
    }

    fn started(&self) {
        self.run.push(NodeEvent::Started);
    }

    fn emitted(&self, event: ImageEvent) {
        self.run.push(match event {
            ImageEvent::Step { step, steps } => NodeEvent::Progress { step, steps },
            ImageEvent::Preview { index, step, jpeg } => {
                NodeEvent::Preview { index, step, jpeg: STANDARD.encode(jpeg) }
            }
        });
    }

    fn ended(&self, outcome: Outcome<Vec<EncodedImage>>) {
        let (event, stored) = match outcome {
            Outcome::Completed { output, queued_ms, run_ms } => {
                let stored: Vec<StoredArtifact> = (0..).zip(output).map(store).collect();
                let event = NodeEvent::Completed {
                    artifacts: stored.iter().map(|stored| stored.artifact.clone()).collect(),
                    model: self.run.order.model.clone(),
                    model_revision: self.model_revision.clone(),
                    engine_version: self.engine_version.to_owned(),
                    queued_ms,
                    run_ms,
                };
                (event, stored)
            }
            Outcome::Failed(failure) => {
                let event = NodeEvent::Failed {
                    code: failure.code.to_owned(),
                    detail: failure.detail,
                    is_retryable: failure.is_retryable,
                };
                (event, Vec::new())
            }
            Outcome::Cancelled => (NodeEvent::Cancelled, Vec::new()),
        };
        self.book.settle(&self.run, event, stored);
    }
}

fn store((index, image): (u32, EncodedImage)) -> StoredArtifact {
    let sha256 = Sha256::digest(&image.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let artifact = Artifact {
        index,
        content_type: image.content_type.to_owned(),
        bytes: image.bytes.len() as u64,
        sha256,
        width: image.width,
        height: image.height,
        seed: image.seed,
    };
    StoredArtifact { artifact, bytes: image.bytes.into() }
}
