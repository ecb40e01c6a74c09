//! The picture to start from: fetched from the public internet alone, kept in storage, and given to each run.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use edge::ports::web::{FetchFailure, Fetched};
use serde_json::{Value, json};
use shared::limits::INPUT_IMAGE_MAX_BYTES;

use super::{ID, app_with, get, order, post, run};
use crate::support::{
    answer::Answer,
    app::{TestApp, config},
    faults::Part,
    nodes::Behaviour,
    web::png,
    world::World,
};

const URL: &str = "https://files.example/cat.png";

fn order_from(url: &str) -> Value {
    let mut body = order();
    body["input_image_url"] = json!(url);
    body
}

/// What ordering from this address says is wrong with it.
fn code(app: &TestApp, url: &str) -> String {
    let token = app.sign_in(200);
    let errors = post(app, &token, &order_from(url)).field_errors();
    assert_eq!(errors.len(), 1, "{url}");
    assert_eq!(errors[0].0, "/input_image_url", "{url}");
    assert!(app.world.database.tables().jobs.is_empty(), "{url}");
    errors[0].1.clone()
}

fn failed(answer: &Answer) -> String {
    answer.json(200)["error_message"].as_str().unwrap().to_owned()
}

#[test]
fn the_pictures_very_bytes_reach_the_node_and_neither_row_nor_queue_carries_them() {
    let app = app_with(Behaviour::default());
    let alice = app.sign_in(200);
    app.world.web.serve(URL, png());
    post(&app, &alice, &order_from(URL)).json(202);
    {
        let tables = app.world.database.tables();
        let (path, bytes) = tables.bytes.first_key_value().unwrap();
        let job = tables.jobs.values().next().unwrap();
        assert_eq!(path, &format!("inputs/{}/{}/0.png", job.job.user_id, job.job.id));
        assert_eq!(*bytes, png());
        assert_eq!(job.job.input["input_format"], "PNG");
    }
    run(&app);
    let node_order = &app.world.nodes.orders("node-1")[0];
    assert_eq!(node_order.image.images, [BASE64.encode(png())]);
    assert_eq!(node_order.image.strength, None, "the node's own");
    assert_eq!(get(&app, &alice, ID).json(200)["status"], "completed");
}

#[test]
fn a_run_that_is_repeated_starts_from_the_same_picture_though_the_address_has_another() {
    let restarting = Behaviour { is_down: 2_000..9_000, ..Behaviour::default() };
    let app = app_with(restarting);
    let alice = app.sign_in(200);
    app.world.web.serve(URL, png());
    post(&app, &alice, &order_from(URL)).json(202);
    app.world.web.serve(URL, b"RIFF0000WEBPother".to_vec());
    run(&app);
    let orders = app.world.nodes.orders("node-1");
    assert_eq!((orders.len(), &orders[0]), (2, &orders[1]));
    assert_eq!(app.world.web.asked(), [URL]);
}

#[test]
fn a_model_that_starts_from_none_fails_the_job_and_says_so() {
    let app = app_with(Behaviour { takes_no_input: true, ..Behaviour::default() });
    let alice = app.sign_in(200);
    app.world.web.serve(URL, png());
    post(&app, &alice, &order_from(URL)).json(202);
    run(&app);
    let answer = get(&app, &alice, ID);
    assert_eq!(failed(&answer), "Erreur lors de la génération: takes no picture to start from");
    assert!(app.world.database.tables().charges.is_empty());
}

#[test]
fn addresses_inside_are_never_asked() {
    let app = app_with(Behaviour::default());
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:169.254.169.254]",
        "169.254.169.254",
        "100.64.0.1",
        "localhost",
        "metadata.google.internal",
        "db.local",
        "user:secret@files.example",
    ] {
        assert_eq!(code(&app, &format!("https://{host}/x.png")), "address", "{host}");
    }
    assert_eq!(code(&app, "http://files.example/x.png"), "address", "not without TLS");
    assert_eq!(code(&app, "file:///etc/passwd"), "address");
    assert_eq!(app.world.web.asked(), Vec::<String>::new());
}

#[test]
fn a_name_that_resolves_to_an_address_inside_is_not_asked() {
    let app = app_with(Behaviour::default());
    app.world.web.serve(URL, png());
    for ip in ["10.0.0.7", "::1", "::ffff:127.0.0.1", "169.254.169.254"] {
        app.world.web.name("files.example", &[ip]);
        assert_eq!(code(&app, URL), "address", "{ip}");
        app.world.web.name("files.example", &["8.8.8.8", ip]);
        assert_eq!(code(&app, URL), "address", "{ip} beside a public one");
    }
    app.world.web.name("files.example", &[]);
    assert_eq!(code(&app, URL), "unreachable");
    let alice = app.sign_in(200);
    app.world.web.set_resolver_away(true);
    post(&app, &alice, &order_from(URL)).problem(503);
    app.world.web.set_resolver_away(false);
    assert!(app.world.web.asked().is_empty());
    app.world.web.name("files.example", &["8.8.8.8", "2606:4700::1111"]);
    post(&app, &alice, &order_from(URL)).json(202);
}

