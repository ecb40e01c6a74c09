//! The native job protocol, from an order to a fetched picture, with a fake engine.

mod support;

use axum::http::StatusCode;
use serde_json::json;
use support::{TestNode, job_id, job_path, order, png, request};

/// Steps of a job that leaves them open.
const STEPS: usize = 3;

#[tokio::test]
async fn a_job_runs_from_its_order_to_a_picture() {
    let node = TestNode::start();
    let answer = node.create_job(&order(1, "a fish")).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    assert_eq!(answer.json()["id"], job_id(1));

    let events = node.follow(&job_path(1), None).await.rest().await;
    let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["queued", "started", "progress", "progress", "progress", "completed"]);
    let numbers: Vec<u64> = events.iter().map(|event| event.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    assert_eq!(events[2].data, json!({ "event": "progress", "step": 1, "steps": 3 }));
    let completed = &events[5].data;
    assert_eq!(completed["model"], "tiny");
    assert_eq!(completed["model_revision"], "r1");
    let artifact = &completed["artifacts"][0];
    assert_eq!(artifact["content_type"], "image/png");
    assert_eq!((&artifact["width"], &artifact["seed"]), (&json!(128), &json!(7)));

    let picture = node.get(&format!("{}/artifacts/0", job_path(1))).await;
    assert_eq!(picture.text(), "a fish #7");
    assert_eq!(picture.header("content-type"), "image/png");
    assert_eq!(picture.header("content-length"), "9");
    let etag = format!("\"{}\"", artifact["sha256"].as_str().unwrap());
    assert_eq!(picture.header("etag"), etag);
    assert_eq!(node.status_of(&job_path(1)).await, "completed");
}

#[tokio::test]
async fn every_picture_of_a_job_is_an_artifact_with_its_own_seed() {
    let node = TestNode::start();
    let mut order = order(1, "a fish");
    order["image"]["num_images"] = json!(2);
    order["image"]["format"] = json!("webp");
    node.create_job(&order).await;
    let end = node.end_of(&job_path(1)).await;
    let seeds = [&end["artifacts"][0]["seed"], &end["artifacts"][1]["seed"]];
    assert_eq!(seeds, [&json!(7), &json!(8)]);
    let second = node.get(&format!("{}/artifacts/1", job_path(1))).await;
    assert_eq!((second.text(), second.header("content-type")), ("a fish #8", "image/webp"));
    let third = node.get(&format!("{}/artifacts/2", job_path(1))).await;
    third.problem(404, "not_found");
}

#[tokio::test]
async fn a_seed_is_chosen_and_told_when_the_order_has_none() {
    let node = TestNode::start();
    let order = json!({ "id": job_id(1), "model": "tiny", "image": { "prompt": "a fish" } });
    node.create_job(&order).await;
    let end = node.end_of(&job_path(1)).await;
    let seed = end["artifacts"][0]["seed"].as_u64().unwrap();
    assert!(seed < 1 << 53, "{seed}");
    let again = node.create_job(&order).await;
    assert_eq!(again.status, StatusCode::OK, "no seed twice is the same order");
}

#[tokio::test]
async fn a_picture_the_caller_has_is_not_sent_again() {
    let node = TestNode::start();
    let job = node.order(1, "a fish").await;
    let end = node.end_of(&job).await;
    let path = format!("{job}/artifacts/0");
    let mut request = request("GET", &path, None);
    let etag = format!("\"{}\"", end["artifacts"][0]["sha256"].as_str().unwrap());
    request.headers_mut().insert("if-none-match", etag.parse().unwrap());
    let answer = node.send(request).await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::NOT_MODIFIED, 0));
}

#[tokio::test]
async fn the_same_order_again_attaches_to_its_run() {
    let node = TestNode::start();
    node.script.hold();
    node.run(1, "a fish").await;
    let again = node.create_job(&order(1, "a fish")).await;
    assert_eq!((again.status, &again.json()["status"]), (StatusCode::OK, &json!("running")));
    node.script.let_go();
    node.end_of(&job_path(1)).await;
    let again = node.create_job(&order(1, "a fish")).await;
    assert_eq!((again.status, &again.json()["status"]), (StatusCode::OK, &json!("completed")));
    assert_eq!(node.script.runs(), 1);
}

