//! Headers of every answer: its id, its time, and what browsers must not do with it.

use edge::config::Environment;

use crate::support::{
    app::{TestApp, config},
    world::World,
};

#[test]
fn every_answer_has_them_also_errors_and_pages() {
    let app = TestApp::new();
    for (path, status) in
        [("/api/health", 200), ("/", 200), ("/nowhere", 404), ("/api/metrics", 401)]
    {
        let answer = app.get(path).send();
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(answer.header("server-timing"), Some("total;dur=0"), "{path}");
        assert_eq!(answer.header("x-request-id").map(str::len), Some(32), "{path}");
        assert_eq!(answer.header("strict-transport-security"), None, "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
    }
    assert_eq!(app.get("/nowhere").send().header("cache-control"), Some("no-store"));
}

#[test]
fn outside_a_local_machine_browsers_are_told_to_stay_on_https() {
    let app = TestApp::on(
        World::empty(),
        edge::config::Config { environment: Environment::Production, ..config() },
    );
    let answer = app.get("/api/health").send();
    assert_eq!(
        answer.header("strict-transport-security"),
        Some("max-age=63072000; includeSubDomains")
    );
}

#[test]
fn a_callers_request_id_is_kept_when_it_is_harmless_to_log() {
    let app = TestApp::new();
    let long = "x".repeat(64);
    let too_long = "x".repeat(65);
    for given in ["a", "My_Request-7", &long] {
        let answer = app.get("/nowhere").header("x-request-id", given).send();
        assert_eq!(answer.header("x-request-id"), Some(given));
        assert_eq!(answer.problem(404).request_id, given);
    }
    for given in ["", "a b", "a\tb", "é", "<script>", "a/b", &too_long] {
        let answer = app.get("/nowhere").header("x-request-id", given).send();
        assert_ne!(answer.header("x-request-id"), Some(given));
        assert_eq!(answer.header("x-request-id").map(str::len), Some(32));
    }
}
