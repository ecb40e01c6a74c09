//! A creating request that comes twice is one request.

use std::sync::atomic::{AtomicU32, Ordering};

use axum::{
    Json,
    body::{Body, to_bytes},
    extract::FromRequest,
    http::{Method, Request, StatusCode},
    response::{IntoResponse, Response},
};
use edge::{
    error::{Error, Result},
    http::idempotency::IdempotentJson,
    ports::gates::Account,
};
use futures_util::future::join;
use serde_json::{Value, json};
use shared::{api::scenes::CreateScene, ids::JobId};

use crate::support::{app::TestApp, world::scene_input};

/// A creating route in small: it counts its runs and answers as it is told.
struct Route {
    app: TestApp,
    runs: AtomicU32,
    takes_ms: u64,
}

impl Route {
    fn new() -> Self {
        Self { app: TestApp::new(), runs: AtomicU32::new(0), takes_ms: 0 }
    }

    async fn call(
        &self,
        key: Option<&str>,
        body: &Value,
        answer: impl Fn(JobId) -> Result<Response>,
    ) -> Result<Response> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri("/api/generate/scene")
            .header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let request = request.body(Body::from(body.to_string())).unwrap();
        let order = IdempotentJson::<CreateScene>::from_request(request, &()).await?;
        let create = |job: JobId, _: CreateScene| async move {
            self.runs.fetch_add(1, Ordering::SeqCst);
            if self.takes_ms > 0 {
                self.app.state.clock.sleep_ms(self.takes_ms).await;
            }
            answer(job)
        };
        order.answer_once(&self.app.state, &self.app.world.alice, create).await
    }

    fn created(&self, key: Option<&str>) -> Result<Response> {
        self.app.world.clock.run(self.call(key, &scene_input(), created))
    }

    fn runs(&self) -> u32 {
        self.runs.load(Ordering::SeqCst)
    }
}

fn created(job: JobId) -> Result<Response> {
    let headers = [("location", format!("/api/jobs/{job}"))];
    Ok((StatusCode::ACCEPTED, headers, Json(json!({"id": job}))).into_response())
}

fn parts(route: &Route, response: Response) -> (u16, Option<String>, bool, Value) {
    let (parts, body) = response.into_parts();
    let body = route.app.world.clock.run(to_bytes(body, 10_000)).unwrap();
    let location = parts.headers.get("location").map(|value| value.to_str().unwrap().to_owned());
    let is_replayed =
        parts.headers.get("idempotency-replayed").is_some_and(|value| value == "true");
    (parts.status.as_u16(), location, is_replayed, serde_json::from_slice(&body).unwrap())
}

#[test]
fn a_repeat_gets_the_first_answer_and_makes_nothing() {
    let route = Route::new();
    let (status, location, is_replayed, body) = parts(&route, route.created(Some("key")).unwrap());
    assert_eq!((status, is_replayed), (202, false));
    let repeat = parts(&route, route.created(Some("key")).unwrap());
    assert_eq!(repeat, (202, location, true, body));
    assert_eq!(route.runs(), 1);
}

