//! Replicate's predictions, and the traps that its official clients set.

use std::time::Duration;

use axum::http::{StatusCode, header};
use serde_json::{Value, json};

use super::{
    asking, names, post_with, predict,
    support::{Settings, TestNode, request, sse::Events},
    until_started,
};

const MODEL: &str = "/v1/models/chandelle/tiny";

fn id_of(prediction: &Value) -> &str {
    prediction["id"].as_str().unwrap()
}

async fn get(node: &TestNode, id: &str) -> Value {
    let answer = node.get(&format!("/v1/predictions/{id}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Orders and waits for the end.
async fn wait(node: &TestNode, body: Value) -> Value {
    let path = format!("{MODEL}/predictions");
    let answer = post_with(node, &path, ("prefer", "wait"), body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

/// A URL of this node as a path.
fn path_of(url: &Value) -> &str {
    url.as_str().unwrap().strip_prefix("http://localhost").unwrap()
}

async fn version(node: &TestNode) -> String {
    let model = node.get(MODEL).await.json();
    model["latest_version"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_new_prediction_is_201_and_has_every_member() {
    let node = TestNode::start();
    node.script.hold();
    let prediction = predict(&node, asking("a fish")).await;
    let members = [
        "completed_at",
        "created_at",
        "data_removed",
        "error",
        "id",
        "input",
        "logs",
        "metrics",
        "model",
        "output",
        "source",
        "started_at",
        "status",
        "urls",
        "version",
    ];
    assert_eq!(names(&prediction), members);
    let id = id_of(&prediction);
    assert_eq!(id.len(), 26);
    assert!(id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{id}");
    assert_eq!(prediction["model"], "chandelle/tiny");
    assert_eq!(prediction["input"], json!({ "prompt": "a fish", "seed": 7 }));
    assert_eq!(prediction["output"], Value::Null);
    assert_eq!(
        (&prediction["source"], &prediction["data_removed"]),
        (&json!("api"), &json!(false))
    );
    let get = format!("http://localhost/v1/predictions/{id}");
    assert_eq!(prediction["urls"]["get"], get);
    assert_eq!(prediction["urls"]["cancel"], format!("{get}/cancel"));
}

#[tokio::test]
async fn a_prediction_starts_is_processed_and_succeeds() {
    let node = TestNode::start();
    node.script.hold();
    let other = predict(&node, asking("a bird")).await;
    let prediction = predict(&node, asking("a fish")).await;
    let id = id_of(&prediction);
    assert_eq!(prediction["status"], "starting");
    until_started(&node, id_of(&other)).await;
    assert_eq!(get(&node, id_of(&other)).await["status"], "processing");
    node.script.let_go();
    node.end_of(&format!("/v1/jobs/{id}")).await;
    let done = get(&node, id).await;
    assert_eq!(done["status"], "succeeded");
    assert!(done["metrics"]["predict_time"].is_f64() && done["metrics"]["total_time"].is_f64());
    assert_eq!(done["metrics"]["image_count"], 1);
    let times = [&done["created_at"], &done["started_at"], &done["completed_at"]];
    assert!(times.iter().all(|time| time.as_str().unwrap().ends_with('Z')), "{done}");
    let logs = done["logs"].as_str().unwrap();
    assert!(logs.starts_with(" 33%|") && logs.ends_with("| 3/3\nUsing seed: 7\n"), "{logs}");
}

#[tokio::test]
async fn outputs_are_urls_that_need_no_token_and_cannot_be_guessed() {
    let node = TestNode::start();
    let done =
        wait(&node, json!({ "input": { "prompt": "a fish", "seed": 7, "num_outputs": 2 } })).await;
    let urls = done["output"].as_array().unwrap();
    assert_eq!(urls.len(), 2);
    let path = path_of(&urls[1]);
    assert!(path.ends_with("/1.png"), "{path}");
    let mut bare = request("GET", path, None);
    bare.headers_mut().remove(header::AUTHORIZATION);
    let answer = node.send(bare).await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "a fish #8"));
    assert_eq!(answer.header("content-type"), "image/png");
    let key = path.split('/').nth(4).unwrap();
    assert_eq!(key.len(), 32);
    let guessed = path.replace(key, &"0".repeat(32));
    node.get(&guessed).await.problem(404, "not_found");
    node.get(&path.replace("/1.png", "/2.png")).await.problem(404, "not_found");
    node.get(&path.replace("/1.png", "/png")).await.problem(404, "not_found");
}

#[tokio::test]
async fn links_are_those_that_the_caller_can_reach() {
    let node = TestNode::start();
    let mut behind_a_proxy = request("POST", &format!("{MODEL}/predictions"), Some(&asking("x")));
    let headers = behind_a_proxy.headers_mut();
    headers.insert("host", "node.example.com".parse().unwrap());
    headers.insert("x-forwarded-proto", "https".parse().unwrap());
    let prediction = node.send(behind_a_proxy).await.json();
    let get = prediction["urls"]["get"].as_str().unwrap();
    assert!(get.starts_with("https://node.example.com/v1/predictions/"), "{get}");
}

#[tokio::test]
async fn a_wait_that_was_in_vain_says_starting_within_its_time() {
    let node = TestNode::start();
    node.script.hold();
    let first = predict(&node, asking("a fish")).await;
    until_started(&node, id_of(&first)).await;
    // The second runs once the first is done; both would be `processing` then.
    let path = format!("{MODEL}/predictions");
    tokio::time::pause();
    let asked = tokio::time::Instant::now();
    let answer = post_with(&node, &path, ("prefer", "wait=5"), asking("a bird")).await;
    assert_eq!(
        (answer.status, answer.json()["status"].clone()),
        (StatusCode::CREATED, "starting".into())
    );
    assert!(asked.elapsed() < Duration::from_secs(5), "the client hangs up after its wait");
}

#[tokio::test]
async fn a_prediction_under_way_is_starting_for_who_waited_in_vain() {
    let node = TestNode::start();
    node.script.hold();
    let path = format!("{MODEL}/predictions");
    let answer = post_with(&node, &path, ("prefer", "wait=1"), asking("a fish")).await.json();
    assert_eq!(answer["status"], "starting", "clients take another status for the end");
    assert_eq!(get(&node, id_of(&answer)).await["status"], "processing");
}

#[tokio::test]
async fn every_form_of_a_version_names_its_model() {
    let node = TestNode::with(Settings { models: &["tiny", "other"], ..Settings::default() });
    let id = version(&node).await;
    assert_eq!(id.len(), 64);
    for version in [id.clone(), format!("chandelle/tiny:{id}"), "somebody/tiny".to_owned()] {
        let body = json!({ "version": version, "input": { "prompt": "a fish" } });
        let answer = node.post("/v1/predictions", &body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(answer.json()["model"], "chandelle/tiny");
        assert_eq!(answer.json()["version"], id.as_str());
    }
    let other = format!("chandelle/other:{id}");
    for version in [json!("0".repeat(64)), json!("chandelle/huge"), json!(other), json!("tiny")] {
        let body = json!({ "version": version, "input": { "prompt": "a fish" } });
        node.post("/v1/predictions", &body).await.problem(422, "invalid_request");
    }
    let problem = node.post("/v1/predictions", &asking("x")).await.problem(422, "invalid_request");
    assert_eq!(problem["detail"], "version is required");
    let path = "/v1/deployments/acme/tiny/predictions";
    assert_eq!(node.post(path, &asking("a fish")).await.status, 201);
    node.post("/v1/models/acme/huge/predictions", &asking("x")).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_model_and_its_version_can_be_looked_up() {
    let node = TestNode::start();
    let model = node.get(MODEL).await.json();
    assert_eq!((&model["owner"], &model["name"]), (&json!("chandelle"), &json!("tiny")));
    let id = model["latest_version"]["id"].as_str().unwrap();
    let found = node.get(&format!("{MODEL}/versions/{id}")).await.json();
    assert_eq!(found, model["latest_version"]);
    assert_eq!(found["openapi_schema"]["components"]["schemas"]["Output"]["type"], "array");
    let versions = node.get(&format!("{MODEL}/versions")).await.json();
    assert_eq!(versions["results"], json!([found]));
    node.get(&format!("{MODEL}/versions/0")).await.problem(404, "not_found");
    node.get("/v1/models/chandelle/huge").await.problem(404, "not_found");
    // OpenAI's route of one segment is still there.
    assert_eq!(node.get("/v1/models/tiny").await.json()["object"], "model");
}

#[tokio::test]
async fn a_wrong_input_is_422_with_all_of_it_in_detail() {
    let node = TestNode::with_texts();
    let path = format!("{MODEL}/predictions");
    let body = json!({ "input": { "width": 100, "hue": 3, "num_outputs": 9 } });
    let problem = node.post(&path, &body).await.problem(422, "invalid_request");
    assert_eq!(
        problem["detail"],
        "input.prompt is required; input.num_outputs must be between 1 and 8; input.hue is not a \
         known field"
    );
    let body = json!({ "input": { "prompt": "x", "width": 100 } });
    let problem = node.post(&path, &body).await.problem(422, "invalid_request");
    assert_eq!(problem["detail"], "input.width must be a multiple of 64 for this model");
    let problem = node.post("/v1/models/x/talker/predictions", &asking("x")).await;
    let problem = problem.problem(422, "invalid_request");
    assert_eq!(problem["detail"], "version must be a model that makes pictures");
    assert_eq!(node.state.jobs.book.list().len(), 0);
}

#[tokio::test]
async fn a_prediction_that_fails_says_why() {
    let node = TestNode::start();
    let failed = wait(&node, asking("fail")).await;
    assert_eq!(
        (&failed["status"], &failed["error"]),
        (&json!("failed"), &json!("the card fell off"))
    );
    assert_eq!(failed["output"], Value::Null);
}

#[tokio::test]
async fn a_prediction_is_cancelled_at_once() {
    let node = TestNode::start();
    node.script.hold();
    let prediction = predict(&node, asking("a fish")).await;
    let id = id_of(&prediction);
    until_started(&node, id).await;
    let cancel = format!("/v1/predictions/{id}/cancel");
    let answer = node.send(request("POST", &cancel, None)).await;
    assert_eq!(
        (answer.status, answer.json()["status"].clone()),
        (StatusCode::OK, "canceled".into())
    );
    node.script.let_go();
    node.end_of(&format!("/v1/jobs/{id}")).await;
    let ended = get(&node, id).await;
    assert_eq!((&ended["status"], &ended["output"]), (&json!("canceled"), &Value::Null));
    assert!(ended["completed_at"].is_string());
    node.post("/v1/predictions/7/cancel", &json!({})).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_deadline_aborts_what_waits_and_cancels_what_runs() {
    let node = TestNode::start();
    node.script.hold();
    let path = format!("{MODEL}/predictions");
    let deadline = ("cancel-after", "10s");
    let running = post_with(&node, &path, deadline, asking("a fish")).await.json();
    until_started(&node, id_of(&running)).await;
    let waiting = post_with(&node, &path, deadline, asking("a bird")).await.json();
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(get(&node, id_of(&waiting)).await["status"], "aborted");
    assert_eq!(get(&node, id_of(&running)).await["status"], "canceled");
    let problem = post_with(&node, &path, ("cancel-after", "soon"), asking("x")).await;
    problem.problem(422, "invalid_request");
}

#[tokio::test]
async fn a_prediction_may_run_half_an_hour() {
    let node = TestNode::start();
    node.script.hold();
    let prediction = predict(&node, asking("a fish")).await;
    until_started(&node, id_of(&prediction)).await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(1801)).await;
    assert_eq!(get(&node, id_of(&prediction)).await["status"], "failed");
}

#[tokio::test]
async fn input_and_output_are_removed_after_an_hour() {
    let node = TestNode::start();
    let done = wait(&node, asking("a fish")).await;
    let file = path_of(&done["output"][0]);
    node.clock.advance(Duration::from_secs(3600));
    assert_eq!(node.get(file).await.status, 200);
    node.clock.advance(Duration::from_secs(1));
    let left = get(&node, id_of(&done)).await;
    assert_eq!((&left["status"], &left["data_removed"]), (&json!("succeeded"), &json!(true)));
    assert_eq!(
        (&left["input"], &left["output"], &left["logs"]),
        (&Value::Null, &Value::Null, &json!(""))
    );
    assert_eq!(left["metrics"], done["metrics"]);
    node.get(file).await.problem(404, "not_found");
    node.clock.advance(Duration::from_secs(24 * 3600));
    node.get(&format!("/v1/predictions/{}", id_of(&done))).await.problem(404, "not_found");
}

#[tokio::test]
async fn the_list_has_a_hundred_on_a_page_the_newest_first() {
    let node = TestNode::with(Settings { queue_capacity: 200, ..Settings::default() });
    node.script.hold();
    let mut ids = Vec::new();
    for _ in 0..103 {
        ids.push(id_of(&predict(&node, asking("a fish")).await).to_owned());
    }
    ids.reverse();
    let ids_of = |page: &Value| -> Vec<String> {
        page["results"].as_array().unwrap().iter().map(|p| id_of(p).to_owned()).collect()
    };
    let first = node.get("/v1/predictions").await.json();
    assert_eq!(ids_of(&first), ids[..100]);
    assert_eq!(first["previous"], Value::Null);
    let second = node.get(path_of(&first["next"])).await.json();
    assert_eq!((ids_of(&second), &second["next"]), (ids[100..].to_vec(), &Value::Null));
    let back = node.get(path_of(&second["previous"])).await.json();
    assert_eq!(ids_of(&back), ids[..100]);

    let tenth = &first["results"][9]["created_at"];
    let newer =
        node.get(&format!("/v1/predictions?created_after={}", tenth.as_str().unwrap())).await;
    assert_eq!(ids_of(&newer.json()), ids[..10]);
    let older =
        node.get(&format!("/v1/predictions?created_before={}", tenth.as_str().unwrap())).await;
    assert_eq!(ids_of(&older.json())[0], ids[10]);
    node.get("/v1/predictions?cursor=x").await.problem(422, "invalid_request");
    node.get("/v1/predictions?created_after=x").await.problem(422, "invalid_request");
}

#[tokio::test]
async fn a_stream_tells_progress_then_each_file_then_that_it_is_done() {
    let node = TestNode::start();
    let prediction = predict(&node, asking("a fish")).await;
    let path = path_of(&prediction["urls"]["stream"]);
    assert!(path.starts_with("/v1/files/"), "there the JavaScript client makes files of outputs");
    let mut bare = request("GET", path, None);
    bare.headers_mut().remove(header::AUTHORIZATION);
    let answer = node.send(bare).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let blocks = blocks(answer.text());
    let named: Vec<&str> = blocks.iter().map(|(event, _)| event.as_str()).collect();
    assert_eq!(named, ["logs", "logs", "logs", "output", "done"]);
    let done = get(&node, id_of(&prediction)).await;
    assert_eq!(done["output"][0], blocks[3].1.as_str());
    assert_eq!(blocks[4].1, "{}");
}

#[tokio::test]
async fn a_stream_tells_a_failure_and_a_cancellation() {
    let node = TestNode::start();
    let failed = wait(&node, asking("fail")).await;
    let text = node.get(path_of(&failed["urls"]["stream"])).await;
    let expected = [
        ("error".to_owned(), "the card fell off".to_owned()),
        ("done".to_owned(), r#"{"reason": "error"}"#.to_owned()),
    ];
    assert_eq!(blocks(text.text()), expected);
    node.script.hold();
    let cancelled = predict(&node, asking("a fish")).await;
    let path = format!("/v1/predictions/{}/cancel", id_of(&cancelled));
    node.post(&path, &json!({})).await;
    node.script.let_go();
    let text = node.get(path_of(&cancelled["urls"]["stream"])).await;
    let done = ("done".to_owned(), r#"{"reason": "canceled"}"#.to_owned());
    assert_eq!(blocks(text.text()).last(), Some(&done));
}

/// The name and the data of each event; every one must have an id, or the Python client skips it.
fn blocks(text: &str) -> Vec<(String, String)> {
    let blocks = text.split("\n\n").filter(|block| !block.is_empty() && !block.starts_with(':'));
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {block}")).trim_start().to_owned()
    };
    let parse = |block: &str| {
        assert!(!field(block, "id:").is_empty());
        (field(block, "event:"), field(block, "data:"))
    };
    blocks.map(parse).collect()
}

#[tokio::test]
async fn a_full_queue_is_429_in_replicates_words() {
    let node = TestNode::with(Settings { queue_capacity: 1, ..Settings::default() });
    node.script.hold();
    let running = predict(&node, asking("a fish")).await;
    until_started(&node, id_of(&running)).await;
    predict(&node, asking("a bird")).await;
    let answer = node.post(&format!("{MODEL}/predictions"), &asking("a cat")).await;
    let problem = answer.problem(429, "overloaded");
    assert_eq!(problem["detail"], "Request was throttled. Your rate limit resets in ~5s.");
    assert_eq!(answer.header("retry-after"), "5");
}

#[tokio::test]
async fn an_error_is_a_problem_with_a_title_and_a_detail() {
    let node = TestNode::start();
    let problem = node.get("/v1/predictions/7").await.problem(404, "not_found");
    assert_eq!(problem["title"], "Not found");
    assert_eq!(problem["detail"], "there is no such prediction");
    assert_eq!(problem["instance"], "/v1/predictions/7");
}

#[tokio::test]
async fn an_event_stream_of_the_native_protocol_follows_a_prediction_too() {
    let node = TestNode::start();
    let prediction = predict(&node, asking("a fish")).await;
    let events: Events = node.follow(&format!("/v1/jobs/{}", id_of(&prediction)), None).await;
    assert_eq!(events.rest().await.pop().unwrap().name, "completed");
}
