//! The site's files and the API's own description.

use serde_json::json;

use crate::support::app::TestApp;

const FILES: [(&str, &str); 8] = [
    ("/", "text/html; charset=utf-8"),
    ("/docs", "text/html; charset=utf-8"),
    ("/app.js", "text/javascript; charset=utf-8"),
    ("/api.js", "text/javascript; charset=utf-8"),
    ("/texts.js", "text/javascript; charset=utf-8"),
    ("/docs.js", "text/javascript; charset=utf-8"),
    ("/style.css", "text/css; charset=utf-8"),
    ("/api/openapi.json", "application/json"),
];

#[test]
fn files_have_their_type_and_are_sent_once() {
    let app = TestApp::new();
    for (path, content_type) in FILES {
        let answer = app.get(path).send();
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (200, Some(content_type)),
            "{path}"
        );
        assert_eq!(answer.header("cache-control"), Some("public, no-cache"), "{path}");
        assert!(!answer.body.is_empty(), "{path}");
        let etag = answer.header("etag").unwrap();
        for known in [etag.to_owned(), format!("\"x\", W/{etag}"), "*".to_owned()] {
            let again = app.get(path).header("if-none-match", &known).send();
            assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{path}");
            assert_eq!(again.header("etag"), Some(etag), "{path}");
        }
        assert_eq!(app.get(path).header("if-none-match", "\"x\"").send().status, 200, "{path}");
    }
}

#[test]
fn the_page_may_run_our_scripts_and_call_our_supabase_and_nothing_else() {
    let app = TestApp::new();
    let policy = app.get("/").send().header("content-security-policy").unwrap().to_owned();
    assert!(policy.contains("connect-src 'self' https://auth.example;"), "{policy}");
    assert!(policy.contains("script-src 'self';"), "{policy}");
    for path in ["/", "/docs"] {
        let page = app.get(path).send();
        let text = page.text();
        for foreign in ["http://", "https://", "onclick=", "style=", "<script>", "<style>"] {
            assert!(!text.contains(foreign), "{path} has {foreign}, which its policy forbids");
        }
    }
}

#[test]
fn the_page_is_told_where_to_sign_in() {
    let app = TestApp::new();
    let expected = json!({
        "supabase_url": "https://auth.example", "supabase_publishable_key": "sb_publishable_test",
    });
    assert_eq!(app.get("/api/config").send().json(200), expected);
}
