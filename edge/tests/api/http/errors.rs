//! One shape for every error, and one line in the log for each.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use axum::http::Method;
use edge::error::Error;
use shared::errors::{ErrorBody, ErrorCode};

use crate::support::{
    app::{METRICS_TOKEN, NODE_JOIN_TOKEN, TestApp},
    faults::Part,
};

#[test]
fn an_unknown_path_is_404_with_and_without_a_token() {
    let app = TestApp::new();
    let token = app.sign_in(1);
    for path in ["/api/nowhere", "/nowhere", "/api", "/api/scenes/../../etc/passwd", "/%00", "//"] {
        let problem = app.get(path).send().problem(404);
        assert_eq!((problem.code, problem.instance.as_str()), (ErrorCode::NotFound, path));
        app.get(path).token(&token).send().problem(404);
    }
}

#[test]
fn a_wrong_method_is_405_with_those_allowed() {
    let app = TestApp::new();
    let answer = app.post("/api/health").json(&serde_json::json!({})).send();
    assert_eq!(answer.problem(405).code, ErrorCode::MethodNotAllowed);
    assert_eq!(answer.header("allow"), Some("GET,HEAD"));
    let answer = app.call(Method::PATCH, "/api/nodes/n").token(NODE_JOIN_TOKEN).send();
    answer.problem(405);
    assert_eq!(answer.header("allow"), Some("DELETE"));
}

#[test]
fn the_answer_to_head_has_no_body() {
    let app = TestApp::new();
    for (path, status) in [("/api/health", 200), ("/nowhere", 404), ("/api/metrics", 401)] {
        let answer = app.call(Method::HEAD, path).send();
        assert_eq!((answer.status.as_u16(), answer.text()), (status, ""), "{path}");
    }
}

#[test]
fn the_alias_is_the_same_api_and_answers_under_the_name_that_was_used() {
    let app = TestApp::new();
    app.get("/s2s_api_v1/health").send().json(200);
    assert_eq!(app.get("/s2s_api_v1/metrics").send().problem(401).instance, "/s2s_api_v1/metrics");
    let answer = app.get("/s2s_api_v1/metrics?x=1").token(METRICS_TOKEN).send();
    assert_eq!(answer.status, 200);
    for path in
        ["/s2s_api_v1", "/s2s_api_v1/", "/s2s_api_v1//", "/s2s_api_v1/docs", "/S2S_API_V1/health"]
    {
        app.get(path).send().problem(404);
    }
}

/// What the outermost middleware makes of each situation.
#[test]
fn every_situation_has_its_status_code_and_words() {
    use axum::response::IntoResponse;
    let detail = || "what happened".to_owned();
    let situations = [
        Error::Malformed { detail: detail() },
        Error::Invalid(Vec::new()),
        Error::Unauthenticated { reason: "expired" },
        Error::Forbidden,
        Error::NotFound,
        Error::Conflict { detail: detail() },
        Error::KeyReused,
        Error::NoCredit { balance: 5, reserved: 4 },
        Error::BodyTooLarge { max_bytes: 10 },
        Error::UnsupportedMediaType { expected: "application/json" },
        Error::RateLimited { policy: "generate", limit: 30, retry_after_s: 12 },
        Error::RateLimited { policy: "open-jobs", limit: 4, retry_after_s: 10 },
        Error::Overloaded { what: "the node", retry_after_s: 3 },
        Error::Unavailable {
            what: "the database",
            cause: "secret cause".to_owned(),
            retry_after_s: 5,
        },
        Error::JobFailed { detail: detail() },
        Error::Internal { cause: "secret cause".to_owned() },
    ];
    let mut lines = Vec::new();
    for situation in situations {
        let response = situation.into_response();
        let mut line = response.status().as_u16().to_string();
        for (name, value) in response.headers() {
            line.push_str(&format!(" {name}: {}", value.to_str().unwrap()));
        }
        lines.push(line);
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_failure_is_logged_once_with_its_cause_and_shown_without() {
    let app = TestApp::new();
    let token = app.sign_in_as(1, Some("admin"));
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
    let problem = tracing::subscriber::with_default(subscriber.finish(), || {
        app.world.faults.away(Part::Database, 60_000);
        let call = app.get("/api/admin/settings/prices").token(&token);
        call.header("x-request-id", "find-me").send().problem(503)
    });
    let ErrorBody { code, detail, .. } = problem;
    assert_eq!(
        (code, detail.as_str()),
        (ErrorCode::Unavailable, "Out of reach: a part. Try again in 5 s.")
    );
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 1, "{log}");
    for part in ["ERROR", "find-me", "/api/admin/settings/prices", "503", "settings"] {
        assert!(lines[0].contains(part), "{part} in {log}");
    }
    assert!(!log.contains(&token), "a token was logged");
}
