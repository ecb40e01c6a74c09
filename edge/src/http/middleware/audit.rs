//! The audit trail: one entry per state-changing call, sent to its queue after the answer.

use std::{net::IpAddr, sync::Arc};

use axum::http::Method;
use serde_json::json;
use shared::ids::UserId;

use crate::{http::context::RequestContext, ports::delivery::AuditEntry};

/// State-changing by its verb alone: a node's pulse, every few seconds, says nothing about anyone.
const UNAUDITED_ROUTES: &[&str] = &["/api/nodes/{id}/heartbeat"];

/// Calls that were not understood, or came too often: they asked for no change anyone could name, and a flood of them
/// must not become a flood of rows.
const UNAUDITED_STATUSES: [u16; 5] = [400, 413, 415, 422, 429];

/// What happened.
pub struct Call<'a> {
    pub method: &'a Method,
    /// The matched path, such as `/api/scenes/{id}`.
    pub route: &'a str,
    pub user_id: Option<UserId>,
    pub status: u16,
}

/// Records the call, if it is one that changes something (or tried to).
pub fn record(context: &Arc<RequestContext>, call: &Call<'_>) {
    let is_reading = [Method::GET, Method::HEAD, Method::OPTIONS].contains(call.method);
    let is_noise = UNAUDITED_STATUSES.contains(&call.status);
    if is_reading || is_noise || UNAUDITED_ROUTES.contains(&call.route) {
        return;
    }
    let now_ms = context.state.clock.now_ms();
    let metadata = json!({
        "status": call.status,
        "ip_prefix": context.client_ip.map(ip_prefix),
        "request_id": context.request_id,
        "response_time_ms": now_ms.saturating_sub(context.started_ms),
    });
    let action = format!("{} {}", call.method, call.route);
    let random = context.state.random.bytes();
    let entry = AuditEntry::new(random, now_ms, call.user_id, action, metadata);
    let (queues, request_id) = (Arc::clone(&context.state.queues), context.request_id.clone());
    context.state.background.spawn(Box::pin(async move {
        if let Err(error) = queues.send_audit(entry).await {
            tracing::error!(request_id, %error, "an audit entry was lost");
        }
    }));
}

/// Enough to see a pattern, too little to name a person: /24, or /48.
fn ip_prefix(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}::/48")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_cut_to_its_network() {
        let cases = [
            ("203.0.113.77", "203.0.113.0/24"),
            ("2001:db8:85a3:1234::7", "2001:db8:85a3::/48"),
            ("::1", "0:0:0::/48"),
        ];
        for (ip, prefix) in cases {
            assert_eq!(ip_prefix(ip.parse().unwrap()), prefix);
        }
    }
}
