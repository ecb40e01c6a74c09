//! `/s2s_api_v1/…` is another name of `/api/…`: the path is rewritten before routing.

use axum::http::{Uri, uri::PathAndQuery};

const ALIAS: &str = "/s2s_api_v1/";

/// Gives an aliased request its own path; others stay as they are.
pub fn resolve(uri: &mut Uri) {
    let Some(rest) = uri.path_and_query().and_then(|path| path.as_str().strip_prefix(ALIAS)) else {
        return;
    };
    if let Ok(path) = PathAndQuery::try_from(format!("/api/{rest}")) {
        let mut parts = std::mem::take(uri).into_parts();
        parts.path_and_query = Some(path);
        // The other parts were a valid URI's, so this succeeds.
        *uri = Uri::from_parts(parts).unwrap_or_default();
    }
}
