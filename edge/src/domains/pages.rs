//! The site's files: the page where a scene is made, and the API's reference page. All are compiled in.

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};

use crate::http::{extract::State, file::File, routes::Routes};

static INDEX: File = File::html(include_str!("../../static/index.html"));
static DOCS: File = File::html(include_str!("../../static/docs.html"));
static STYLE: File = File::new("text/css; charset=utf-8", include_str!("../../static/style.css"));
static APP: File = File::script(include_str!("../../static/app.js"));
static API: File = File::script(include_str!("../../static/api.js"));
static TEXTS: File = File::script(include_str!("../../static/texts.js"));
static DOCS_SCRIPT: File = File::script(include_str!("../../static/docs.js"));

pub fn routes() -> Routes {
    Routes::new()
        .add_file("/", index)
        .add_file("/docs", docs)
        .add_file("/style.css", async |headers: HeaderMap| STYLE.answer(&headers))
        .add_file("/app.js", async |headers: HeaderMap| APP.answer(&headers))
        .add_file("/api.js", async |headers: HeaderMap| API.answer(&headers))
        .add_file("/texts.js", async |headers: HeaderMap| TEXTS.answer(&headers))
        .add_file("/docs.js", async |headers: HeaderMap| DOCS_SCRIPT.answer(&headers))
}

/// It signs people in at Supabase and shows pictures it fetched with their token.
async fn index(State(state): State, headers: HeaderMap) -> Response {
    page(&INDEX, &headers, &format!("'self' {}", state.config.supabase.url))
}

async fn docs(headers: HeaderMap) -> Response {
    page(&DOCS, &headers, "'self'")
}

fn page(file: &'static File, headers: &HeaderMap, may_call: &str) -> Response {
    let mut response = file.answer(headers);
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
         connect-src {may_call}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    if let Ok(policy) = HeaderValue::try_from(policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}
