//! The node's numbers for Prometheus.

use axum::{extract::State, http::header, response::IntoResponse};

use crate::{
    error::{Error, Result},
    scheduler::metrics::METRICS_CONTENT_TYPE,
    state::AppState,
};

/// `GET /metrics`.
pub async fn show_metrics(State(state): State<AppState>) -> Result<impl IntoResponse> {
    let text =
        state.metrics.render().map_err(|error| Error::Internal { cause: error.to_string() })?;
    Ok(([(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)], text))
}