#[tokio::test]
async fn another_body_under_the_same_id_is_a_conflict() {
    let node = TestNode::start();
    node.order(1, "a fish").await;
    node.create_job(&order(1, "a bird")).await.problem(409, "conflict");
}

#[tokio::test]
async fn a_job_starts_from_its_pictures_and_is_told_by_them() {
    let node = TestNode::start();
    let with_picture = |picture: String| {
        let mut order = order(1, "a fish");
        order["image"]["images"] = json!([picture]);
        order
    };
    let answer = node.create_job(&with_picture(png(3, 2))).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    node.end_of(&job_path(1)).await;
    let picture = node.get(&format!("{}/artifacts/0", job_path(1))).await;
    assert_eq!(picture.text(), "a fish #7 from 3x2");
    assert_eq!(node.create_job(&with_picture(png(3, 2))).await.status, StatusCode::OK);
    node.create_job(&with_picture(png(3, 3))).await.problem(409, "conflict");
    assert_eq!(node.script.runs(), 1);
    let problem = node.create_job(&with_picture("fish".to_owned())).await;
    let problem = problem.problem(422, "invalid_request");
    assert_eq!(problem["errors"][0]["pointer"], "/image/images/0");
}

#[tokio::test]
async fn previews_are_told_between_the_steps() {
    let node = TestNode::start();
    let mut order = order(1, "a fish");
    order["image"]["previews"] = json!(2);
    node.create_job(&order).await;
    let events = node.follow(&job_path(1), None).await.rest().await;
    let names: Vec<&str> = events[2..].iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["progress", "preview", "progress", "preview", "progress", "completed"]);
    // "0 after 1" in base64.
    let preview = json!({ "event": "preview", "index": 0, "step": 1, "jpeg": "MCBhZnRlciAx" });
    assert_eq!(events[3].data, preview);
}

#[tokio::test]
async fn a_job_that_may_be_retried_runs_again_under_its_id() {
    let node = TestNode::start();
    for prompt in ["fail", "panic"] {
        node.order(1, prompt).await;
        let end = node.follow(&job_path(1), None).await.rest().await.pop().unwrap();
        assert_eq!(end.data["is_retryable"], true, "{prompt}");
        let again = node.create_job(&order(1, prompt)).await;
        assert_eq!(again.status, StatusCode::CREATED, "{prompt}");
        let resumed = node.follow(&job_path(1), Some(end.number)).await.rest().await;
        assert_eq!(resumed[0].number, end.number + 1, "numbers go on, so that nothing is missed");
        node.delete(&job_path(1)).await;
    }
    assert_eq!(node.script.runs(), 4);
}

#[tokio::test]
async fn a_job_that_failed_for_good_stays_failed() {
    let node = TestNode::start();
    for (number, prompt, code, detail) in [
        (1, "ask too much", "invalid_input", "too many fish"),
        (2, "run out of memory", "out_of_memory", "out of memory: 1 GB more"),
    ] {
        node.order(number, prompt).await;
        let end = node.end_of(&job_path(number)).await;
        let expected = json!({
            "event": "failed", "code": code, "detail": detail, "is_retryable": false
        });
        assert_eq!(end, expected);
        let again = node.create_job(&order(number, prompt)).await;
        assert_eq!((again.status, &again.json()["status"]), (StatusCode::OK, &json!("failed")));
        assert_eq!(node.script.runs(), usize::from(number));
    }
}

