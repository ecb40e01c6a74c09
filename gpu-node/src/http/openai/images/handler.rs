//! The handlers of `POST /v1/images/generations` and `POST /v1/images/edits`.

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
use shared::{ids::JobId, node::jobs::CreateNodeJob};

use super::{
    answer::{Images, Wanted},
    form::body_of,
    read_edit, read_generation,
    request::{ImagesCall, in_body_names},
    stream::ImageStream,
};
use crate::{
    blocking::blocking,
    dialects::replicate::files_url,
    error::{Error, Result},
    http::{
        base::BaseUrl,
        body::read_bytes,
        extract::{JsonBody, has_content_type, parse_json},
        form::{form_boundary, read_form},
        openai::{
            events::respond,
            head::{Asked, answer, find_model, read_call, with_notes, wrong_kind},
            parameters::{IMAGE_EDITS, IMAGES},
        },
    },
    jobs::AwaitedJob,
    state::AppState,
};

/// Under this id the job can be looked up in every dialect.
const JOB_ID: HeaderName = HeaderName::from_static("x-job-id");

/// `POST /v1/images/generations`: pictures from words, whole or as a stream. Hanging up cancels the job.
pub async fn create_image(
    State(state): State<AppState>,
    BaseUrl(base): BaseUrl,
    JsonBody(body): JsonBody,
) -> Result<Response> {
    let asked = read_call(&body, IMAGES, read_generation)?;
    make(&state, ("image_generation", &base), asked).await
}

/// `POST /v1/images/edits`: pictures from words and other pictures, which come in a form or in JSON.
pub async fn edit_image(
    State(state): State<AppState>,
    BaseUrl(base): BaseUrl,
    request: Request,
) -> Result<Response> {
    let boundary = match request.headers() {
        headers if has_content_type(headers, "application/json") => None,
        headers if has_content_type(headers, "multipart/form-data") => {
            Some(form_boundary(headers)?)
        }
        _ => return Err(Error::NeitherFormNorJson),
    };
    let bytes = read_bytes(request).await?;
    let read = move || {
        let body = match boundary {
            Some(boundary) => body_of(read_form(&bytes, &boundary)?)?,
            None => parse_json(&bytes)?,
        };
        read_call(&body, IMAGE_EDITS, read_edit)
    };
    let asked = blocking(read).await??;
    make(&state, ("image_edit", &base), asked).await
}

async fn make(
    state: &AppState,
    (kind, base): (&'static str, &str),
    Asked { mut call, without_effect }: Asked<ImagesCall>,
) -> Result<Response> {
    let model = find_model(state, &call.model)?;
    let defaults = model.manifest.defaults.image().ok_or_else(|| wrong_kind(model, "image"))?;
    let wanted = Wanted::new(kind, &call, defaults);
    call.image.steps = call.image.steps.or_else(|| call.quality.steps(defaults.steps));

    let pictures = call.image.num_images.unwrap_or(1);
    let id = JobId(uuid::Uuid::new_v4());
    let order = CreateNodeJob { id, model: call.model, image: call.image };
    let mut job = AwaitedJob::start(&state.jobs, order).await.map_err(|error| match error {
        Error::InvalidFields(errors) => Error::InvalidFields(in_body_names(errors, call.pictures)),
        error => error,
    })?;
    let made = if call.stream {
        Ok(respond(ImageStream::new(wanted, job, pictures)))
    } else if call.by_url {
        job.finish_unfetched().await.map(|(run, artifacts)| {
            answer(&Images::by_url(&wanted, &artifacts, &files_url(run, base)), &[])
        })
    } else {
        job.finish().await.map(|stored| answer(&Images::new(&wanted, &stored), &[]))
    };
    let mut response = made.unwrap_or_else(IntoResponse::into_response);
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(JOB_ID, id);
    }
    Ok(with_notes(response, &without_effect))
}
