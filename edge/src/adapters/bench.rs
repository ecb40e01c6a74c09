//! The entry of the benchmark's build alone (feature `bench`): two small routes, once behind our bridge and axum, once
//! behind the crate's own `Router`, so that both are measured in one run with everything else equal.

use std::sync::LazyLock;

use axum::{
    Router,
    http::{HeaderMap, StatusCode, header},
    routing::{get, post},
};
use jwt_compact::{
    AlgorithmExt, Token, UntrustedToken,
    alg::{Hs256, Hs256Key},
};
use serde::Deserialize;
use tower_service::Service;
use worker::{Context, Env, Result, event};

use super::{bridge, clock::now_ms};

/// What the benchmark signs its tokens with.
const SECRET: &[u8] = b"a secret for benchmarks of at least 32 characters";

static KEY: LazyLock<Hs256Key> = LazyLock::new(|| Hs256Key::new(SECRET));

static AXUM: LazyLock<Router> = LazyLock::new(|| {
    Router::new()
        .route("/axum/hello", get(|| async { "hello" }))
        .route("/axum/token", post(answer_holder))
});

#[derive(Deserialize)]
struct Claims {
    sub: String,
}

async fn answer_holder(headers: HeaderMap) -> (StatusCode, String) {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match holder(bearer) {
        Some(sub) => (StatusCode::OK, sub),
        None => (StatusCode::UNAUTHORIZED, String::new()),
    }
}

/// Whom the token names, if it is good.
fn holder(bearer: Option<&str>) -> Option<String> {
    let token = UntrustedToken::new(bearer?.strip_prefix("Bearer ")?).ok()?;
    let token: Token<Claims> = Hs256.validator(&KEY).validate(&token).ok()?;
    let claims = token.into_parts().1;
    let expires_ms = u64::try_from(claims.expiration?.timestamp_millis()).ok()?;
    (now_ms() < expires_ms).then_some(claims.custom.sub)
}

#[event(fetch)]
async fn fetch(request: web_sys::Request, env: Env, _: Context) -> Result<web_sys::Response> {
    if request.url().contains("/axum/") {
        let serve = |request| async {
            AXUM.clone().call(request).await.unwrap_or_else(|never| match never {})
        };
        return bridge::answer(request, serve).await;
    }
    let answer = worker::Router::new()
        .get("/router/hello", |_, _| worker::Response::ok("hello"))
        .post_async("/router/token", |mut request, _| async move {
            // Our bridge reads every body: so must the other side.
            request.text().await?;
            let bearer = request.headers().get("authorization")?;
            match holder(bearer.as_deref()) {
                Some(sub) => worker::Response::ok(sub),
                None => worker::Response::error("", 401),
            }
        })
        .run(request.into(), env)
        .await?;
    Ok(answer.into())
}