#[tokio::test]
async fn a_waiting_job_tells_its_place_and_moves_up() {
    let node = TestNode::start();
    let first = node.order(1, "a fish").await;
    node.end_of(&first).await;
    node.script.hold();
    node.run(2, "a fish").await;
    node.order(3, "a fish").await;
    let answer = node.create_job(&order(4, "a fish")).await.json();
    assert_eq!((&answer["status"], &answer["queue_position"]), (&json!("queued"), &json!(2)));
    assert!(answer["estimated_ms"].is_u64(), "the first run is the lane's history: {answer}");

    let mut events = node.follow(&job_path(4), None).await;
    assert_eq!(events.next().await.unwrap().data["position"], 2);
    node.delete(&job_path(3)).await;
    assert_eq!(events.next().await.unwrap().data["position"], 1);
    node.script.let_go();
    assert_eq!(events.next().await.unwrap().data["position"], 0);
    assert_eq!(events.rest().await.pop().unwrap().name, "completed");
}

#[tokio::test]
async fn a_follower_who_comes_back_gets_what_it_missed() {
    let node = TestNode::start();
    node.script.hold();
    let job = node.run(1, "a fish").await;
    node.script.allow_steps(1);
    let seen = node.follow(&job, None).await.until("progress").await;
    node.script.let_go();
    let missed = node.follow(&job, Some(seen.number)).await.rest().await;
    let names: Vec<&str> = missed.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["progress", "progress", "completed"]);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_is_kept_alive() {
    let node = TestNode::start();
    node.script.hold();
    let job = node.run(1, "a fish").await;
    let mut events = node.follow(&job, Some(2)).await;
    let began = tokio::time::Instant::now();
    assert_eq!(events.block().await.unwrap(), ": keep-alive");
    assert_eq!(began.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn hanging_up_does_not_cancel_a_job() {
    let node = TestNode::start();
    node.script.hold();
    let job = node.run(1, "a fish").await;
    drop(node.follow(&job, None).await);
    node.script.let_go();
    assert_eq!(node.end_of(&job).await["event"], "completed");
}

#[tokio::test]
async fn a_full_queue_answers_429_and_when_to_come_back() {
    let node = TestNode::with(support::Settings { queue_capacity: 1, ..Default::default() });
    node.script.hold();
    node.run(1, "a fish").await;
    node.order(2, "a fish").await;
    let refused = node.create_job(&order(3, "a fish")).await;
    refused.problem(429, "overloaded");
    assert_eq!(refused.header("retry-after"), "5", "no history yet");
    node.get(&job_path(3)).await.problem(404, "not_found");
    let attached = node.create_job(&order(2, "a fish")).await;
    assert_eq!(
        attached.status,
        StatusCode::OK,
        "a full queue does not keep callers from their job"
    );
}

#[tokio::test]
async fn cancelling_a_waiting_job_frees_its_place_at_once() {
    let node = TestNode::with(support::Settings { queue_capacity: 1, ..Default::default() });
    node.script.hold();
    node.run(1, "a fish").await;
    let second = node.order(2, "a fish").await;
    node.create_job(&order(3, "a fish")).await.problem(429, "overloaded");
    assert_eq!(node.delete(&second).await.status, StatusCode::NO_CONTENT);
    assert_eq!(node.end_of(&second).await, json!({ "event": "cancelled" }));
    let third = node.order(3, "a fish").await;
    node.script.let_go();
    assert_eq!(node.end_of(&third).await["event"], "completed");
    assert_eq!(node.script.runs(), 2);
}

#[tokio::test]
async fn cancelling_a_running_job_stops_it_at_its_next_step() {
    let node = TestNode::start();
    node.script.hold();
    let job = node.run(1, "a fish").await;
    assert_eq!(node.delete(&job).await.status, StatusCode::NO_CONTENT);
    node.script.allow_steps(1);
    let events = node.follow(&job, None).await.rest().await;
    let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["queued", "started", "cancelled"]);
    let again = node.create_job(&order(1, "a fish")).await;
    assert_eq!(again.json()["status"], "cancelled", "nobody wants it any more, so it stays so");
    node.get(&format!("{job}/artifacts/0")).await.problem(404, "not_found");
}

#[tokio::test]
async fn deleting_an_ended_job_forgets_it_with_its_results() {
    let node = TestNode::start();
    let job = node.order(1, "a fish").await;
    node.end_of(&job).await;
    assert_eq!(node.delete(&job).await.status, StatusCode::NO_CONTENT);
    for path in [job.clone(), format!("{job}/events"), format!("{job}/artifacts/0")] {
        node.get(&path).await.problem(404, "not_found");
    }
    node.delete(&job).await.problem(404, "not_found");
}

#[tokio::test]
async fn results_are_forgotten_after_their_time() {
    let node = TestNode::start();
    let job = node.order(1, "a fish").await;
    node.end_of(&job).await;
    node.clock.advance(std::time::Duration::from_secs(601));
    node.get(&format!("{job}/artifacts/0")).await.problem(404, "not_found");
    node.get(&job).await.problem(404, "not_found");
}

#[tokio::test]
async fn results_that_are_too_many_push_out_the_oldest_but_nothing_that_runs() {
    let mut settings = support::Settings::default();
    settings.retention.max_bytes = 20;
    let node = TestNode::with(settings);
    for number in 1..=3 {
        let job = node.order(number, "a fish").await;
        node.end_of(&job).await;
        node.clock.advance(std::time::Duration::from_secs(1));
    }
    node.script.hold();
    let running = node.run(4, "a fish").await;
    node.get(&job_path(1)).await.problem(404, "not_found");
    let artifact = node.get(&format!("{}/artifacts/0", job_path(3))).await;
    assert_eq!(artifact.text(), "a fish #7");
    assert_eq!(node.status_of(&running).await, "running");
}

#[tokio::test]
async fn jobs_that_wait_and_fit_together_run_in_one_pass() {
    let node = TestNode::start();
    node.script.hold();
    node.script.let_join();
    node.run(1, "a fish").await;
    let mut waiting = Vec::new();
    for (number, prompt) in [(2, "a house"), (3, "a tree"), (4, "a boat")] {
        waiting.push((node.order(number, prompt).await, prompt));
    }
    node.script.let_go();
    for (job, prompt) in &waiting {
        assert_eq!(node.end_of(job).await["event"], "completed");
        let artifact = node.get(&format!("{job}/artifacts/0")).await;
        assert_eq!(artifact.text(), format!("{prompt} #7"));
    }
    assert_eq!(node.script.runs(), 2, "one alone, three together");
}

#[tokio::test]
async fn a_job_that_is_cancelled_in_a_joint_pass_takes_nobody_with_it() {
    let node = TestNode::start();
    node.script.hold();
    node.script.let_join();
    node.run(1, "a fish").await;
    let (second, third) = (node.order(2, "a house").await, node.order(3, "a tree").await);
    node.script.allow_steps(STEPS);
    node.follow(&second, None).await.until("started").await;
    assert_eq!(node.delete(&second).await.status, StatusCode::NO_CONTENT);
    node.script.allow_steps(1);
    assert_eq!(node.end_of(&second).await, json!({ "event": "cancelled" }));
    assert_eq!(node.status_of(&third).await, "running", "nobody waits for the pass to end");
    node.script.let_go();
    assert_eq!(node.end_of(&third).await["event"], "completed");
    assert_eq!(node.script.runs(), 2);
}

#[tokio::test]
async fn what_a_pass_has_finished_before_its_engine_breaks_is_kept() {
    let node = TestNode::start();
    node.script.hold();
    node.script.let_join();
    node.run(1, "a fish").await;
    let second = node.order(2, "a house").await;
    let (third, fourth) = (node.order(3, "panic").await, node.order(4, "a tree").await);
    node.script.let_go();
    assert_eq!(node.end_of(&second).await["event"], "completed");
    for job in [third, fourth] {
        let end = node.end_of(&job).await;
        assert_eq!((&end["event"], &end["code"]), (&json!("failed"), &json!("engine_panicked")));
    }
    let next = node.order(5, "a boat").await;
    assert_eq!(node.end_of(&next).await["event"], "completed");
}
