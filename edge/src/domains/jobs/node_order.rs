//! From a job's row to the order for a node: a pure function of the row, so that a re-run makes the same picture.

use serde_json::Value;
use shared::{
    api::{
        images::ImageJob,
        jobs::{Job, JobError, JobKind},
        scenes::CreateScene,
    },
    ids::JobId,
    node::{
        image::ImageInput,
        jobs::{Artifact, CreateNodeJob},
    },
    prompt::scene_prompt,
    validate::{FromBody, parse_body},
};

use crate::{config::ImageSteps, domains::images::drawing::image_input};

/// The order for a node, or why the input can't be run. Inputs are parsed again here, because
/// rows can be made through the database's own API without passing the edge.
pub fn node_order(job: &Job, model: &str, steps: ImageSteps) -> Result<CreateNodeJob, JobError> {
    let mut image = match job.kind {
        JobKind::Scene => ImageInput::from_prompt(scene_prompt(&read::<CreateScene>(&job.input)?)),
        JobKind::Image => image_input(&image_job(job)?, steps),
    };
    image.seed = Some(seed_of(job.id));
    Ok(CreateNodeJob { id: job.id, model: model.to_owned(), image })
}

/// What an image's job keeps of its order.
pub fn image_job(job: &Job) -> Result<ImageJob, JobError> {
    read(&job.input)
}

fn read<T: FromBody>(input: &Value) -> Result<T, JobError> {
    parse_body(input).map_err(|errors| {
        let rules: Vec<String> =
            errors.iter().map(|error| format!("{} {}", error.pointer, error.detail)).collect();
        JobError { code: "invalid_input".to_owned(), detail: rules.join("; ") }
    })
}

/// The seed of a job: below 2⁵³, so that JavaScript clients keep every digit.
pub fn seed_of(id: JobId) -> u64 {
    let (high, low) = id.0.as_u64_pair();
    (high.rotate_left(21) ^ low) & ((1 << 53) - 1)
}

/// Where an artifact is stored: a function of the job, so that a re-run overwrites and never duplicates.
pub fn storage_path(job: &Job, artifact: &Artifact) -> String {
    let extension = match artifact.content_type.as_str() {
        "image/jpeg" => "jpg",
        "image/webp" => "webp",
        _ => "png",
    };
    match (job.kind, image_job(job)) {
        (JobKind::Image, Ok(image)) => {
            let number = artifact.index.saturating_add(1);
            format!("images/{}/image_{number}.{extension}", image.generation_id)
        }
        _ => format!("scenes/{}/{}/{}.{extension}", job.user_id, job.id, artifact.index),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::{api::jobs::JobStatus, ids::UserId};
    use uuid::Uuid;

    use super::*;

    fn job_with(input: Value) -> Job {
        Job {
            id: JobId(Uuid::from_u128(0x1234_5678_9abc_4def_8123_4567_89ab_cdef)),
            user_id: UserId(Uuid::from_u128(7)),
            kind: JobKind::Scene,
            status: JobStatus::Initializing,
            progress: 0,
            message: String::new(),
            input,
            outputs: Vec::new(),
            error: None,
            credits: 1,
            attempts: 1,
            created_at: "2026-11-21T00:00:00Z".to_owned(),
            started_at: None,
            finished_at: None,
        }
    }

    #[test]
    fn the_same_job_is_the_same_order() {
        let input =
            json!({"world": "w", "era": "e", "class": "a red wizard", "pose": "p", "decor": "d"});
        let first = node_order(&job_with(input.clone()), "m", ImageSteps::default()).unwrap();
        assert_eq!(first, node_order(&job_with(input), "m", ImageSteps::default()).unwrap());
        assert_eq!(first.image.prompt, "a red wizard, p, d, w, e");
        assert!(first.image.seed.unwrap() < 1 << 53);
    }

    #[test]
    fn seeds_of_different_jobs_differ() {
        let low = (0..1_000u128).map(|number| seed_of(JobId(Uuid::from_u128(number))));
        let high = (1..1_000u128).map(|number| seed_of(JobId(Uuid::from_u128(number << 64))));
        let seeds: std::collections::HashSet<u64> = low.chain(high).collect();
        assert_eq!(seeds.len(), 1_999);
    }

    #[test]
    fn says_every_rule_an_input_breaks() {
        let error =
            node_order(&job_with(json!({"world": "", "era": 3})), "m", ImageSteps::default())
                .unwrap_err();
        assert_eq!(error.code, "invalid_input");
        for pointer in ["/world", "/era", "/class", "/pose", "/decor"] {
            assert!(error.detail.contains(pointer), "{}", error.detail);
        }
    }
}
