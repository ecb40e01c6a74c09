//! What is told of a generation, in the words of Sorami's own document: from the facts that the database noted to the body
//! of a webhook. Pure, so that each attempt and `GET /api/images/{job_id}` say the very same.

use serde::Deserialize;
use shared::{
    api::{
        images::{
            ImageFile, ImagesCompleted, ImagesData, ImagesEvent, ImagesFailed, ImagesMetadata,
            ImagesProgress,
        },
        jobs::{JobError, JobStatus},
    },
    ids::GenerationId,
};

use crate::config::Environment;

const CHARACTERS_PER_TOKEN: usize = 4;

/// What the database notes of an event: `outbox.payload` and `image_generations.last_event`.
#[derive(Deserialize)]
struct Facts {
    job_id: GenerationId,
    event: JobStatus,
    at: String,
    #[serde(default)]
    error: Option<JobError>,
    #[serde(default)]
    images: Vec<ImageFile>,
    #[serde(default)]
    metadata: RunFacts,
}

/// What the run said of itself.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RunFacts {
    model: String,
    model_revision: String,
    run_ms: u64,
}

/// The event in words; `None` for facts that make none.
pub fn event_of(facts: &serde_json::Value, environment: Environment) -> Option<ImagesEvent> {
    let facts = Facts::deserialize(facts).ok()?;
    let progress = |progress, message: &str| {
        ImagesEvent::Progress(ImagesProgress {
            job_id: facts.job_id.clone(),
            status: facts.event,
            timestamp: facts.at.clone(),
            message: message.to_owned(),
            progress,
        })
    };
    Some(match facts.event {
        JobStatus::Queued => progress(0, "En file d'attente..."),
        JobStatus::Initializing => progress(25, "Initialisation du modèle..."),
        JobStatus::Generating => progress(60, "Génération en cours..."),
        JobStatus::Saving => progress(90, "Enregistrement des images..."),
        JobStatus::Completed => ImagesEvent::Completed(completed(facts, environment)),
        JobStatus::Failed => ImagesEvent::Failed(failed(facts)),
        JobStatus::Cancelled => return None,
    })
}

fn completed(facts: Facts, environment: Environment) -> ImagesCompleted {
    let Facts { job_id, event: status, at, images, metadata, .. } = facts;
    let prompt = images.first().map_or("", |image| image.description.as_str());
    let metadata = ImagesMetadata {
        model_name: metadata.model,
        version: metadata.model_revision,
        generation_time_seconds: metadata.run_ms as f64 / 1_000.0,
        input_tokens: prompt.chars().count().div_ceil(CHARACTERS_PER_TOKEN) as u64,
        output_size_bytes: images.iter().map(|image| image.size_bytes).sum(),
        timestamp: at.clone(),
    };
    let data =
        ImagesData { job_id: job_id.clone(), images, metadata, status, generated_at: at.clone() };
    ImagesCompleted { job_id, status, timestamp: at, environment: name_of(environment), data }
}

fn failed(facts: Facts) -> ImagesFailed {
    let error_message = match facts.error {
        Some(error) if error.code == "cancelled" => "La génération a été annulée".to_owned(),
        Some(error) => format!("Erreur lors de la génération: {}", error.detail),
        None => "Erreur lors de la génération".to_owned(),
    };
    ImagesFailed {
        job_id: facts.job_id,
        status: facts.event,
        timestamp: facts.at,
        error_message,
        message: "La génération a échoué".to_owned(),
    }
}

/// Their receivers' word for a deployment on somebody's own machine.
fn name_of(environment: Environment) -> String {
    match environment {
        Environment::Local => "development",
        deployed => deployed.as_str(),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ID: &str = "cm4abc123def456ghi789";
    const AT: &str = "2025-10-23T14:30:00.000Z";

    fn said(mut facts: Value) -> String {
        facts["job_id"] = json!(ID);
        facts["at"] = json!(AT);
        serde_json::to_string(&event_of(&facts, Environment::Local).unwrap()).unwrap()
    }

    #[test]
    fn steps_are_told_as_in_the_document() {
        for (event, progress, message) in [
            ("initializing", 25, "Initialisation du modèle..."),
            ("generating", 60, "Génération en cours..."),
            ("saving", 90, "Enregistrement des images..."),
        ] {
            assert_eq!(
                said(json!({ "event": event })),
                format!(
                    r#"{{"job_id":"{ID}","status":"{event}","timestamp":"{AT}","message":"{message}","progress":{progress}}}"#
                )
            );
        }
    }

    #[test]
    fn the_end_is_told_with_every_member_of_the_document_and_no_other() {
        let image = json!({
            "file_path": format!("images/{ID}/image_1.png"), "url": "https://files.example/image_1.png",
            "description": "Un chat mignon", "format": "PNG", "size_bytes": 524_288, "dimensions": "1024x1024",
        });
        let facts = json!({
            "event": "completed", "images": [image],
            "metadata": {"model": "tiny", "model_revision": "r1", "run_ms": 12_500, "queued_ms": 3, "node_id": "n"},
        });
        let expected = json!({
            "job_id": ID, "status": "completed", "timestamp": AT, "environment": "development",
            "data": {
                "job_id": ID, "images": [image],
                "metadata": {
                    "model_name": "tiny", "version": "r1", "generation_time_seconds": 12.5, "input_tokens": 4,
                    "output_size_bytes": 524_288, "timestamp": AT,
                },
                "status": "completed", "generated_at": AT,
            },
        });
        assert_eq!(serde_json::from_str::<Value>(&said(facts)).unwrap(), expected);
    }

    #[test]
    fn a_failure_says_why_and_a_cancellation_is_one() {
        let told = said(json!({ "event": "failed", "error": {"code": "x", "detail": "no room"} }));
        assert_eq!(
            told,
            format!(
                r#"{{"job_id":"{ID}","status":"failed","timestamp":"{AT}","error_message":"Erreur lors de la génération: no room","message":"La génération a échoué"}}"#
            )
        );
        let told = said(json!({ "event": "failed", "error": {"code": "cancelled", "detail": ""} }));
        assert!(told.contains(r#""error_message":"La génération a été annulée""#), "{told}");
    }

    #[test]
    fn what_makes_no_event_is_not_put_into_words() {
        assert_eq!(event_of(&json!({}), Environment::Local), None);
        let cancelled = json!({ "job_id": ID, "event": "cancelled", "at": AT });
        assert_eq!(event_of(&cancelled, Environment::Local), None);
    }
}
