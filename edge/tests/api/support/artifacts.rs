//! What a run in memory makes: a picture for each that was ordered, told apart by prompt and seed.

use shared::node::jobs::{Artifact, CreateNodeJob};

/// The pictures of an order.
pub fn artifacts_of(order: &CreateNodeJob) -> Vec<Artifact> {
    let first = order.image.seed.unwrap_or(0);
    let artifact = |index: u32| {
        let seed = first + u64::from(index);
        Artifact {
            index,
            content_type: "image/png".to_owned(),
            bytes: 1_000,
            sha256: format!("{}#{seed}", order.image.prompt),
            width: order.image.width.unwrap_or(64),
            height: order.image.height.unwrap_or(64),
            seed,
        }
    };
    (0..order.image.num_images.unwrap_or(1)).map(artifact).collect()
}
