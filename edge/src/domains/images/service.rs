//! Ordering images under the caller's own id, and looking what became of them.

use sha2::{Digest, Sha256};
use shared::{
    api::{
        images::{CreateImages, ImageJob, ImagesAccepted, ImagesEvent},
        jobs::JobKind,
    },
    errors::FieldError,
    ids::{GenerationId, JobId, UserId},
};

use super::{
    input::{InputPorts, fetch_input},
    wording::event_of,
};
use crate::{
    auth::foreign_person,
    caller::Caller,
    config::{Environment, IssuerConfig},
    domains::jobs::{
        accept::{NewJob, accept_job},
        input_picture::input_path,
        job_ports::JobPorts,
        wait::is_completed_within,
    },
    error::{Error, Result},
    ports::{
        stores::{AdminStore, ImageStore},
        web::Web,
    },
    state::AppState,
};

/// What ordering images needs beyond what any job does.
#[derive(Clone, Copy)]
pub struct ImagePorts<'a> {
    pub jobs: JobPorts<'a>,
    pub images: &'a dyn ImageStore,
    pub admin: &'a dyn AdminStore,
    pub web: &'a dyn Web,
    pub own_origins: &'a [String],
    pub issuers: &'a [IssuerConfig],
    pub environment: Environment,
    /// Whether webhooks are sent.
    pub has_receiver: bool,
}

impl<'a> From<&'a AppState> for ImagePorts<'a> {
    fn from(state: &'a AppState) -> Self {
        Self {
            jobs: JobPorts::from(state),
            images: state.images.as_ref(),
            admin: state.admin.as_ref(),
            web: state.web.as_ref(),
            own_origins: &state.config.input_image_origins,
            issuers: &state.config.issuers,
            environment: state.config.environment,
            has_receiver: state.webhook.is_some(),
        }
    }
}

/// What became of an order within the time its caller waits.
#[derive(Debug, Clone, PartialEq)]
pub enum Ordered {
    Accepted(ImagesAccepted),
    Ready(GenerationId, Box<ImagesEvent>),
}

/// Accepts an order, or finds the one that was made under its id before. `fresh` becomes the id if the caller gave none.
pub async fn create_images(
    ports: &ImagePorts<'_>,
    caller: &Caller,
    fresh: JobId,
    order: CreateImages,
    wait_ms: u64,
) -> Result<Ordered> {
    let owner = owner_of(ports, caller, order.user_id.as_deref()).await?;
    let id = order.job_id.clone().unwrap_or_else(|| GenerationId(fresh.to_string()));
    let (job_id, accepted) = match ports.images.find(&caller.token, &id).await? {
        Some(known) if known.user_id == owner => {
            (known.job_id, ImagesAccepted { job_id: id.clone(), status: known.status })
        }
        // An admin sees everybody's; nobody else learns more than this.
        Some(_) => {
            return Err(Error::Conflict { detail: "this id belongs to another job".to_owned() });
        }
        None => accept(ports, caller, owner, &id, order).await?,
    };
    if !is_completed_within(&ports.jobs, job_id, wait_ms).await? {
        return Ok(Ordered::Accepted(accepted));
    }
    let event = find_images(ports, caller, &id).await?;
    Ok(Ordered::Ready(id, Box::new(event)))
}

async fn accept(
    ports: &ImagePorts<'_>,
    caller: &Caller,
    owner: UserId,
    id: &GenerationId,
    order: CreateImages,
) -> Result<(JobId, ImagesAccepted)> {
    let job_id = job_of(id);
    let mut job = ImageJob {
        generation_id: id.clone(),
        prompt: order.prompt,
        input_image_url: order.input_image_url,
        input_format: None,
        num_images: order.num_images.unwrap_or(1),
        size: order.size,
        format: order.format.unwrap_or_default(),
        style: order.style,
        quality: order.quality.unwrap_or_default(),
        has_receiver: ports.has_receiver,
    };
    if let Some(url) = &job.input_image_url {
        let clock = ports.jobs.clock;
        let input = InputPorts { clock, web: ports.web, own_origins: ports.own_origins };
        let picture = fetch_input(&input, url).await?;
        let path = input_path(owner, job_id, picture.format);
        let content_type = shared::node::image::ImageFormat::from(picture.format).content_type();
        // If no job follows, the hourly sweep finds a file that no job starts from.
        ports.jobs.files.put(&path, content_type, picture.bytes).await?;
        job.input_format = Some(picture.format);
    }
    let new = NewJob {
        id: job_id,
        kind: JobKind::Image,
        pictures: job.num_images,
        input: serde_json::to_value(&job).map_err(Error::internal)?,
        owner: (owner != caller.user_id).then_some(owner),
    };
    let job = accept_job(&ports.jobs, caller, &new).await?;
    Ok((job.id, ImagesAccepted { job_id: id.clone(), status: job.status }))
}

/// Whose images they are to be: the caller's, or for an admin anybody's.
async fn owner_of(
    ports: &ImagePorts<'_>,
    caller: &Caller,
    user_id: Option<&str>,
) -> Result<UserId> {
    let Some(named) = user_id else { return Ok(caller.user_id) };
    // Our own ids first, then what people are called by issuers with ids of theirs.
    let foreign = ports.issuers.iter().filter(|issuer| issuer.is_foreign);
    let foreign = foreign.map(|issuer| foreign_person(&issuer.issuer, named));
    let meant: Vec<UserId> = named.parse().into_iter().chain(foreign).collect();
    if meant.contains(&caller.user_id) {
        return Ok(caller.user_id);
    }
    let is_admin =
        caller.role.as_deref() == Some("admin") || ports.admin.is_admin(&caller.token).await?;
    if !is_admin {
        return Err(Error::Forbidden);
    }
    meant.first().copied().ok_or_else(|| {
        Error::Invalid(vec![FieldError {
            pointer: "/user_id".to_owned(),
            code: "format".to_owned(),
            detail: "must be the id of a user".to_owned(),
        }])
    })
}

/// The id of a generation's job: its own if it has the form of one, else what follows from it.
fn job_of(id: &GenerationId) -> JobId {
    if let Ok(job) = id.0.parse::<JobId>()
        && job.to_string() == id.0
    {
        return job;
    }
    let digest: [u8; 32] = Sha256::digest(format!("image generation {id}")).into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    JobId::from_random(bytes)
}

/// What the last webhook said.
pub async fn find_images(
    ports: &ImagePorts<'_>,
    caller: &Caller,
    id: &GenerationId,
) -> Result<ImagesEvent> {
    let found = ports.images.find(&caller.token, id).await?.ok_or(Error::NotFound)?;
    event_of(&found.last_event, ports.environment)
        .ok_or_else(|| Error::internal("a generation whose last event makes no sense"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generations_job_follows_from_its_id() {
        let job = |text: &str| job_of(&text.parse().unwrap());
        let uuid = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
        assert_eq!(job(uuid).to_string(), uuid);
        assert_ne!(job(&uuid.to_uppercase()).to_string(), uuid, "it is another word");
        assert_eq!(job("cm4abc123def456ghi789"), job("cm4abc123def456ghi789"));
        assert_ne!(job("cm4abc123def456ghi789"), job("cm4abc123def456ghi780"));
    }
}
