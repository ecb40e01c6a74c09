//! The API's own description: the generated document, and what a browser page must know.

use axum::{Json, http::HeaderMap, response::Response};
use shared::api::settings::PublicConfig;

use crate::{
    http::{extract::State, file::File, routes::Routes},
    routes,
};

/// Generated from the handlers by `tests/api/openapi.rs`, which also fails when it is out of date.
static DOCUMENT: File = File::new("application/json", include_str!("../../../docs/openapi.json"));

pub fn routes() -> Routes {
    routes![find_openapi, find_config]
}

/// Read this document.
#[utoipa::path(get, path = "/api/openapi.json", tag = "operations", responses(
    (status = 200, body = serde_json::Value, description = "OpenAPI 3.1."),
    (status = 304, description = "The caller's copy is still right."),
))]
pub async fn find_openapi(headers: HeaderMap) -> Response {
    DOCUMENT.answer(&headers)
}

/// Read what a page needs before anyone is signed in.
#[utoipa::path(get, path = "/api/config", tag = "operations", responses((status = 200, body = PublicConfig)))]
pub async fn find_config(State(state): State) -> Json<PublicConfig> {
    let supabase = &state.config.supabase;
    Json(PublicConfig {
        supabase_url: supabase.url.clone(),
        supabase_publishable_key: supabase.publishable_key.clone(),
    })
}
