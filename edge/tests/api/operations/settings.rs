//! `/api/admin/settings/{key}`.

use axum::http::Method;
use serde_json::json;

use crate::support::{app::TestApp, faults::Part};

const SETTING: &str = "/api/admin/settings/retention";

#[test]
fn an_admin_writes_and_reads() {
    let app = TestApp::new();
    let admin = app.sign_in_as(1, Some("admin"));
    app.get(SETTING).token(&admin).send().problem(404);
    let put = app.call(Method::PUT, SETTING).token(&admin).json(&json!({"value": {"days": 30}}));
    assert_eq!(put.send().status, 204);
    let expected = json!({"key": "retention", "value": {"days": 30}});
    assert_eq!(app.get(SETTING).token(&admin).send().json(200), expected);
}

#[test]
fn bad_values_and_names_are_refused() {
    let app = TestApp::new();
    let admin = app.sign_in_as(1, Some("admin"));
    for (body, expected) in [
        (json!({}), vec![("/value", "missing")]),
        (json!({"value": 3}), vec![("/value", "type")]),
        (json!({"value": {}, "key": "x"}), vec![("/key", "unknown")]),
        (json!({"values": {}}), vec![("/value", "missing"), ("/values", "unknown")]),
    ] {
        let answer = app.call(Method::PUT, SETTING).token(&admin).json(&body).send();
        let expected: Vec<_> =
            expected.iter().map(|(p, c)| ((*p).to_owned(), (*c).to_owned())).collect();
        assert_eq!(answer.field_errors(), expected);
    }
    let long = format!("/api/admin/settings/{}", "k".repeat(61));
    for path in
        ["/api/admin/settings/a.b", "/api/admin/settings/%2e%2e", "/api/admin/settings/A", &long]
    {
        app.get(path).token(&admin).send().problem(404);
    }
}

#[test]
fn a_database_that_is_away_is_said_to_be() {
    let app = TestApp::new();
    app.world.faults.away(Part::Database, 60_000);
    app.get(SETTING).token(&app.sign_in_as(1, Some("admin"))).send().problem(503);
    app.get(SETTING).token(&app.sign_in(2)).send().problem(503);
}
