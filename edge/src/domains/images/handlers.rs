//! Images over HTTP.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use shared::{
    api::images::{CreateImages, ImagesAccepted, ImagesCompleted, ImagesEvent},
    errors::ErrorBody,
    ids::GenerationId,
};

use super::service::{self, ImagePorts, Ordered};
use crate::{
    caller::Caller,
    error::Result,
    http::{
        extract::{PathId, State},
        idempotency::IdempotentJson,
        prefer::Prefer,
    },
};

/// Order images.
///
/// 1. A `user_id` that is not the caller's, who is no admin: 403. 2. A `job_id` the caller used before: 202 with that job,
///    whatever else is sent; one that somebody else used: 409.
/// 3. A picture to start from is fetched; one that can't be had or is none: 422. 4. No node has the model: 503. No credits
///    left, of which each picture costs one price: 402; too many jobs under way: 429.
/// 5. The job is stored and queued: 202 with its id, status and `Location`. Webhooks tell the rest.
/// 6. With `Prefer: wait=N`, if it ends in time: 201 with what the last webhook says; failed: 502; cancelled: 409.
#[utoipa::path(post, path = "/api/images/generate", tag = "images", request_body = CreateImages,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat with the same key gets the first answer."),
        ("Prefer" = Option<String>, Header, description = "`wait=N`, 0 to 60 seconds."),
    ),
    responses(
    (status = 201, body = ImagesCompleted, headers(("Location" = String))),
    (status = 202, body = ImagesAccepted, headers(("Location" = String))),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
    (status = "5XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn create_images(
    State(state): State,
    caller: Caller,
    prefer: Prefer,
    order: IdempotentJson<CreateImages>,
) -> Result<Response> {
    let ports = ImagePorts::from(state.as_ref());
    let (ports, who) = (&ports, &caller);
    let create = |id, order| async move {
        let ordered = service::create_images(ports, who, id, order, prefer.wait_ms()).await?;
        Ok(answer(ordered, prefer))
    };
    order.answer_once(&state, &caller, create).await
}

fn answer(ordered: Ordered, prefer: Prefer) -> Response {
    let (id, mut response) = match ordered {
        Ordered::Ready(id, event) => (id, (StatusCode::CREATED, Json(event)).into_response()),
        Ordered::Accepted(accepted) => {
            (accepted.job_id.clone(), (StatusCode::ACCEPTED, Json(accepted)).into_response())
        }
    };
    if let Ok(location) = HeaderValue::try_from(format!("/api/images/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if let Some((name, value)) = prefer.applied() {
        response.headers_mut().insert(name, value);
    }
    response
}

/// Read what the last webhook about one of the caller's generations said (an admin: anybody's).
#[utoipa::path(get, path = "/api/images/{job_id}", tag = "images", params(("job_id" = GenerationId, Path)), responses(
    (status = 200, body = ImagesEvent),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn find_images(
    State(state): State,
    caller: Caller,
    PathId(id): PathId<GenerationId>,
) -> Result<Json<ImagesEvent>> {
    service::find_images(&ImagePorts::from(state.as_ref()), &caller, &id).await.map(Json)
}
