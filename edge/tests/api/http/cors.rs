//! Which pages may call, and what a preflight is told.

use axum::http::Method;

use crate::support::app::{CORS_ORIGIN, TestApp};

#[test]
fn a_listed_origin_is_named_and_no_other() {
    let app = TestApp::new();
    let answer = app.get("/api/health").header("origin", CORS_ORIGIN).send();
    assert_eq!(answer.header("access-control-allow-origin"), Some(CORS_ORIGIN));
    assert!(answer.header("access-control-expose-headers").unwrap().contains("x-request-id"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    for origin in
        ["https://evil.example", "null", "https://app.example.evil.example", "http://app.example"]
    {
        let answer = app.get("/api/health").header("origin", origin).send();
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
        assert_eq!(answer.header("vary"), Some("origin"), "{origin}");
    }
    assert_eq!(app.get("/api/health").send().header("vary"), Some("origin"));
}

#[test]
fn errors_can_be_read_by_the_page_too() {
    let app = TestApp::new();
    let answer = app.get("/api/metrics").header("origin", CORS_ORIGIN).send();
    answer.problem(401);
    assert_eq!(answer.header("access-control-allow-origin"), Some(CORS_ORIGIN));
}

#[test]
fn a_preflight_needs_no_token_and_is_kept() {
    let app = TestApp::new();
    let preflight = |origin: &str| {
        app.call(Method::OPTIONS, "/api/generate/scene")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,idempotency-key")
            .send()
    };
    let answer = preflight(CORS_ORIGIN);
    assert_eq!((answer.status.as_u16(), answer.text()), (204, ""));
    assert_eq!(answer.header("access-control-allow-origin"), Some(CORS_ORIGIN));
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET, POST, PUT, DELETE"));
    assert_eq!(answer.header("access-control-max-age"), Some("7200"));
    for name in ["authorization", "content-type", "idempotency-key", "prefer", "last-event-id"] {
        assert!(answer.header("access-control-allow-headers").unwrap().contains(name), "{name}");
    }
    let answer = preflight("https://evil.example");
    assert_eq!(answer.status, 204);
    for name in ["allow-origin", "allow-methods", "allow-headers", "max-age"] {
        assert_eq!(answer.header(&format!("access-control-{name}")), None);
    }
}