#[test]
fn without_a_key_or_with_another_each_is_its_own() {
    let route = Route::new();
    let ids: Vec<_> = [None, None, Some("a"), Some("b"), Some("\"a\"")]
        .into_iter()
        .map(|key| parts(&route, route.created(key).unwrap()).3["id"].to_string())
        .collect();
    assert_eq!(route.runs(), 4);
    assert_eq!(ids[2], ids[4], "the quoted form is the same key");
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn another_body_under_the_same_key_is_refused() {
    let route = Route::new();
    route.created(Some("key")).unwrap();
    let mut other = scene_input();
    other["pose"] = json!("on the right");
    let refused = route.app.world.clock.run(route.call(Some("key"), &other, created));
    assert!(matches!(refused, Err(Error::KeyReused)));
    assert_eq!(route.runs(), 1);
}

#[test]
fn a_double_click_waits_for_the_first_answer() {
    let route = Route { takes_ms: 3_000, ..Route::new() };
    let input = scene_input();
    let both =
        join(route.call(Some("key"), &input, created), route.call(Some("key"), &input, created));
    let (first, second) = route.app.world.clock.run(both);
    let (first, second) = (parts(&route, first.unwrap()), parts(&route, second.unwrap()));
    assert_eq!((first.2, second.2), (false, true));
    assert_eq!(first.3, second.3);
    assert_eq!(route.runs(), 1);
}

#[test]
fn who_waited_long_enough_is_told_that_it_is_under_way() {
    let route = Route { takes_ms: 30_000, ..Route::new() };
    let input = scene_input();
    let second = async {
        let answer = route.call(Some("key"), &input, created).await;
        (answer, route.app.world.clock.elapsed_ms())
    };
    let both = join(route.call(Some("key"), &input, created), second);
    let (first, (second, waited_ms)) = route.app.world.clock.run(both);
    assert!(first.is_ok());
    assert!(matches!(second, Err(Error::Conflict { .. })));
    assert!((10_000..11_000).contains(&waited_ms), "{waited_ms}");
    assert_eq!(route.runs(), 1);
}

#[test]
fn a_refusal_is_an_answer_and_is_repeated() {
    let route = Route::new();
    let refuse = |_| Err(Error::NoCredit { balance: 0, reserved: 0 });
    let refused = || route.app.world.clock.run(route.call(Some("key"), &scene_input(), refuse));
    assert!(matches!(refused(), Err(Error::NoCredit { .. })));
    let repeat = refused().unwrap();
    assert_eq!(repeat.status(), 402);
    assert_eq!(repeat.headers()["idempotency-replayed"], "true");
    assert_eq!(route.runs(), 1);
}

#[test]
fn what_may_go_better_next_time_frees_the_key_and_keeps_the_job() {
    let failures = [
        Error::unavailable("the database", "away"),
        Error::internal("a bug"),
        Error::Overloaded { what: "nodes", retry_after_s: 1 },
        Error::RateLimited { policy: "open-jobs", limit: 4, retry_after_s: 1 },
    ];
    for failure in failures {
        let route = Route::new();
        let first_job = std::sync::Mutex::new(None);
        let fail = |job| {
            *first_job.lock().unwrap() = Some(job);
            Err(failure.clone())
        };
        let failed = route.app.world.clock.run(route.call(Some("key"), &scene_input(), fail));
        assert!(failed.is_err());
        let answer = parts(&route, route.created(Some("key")).unwrap());
        assert_eq!((answer.0, answer.2), (202, false), "{failure}");
        assert_eq!(answer.3["id"], json!(first_job.lock().unwrap().unwrap()), "{failure}");
        assert_eq!(route.runs(), 2);
    }
}

#[test]
fn a_strange_key_is_refused_before_anything_is_made() {
    let route = Route::new();
    let long = "k".repeat(256);
    for key in ["", "\"\"", "a b", long.as_str()] {
        assert!(matches!(route.created(Some(key)), Err(Error::Malformed { .. })), "{key}");
    }
    assert_eq!(route.runs(), 0);
}

#[test]
fn a_body_that_is_not_valid_does_not_use_up_the_key() {
    let route = Route::new();
    let refused = route.app.world.clock.run(route.call(Some("key"), &json!({}), created));
    assert!(matches!(refused, Err(Error::Invalid(_))));
    assert_eq!(parts(&route, route.created(Some("key")).unwrap()).0, 202);
}

#[test]
fn when_the_account_is_away_nothing_is_made() {
    let route = Route::new();
    route.app.world.faults.fail_calls("account.begin_key", 1);
    assert!(matches!(route.created(Some("key")), Err(Error::Unavailable { .. })));
    assert_eq!(route.runs(), 0);
}

#[test]
fn an_answer_that_could_not_be_kept_is_given_all_the_same() {
    let route = Route::new();
    route.app.world.faults.fail_calls("account.finish_key", 1);
    let first = parts(&route, route.created(Some("key")).unwrap());
    assert_eq!(first.0, 202);
    // The key still looks busy; once its first bearer counts as dead, the same job is made again.
    route.app.world.clock.advance_ms(60_000);
    assert_eq!(parts(&route, route.created(Some("key")).unwrap()).3, first.3);
}

#[test]
fn keys_of_different_people_are_different_keys() {
    let route = Route::new();
    route.created(Some("key")).unwrap();
    let account: &dyn Account = &route.app.world.gates;
    let bob = crate::support::world::caller(7, None).user_id;
    let job = JobId::from_random([9; 16]);
    let state = route.app.world.clock.run(account.begin_key(bob, "key", "other", job)).unwrap();
    assert_eq!(state, edge::ports::gates::KeyState::Fresh { job_id: job });
}
