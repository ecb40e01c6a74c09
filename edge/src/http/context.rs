//! What is known of a request before its handler runs, and who sent it. Kept in the request's extensions.

use std::{net::IpAddr, sync::Arc};

use axum::extract::Request;

use super::middleware::request_id;
use crate::{caller::Caller, state::AppState};

/// One per request, shared by the middleware and the extractors.
pub struct RequestContext {
    pub state: Arc<AppState>,
    pub request_id: String,
    pub started_ms: u64,
    /// Absent when the runtime does not tell, as in some tests.
    pub client_ip: Option<IpAddr>,
    /// The path as it was asked for, before an alias was resolved.
    pub path: String,
}

impl RequestContext {
    /// Notes what only the start of a request knows.
    pub fn open(state: Arc<AppState>, request: &Request) -> Self {
        let ip = request.headers().get("cf-connecting-ip").and_then(|value| value.to_str().ok());
        Self {
            request_id: request_id::choose(request.headers(), state.random.as_ref()),
            started_ms: state.clock.now_ms(),
            client_ip: ip.and_then(|text| text.parse().ok()),
            path: request.uri().path().to_owned(),
            state,
        }
    }

    /// How long ago the request came.
    pub fn age_ms(&self) -> u64 {
        self.state.clock.now_ms().saturating_sub(self.started_ms)
    }
}

/// What a request's credentials proved. Extractors turn it into the type a handler's signature names.
#[derive(Clone)]
pub enum Identity {
    User(Caller),
    /// Knows the join token.
    Node,
    /// Knows the metrics token.
    Metrics,
}
