//! What jobs leave behind, by kind: scenes with their one message, images with a message for every step.

use async_trait::async_trait;
use edge::{
    caller::AccessToken,
    error::{Error, Result},
    ports::{
        files::Files,
        stores::{ImageGeneration, ImageStore, OutboxRow},
        system::rfc3339,
    },
};
use serde_json::{Value, json};
use shared::{
    api::{
        jobs::{Job, JobError, JobKind, JobStatus},
        scenes::{CreateScene, Scene},
    },
    ids::{GenerationId, SceneId, UserId},
};

use super::{FakeDatabase, OutboxEntry, Tables, timestamp};

impl Tables {
    /// The person a call is about: the caller, or for an admin anybody.
    pub(super) fn owner(&self, token: &AccessToken, of: Option<UserId>) -> Result<UserId> {
        match (self.caller(token)?, of) {
            ((user, false), Some(owner)) if owner != user => Err(Error::Forbidden),
            ((user, _), of) => Ok(of.unwrap_or(user)),
        }
    }

    pub(super) fn add_generation(&mut self, job: &Job, now_ms: u64) -> Result<()> {
        let id: GenerationId = serde_json::from_value(job.input["generation_id"].clone()).unwrap();
        if self.generations.contains_key(&id) {
            return Err(Error::Conflict { detail: "another job's id".to_owned() });
        }
        let generation = ImageGeneration {
            id: id.clone(),
            job_id: job.id,
            user_id: job.user_id,
            status: JobStatus::Queued,
            last_event: json!({"job_id": id, "event": "queued", "at": rfc3339(now_ms)}),
        };
        self.generations.insert(id, generation);
        Ok(())
    }

    pub(super) fn tell_failure(&mut self, job: &Job, error: &JobError, now_ms: u64) {
        match job.kind {
            JobKind::Scene => self.add_outbox(job, "failed", json!({"error": error}), now_ms),
            JobKind::Image => self.tell(job, JobStatus::Failed, json!({"error": error}), now_ms),
        }
    }

    pub(super) fn tell_steps(&mut self, job: &Job, up_to: JobStatus, now_ms: u64) {
        for step in [JobStatus::Initializing, JobStatus::Generating, JobStatus::Saving] {
            if job.kind == JobKind::Image {
                self.tell(job, step, json!({}), now_ms);
            }
            if step == up_to {
                return;
            }
        }
    }

    pub(super) fn complete_images(&mut self, job: &Job, metadata: &Value, now_ms: u64) {
        let image = |output: &shared::api::jobs::JobOutput| {
            json!({
                "file_path": output.path, "url": output.url, "description": job.input["prompt"],
                "format": "PNG", "size_bytes": output.bytes,
                "dimensions": format!("{}x{}", output.width, output.height),
            })
        };
        let images: Vec<Value> = job.outputs.iter().map(image).collect();
        let mut metadata = metadata.clone();
        metadata["model"] = json!(job.outputs[0].model);
        metadata["model_revision"] = json!(job.outputs[0].model_revision);
        self.tell_steps(job, JobStatus::Saving, now_ms);
        let facts = json!({"images": images, "metadata": metadata});
        self.tell(job, JobStatus::Completed, facts, now_ms);
    }

    fn tell(&mut self, job: &Job, event: JobStatus, facts: Value, now_ms: u64) {
        let mine = self.generations.values_mut().find(|generation| generation.job_id == job.id);
        let Some(mine) = mine.filter(|mine| step(mine.status) < step(event)) else { return };
        let id = &job.input["generation_id"];
        let mut payload = json!({"job_id": id, "event": event, "at": rfc3339(now_ms)});
        payload.as_object_mut().unwrap().extend(facts.as_object().unwrap().clone());
        (mine.status, mine.last_event) = (event, payload.clone());
        if job.input["has_receiver"] != false {
            self.push_outbox(job, ("webhook", &format!("image.{event}")), payload, now_ms);
        }
    }

    pub(super) fn add_outbox(&mut self, job: &Job, event: &str, details: Value, now_ms: u64) {
        let mut payload = json!({"job_id": job.id, "scene": job.input});
        payload.as_object_mut().unwrap().extend(details.as_object().unwrap().clone());
        let name = format!("{}.{event}", job.kind.as_str());
        self.push_outbox(job, ("discord", &name), payload, now_ms);
    }

    fn push_outbox(
        &mut self,
        job: &Job,
        (topic, event): (&str, &str),
        payload: Value,
        now_ms: u64,
    ) {
        let row = OutboxRow {
            id: uuid::Uuid::from_u128(self.outbox.len() as u128 + 1).to_string(),
            job_id: Some(job.id),
            topic: topic.to_owned(),
            event: event.to_owned(),
            payload,
            status: "pending".to_owned(),
            attempts: 0,
            last_error: None,
            created_at: Some(timestamp(now_ms)),
        };
        self.outbox.push(OutboxEntry { row, due_ms: now_ms });
    }
}

fn step(status: JobStatus) -> u8 {
    match status {
        JobStatus::Queued => 0,
        JobStatus::Initializing => 1,
        JobStatus::Generating => 2,
        JobStatus::Saving => 3,
        JobStatus::Completed | JobStatus::Failed | JobStatus::Cancelled => 4,
    }
}

pub(super) fn scene_of(job: &Job, path: &str) -> Scene {
    let order: CreateScene = serde_json::from_value(job.input.clone()).unwrap();
    let CreateScene { world, era, class, pose, decor } = order;
    Scene {
        id: SceneId(job.id.0),
        user_id: job.user_id,
        world,
        era,
        class,
        pose,
        decor,
        image_url: path.to_owned(),
        status: "completed".to_owned(),
        created_at: job.finished_at.clone().unwrap_or_default(),
    }
}

#[async_trait]
impl ImageStore for FakeDatabase {
    async fn find(
        &self,
        token: &AccessToken,
        id: &GenerationId,
    ) -> Result<Option<ImageGeneration>> {
        self.call("images.find", |tables, _| {
            let (user, is_admin) = tables.caller(token)?;
            let found = tables.generations.get(id);
            Ok(found.filter(|generation| is_admin || generation.user_id == user).cloned())
        })
    }
}

#[async_trait]
impl Files for FakeDatabase {
    async fn put(&self, path: &str, content_type: &str, bytes: Vec<u8>) -> Result<()> {
        assert!(content_type.starts_with("image/"), "{content_type}");
        self.call("files.put", |tables, _| {
            tables.files.insert(path.to_owned(), "put".to_owned());
            tables.bytes.insert(path.to_owned(), bytes);
            Ok(())
        })
    }

    async fn get(&self, path: &str) -> Result<Option<Vec<u8>>> {
        self.call("files.get", |tables, _| Ok(tables.bytes.get(path).cloned()))
    }

    async fn sign(&self, path: &str, lifetime_s: u64) -> Result<String> {
        self.call("files.sign", |tables, _| match tables.files.contains_key(path) {
            true => Ok(format!("https://files.example/{path}?for={lifetime_s}")),
            false => Err(Error::NotFound),
        })
    }
}
