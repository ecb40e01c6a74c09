//! Scenes over HTTP.

use axum::{
    Json,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use shared::{
    api::{
        Page,
        jobs::Job,
        scenes::{CreateScene, Scene},
    },
    errors::ErrorBody,
    ids::SceneId,
};

use super::service::{self, Ordered, PageOrder, Wait};
use crate::{
    caller::Caller,
    domains::jobs::job_ports::JobPorts,
    error::Result,
    http::{
        extract::{BaseUrl, PathId, State, ValidQuery},
        idempotency::IdempotentJson,
        prefer::Prefer,
        query::{FromQuery, Parameters, page_cursor, page_limit},
    },
    ports::NativeResponse,
};

/// Order a scene.
///
/// 1. No node has the model: 503. 2. No credits left: 402; too many jobs under way: 429.
/// 3. The job is stored and queued: 202 with it and its `Location`. A part behind us is away: 503, nothing remains.
/// 4. With `Prefer: wait=N`, if it ends in time: 201 with the scene; failed: 502; cancelled: 409.
#[utoipa::path(post, path = "/api/generate/scene", tag = "scenes", request_body = CreateScene,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat with the same key gets the first answer."),
        ("Prefer" = Option<String>, Header, description = "`wait=N`, 0 to 60 seconds."),
    ),
    responses(
    (status = 201, body = Scene, headers(("Location" = String))),
    (status = 202, body = Job, headers(("Location" = String))),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
    (status = "5XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn create_scene(
    State(state): State,
    caller: Caller,
    BaseUrl(base_url): BaseUrl,
    prefer: Prefer,
    order: IdempotentJson<CreateScene>,
) -> Result<Response> {
    let ports = JobPorts::from(state.as_ref());
    let wait = Wait { timeout_ms: prefer.wait_ms(), base_url: &base_url };
    let (ports, scenes, who) = (&ports, state.scenes.as_ref(), &caller);
    let create = |id, scene| async move {
        let job = service::create_scene(ports, who, id, &scene).await?;
        let ordered = service::wait_for_scene(ports, scenes, who, job, wait).await?;
        Ok(answer(ordered, prefer))
    };
    order.answer_once(&state, &caller, create).await
}

fn answer(ordered: Ordered, prefer: Prefer) -> Response {
    let (location, mut response) = match ordered {
        Ordered::Ready(scene) => {
            let location = format!("/api/scenes/{}", scene.id);
            (location, (StatusCode::CREATED, Json(scene)).into_response())
        }
        Ordered::Accepted(job) => {
            let location = format!("/api/jobs/{}", job.id);
            (location, (StatusCode::ACCEPTED, Json(job)).into_response())
        }
    };
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if let Some((name, value)) = prefer.applied() {
        response.headers_mut().insert(name, value);
    }
    response
}

/// List the caller's scenes, newest first.
#[utoipa::path(get, path = "/api/scenes", tag = "scenes", params(
    ("limit" = Option<u64>, Query, minimum = 1, maximum = 100),
    ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
), responses(
    (status = 200, body = Page<Scene>),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn list_scenes(
    State(state): State,
    caller: Caller,
    BaseUrl(base_url): BaseUrl,
    ValidQuery(page): ValidQuery<PageOrder>,
) -> Result<Json<Page<Scene>>> {
    service::list_scenes(state.scenes.as_ref(), &caller, &page, &base_url).await.map(Json)
}

impl FromQuery for PageOrder {
    fn from_query(parameters: &mut Parameters<'_>) -> Self {
        Self { limit: page_limit(parameters), cursor: page_cursor(parameters) }
    }
}

/// Read one of the caller's scenes.
#[utoipa::path(get, path = "/api/scenes/{id}", tag = "scenes", params(("id" = SceneId, Path)), responses(
    (status = 200, body = Scene),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn find_scene(
    State(state): State,
    caller: Caller,
    BaseUrl(base_url): BaseUrl,
    PathId(id): PathId<SceneId>,
) -> Result<Json<Scene>> {
    service::find_scene(state.scenes.as_ref(), &caller, id, &base_url).await.map(Json)
}

/// Remove one of the caller's scenes, with its picture.
#[utoipa::path(delete, path = "/api/scenes/{id}", tag = "scenes", params(("id" = SceneId, Path)), responses(
    (status = 204, description = "Removed."),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn delete_scene(
    State(state): State,
    caller: Caller,
    PathId(id): PathId<SceneId>,
) -> Result<StatusCode> {
    service::delete_scene(state.scenes.as_ref(), &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Read the picture of one of the caller's scenes.
#[utoipa::path(get, path = "/api/scenes/{id}/image", tag = "scenes", params(("id" = SceneId, Path)), responses(
    (status = 200, content_type = "image/png", description = "The picture."),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn show_picture(
    State(state): State,
    caller: Caller,
    PathId(id): PathId<SceneId>,
) -> Result<(HeaderMap, NativeResponse)> {
    let picture = service::show_picture(state.scenes.as_ref(), &caller, id).await?;
    // A picture never changes, but it is its owner's alone: no shared cache may keep it.
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=3600"));
    Ok((headers, picture))
}