#[test]
fn redirects_are_followed_three_times_and_checked_each_time() {
    let app = app_with(Behaviour::default());
    let web = &app.world.web;
    for (from, to) in [("1", "2"), ("2", "3"), ("3", "4")] {
        web.redirect(&format!("https://files.example/{from}"), to);
    }
    web.redirect("https://files.example/0", "https://files.example/1");
    web.serve("https://files.example/4", png());
    assert_eq!(code(&app, "https://files.example/0"), "redirects");
    for inside in
        ["https://127.0.0.1/x", "http://files.example/4", "//localhost/x", "ftp://x.example/"]
    {
        web.redirect("https://cdn.example/x", inside);
        assert_eq!(code(&app, "https://cdn.example/x"), "address", "{inside}");
    }
    assert!(web.asked().iter().all(|url| url.starts_with("https://") && !url.contains("127")));
    let alice = app.sign_in(200);
    post(&app, &alice, &order_from("https://files.example/1")).json(202);
}

#[test]
fn what_is_too_large_too_slow_absent_or_no_picture_is_refused() {
    let app = app_with(Behaviour::default());
    let web = &app.world.web;
    web.serve(URL, vec![0x89; INPUT_IMAGE_MAX_BYTES + 1]);
    assert_eq!(code(&app, URL), "too_large");
    web.serve(URL, b"<svg onload=alert(1)>".to_vec());
    assert_eq!(code(&app, URL), "content");
    web.serve(URL, Vec::new());
    assert_eq!(code(&app, URL), "content");
    web.answer(URL, 10_000, Ok(Fetched { status: 200, location: None, bytes: png() }));
    assert_eq!(code(&app, URL), "unreachable");
    for status in [204, 206, 301, 403, 404, 500] {
        web.answer(URL, 0, Ok(Fetched { status, location: None, bytes: Vec::new() }));
        assert_eq!(code(&app, URL), "unreachable", "{status}");
    }
    web.answer(URL, 0, Err(FetchFailure::Unreachable));
    assert_eq!(code(&app, URL), "unreachable");
}

#[test]
fn jpeg_and_webp_are_known_by_their_bytes() {
    for (bytes, extension) in [(&b"\xff\xd8\xff\xe0"[..], "jpg"), (b"RIFF\0\0\0\0WEBPVP8 ", "webp")]
    {
        let app = app_with(Behaviour::default());
        let alice = app.sign_in(200);
        app.world.web.serve(URL, bytes.to_vec());
        post(&app, &alice, &order_from(URL)).json(202);
        let tables = app.world.database.tables();
        let path = tables.bytes.keys().next().unwrap();
        assert!(path.ends_with(&format!("/0.{extension}")), "{path}");
    }
}

#[test]
fn a_developers_own_origin_is_asked_and_what_it_redirects_to_is_checked_all_the_same() {
    let mut config = config();
    config.input_image_origins = vec!["http://127.0.0.1:9000".to_owned()];
    let app = TestApp::on(World::with_nodes([Behaviour::default()]), config);
    let web = &app.world.web;
    web.redirect("http://127.0.0.1:9000/away", "http://127.0.0.1:9001/x");
    assert_eq!(code(&app, "http://127.0.0.1:9000/away"), "address");
    assert_eq!(code(&app, "http://127.0.0.1:9001/x"), "address");
    web.serve("http://127.0.0.1:9000/x", png());
    let alice = app.sign_in(200);
    post(&app, &alice, &order_from("http://127.0.0.1:9000/x")).json(202);
}

#[test]
fn while_storage_is_away_an_order_is_refused_and_a_run_waits() {
    let app = app_with(Behaviour::default());
    let alice = app.sign_in(200);
    app.world.web.serve(URL, png());
    app.world.faults.fail_calls("files.put", 1);
    post(&app, &alice, &order_from(URL)).problem(503);
    assert!(app.world.database.tables().jobs.is_empty());

    post(&app, &alice, &order_from(URL)).json(202);
    app.world.faults.fail_calls("files.get", 7);
    app.world.deliver();
    assert_eq!(app.world.queues.waiting_generation().len(), 1, "to be run again");
    app.world.faults.fail_calls("files.sign", 3);
    run(&app);
    assert_eq!(get(&app, &alice, ID).json(200)["status"], "completed");
    assert!(app.world.faults.calls().iter().any(|(part, _)| *part == Part::Database));
}

#[test]
fn a_picture_that_is_gone_fails_the_job() {
    let app = app_with(Behaviour::default());
    let alice = app.sign_in(200);
    app.world.web.serve(URL, png());
    post(&app, &alice, &order_from(URL)).json(202);
    app.world.database.tables().bytes.clear();
    run(&app);
    assert!(failed(&get(&app, &alice, ID)).contains("is gone"));
}
