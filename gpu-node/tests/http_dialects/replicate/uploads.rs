//! Files that are uploaded first and ordered with later.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use shared::limits::INPUT_IMAGE_MAX_BYTES;

use super::{id_of, path_of, wait};
use crate::{
    names,
    support::{TestNode, png, request},
};

const FILES: &str = "/v1/files";

/// What stands between a part's `form-data` and its content, and the content.
type Part<'a> = (&'a str, &'a [u8]);

fn form(parts: &[Part<'_>]) -> Request<Body> {
    let mut body = Vec::new();
    for (head, content) in parts {
        body.extend(format!("--XX\r\nContent-Disposition: form-data; {head}\r\n\r\n").bytes());
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(b"--XX--\r\n");
    let mut request = request("POST", FILES, Some(&Value::Null));
    let form = "multipart/form-data; boundary=XX".parse().unwrap();
    request.headers_mut().insert(header::CONTENT_TYPE, form);
    *request.body_mut() = Body::from(body);
    request
}

fn picture() -> Vec<u8> {
    STANDARD.decode(png(3, 2)).unwrap()
}

/// As the Python client sends it.
async fn upload(node: &TestNode, content: &[u8]) -> Value {
    let head = "name=\"content\"; filename=\"a fish.png\"\r\nContent-Type: image/png";
    let answer = node.send(form(&[(head, content)])).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn an_upload_is_201_and_has_every_member_that_the_clients_read() {
    let node = TestNode::start();
    let file = upload(&node, &picture()).await;
    let members = [
        "checksums",
        "content_type",
        "created_at",
        "etag",
        "expires_at",
        "id",
        "metadata",
        "name",
        "size",
        "urls",
    ];
    assert_eq!(names(&file), members, "the Python client wants `etag`, too");
    assert_eq!((&file["name"], &file["content_type"]), (&json!("a fish.png"), &json!("image/png")));
    assert_eq!((&file["size"], &file["metadata"]), (&json!(picture().len()), &json!({})));
    assert_eq!(file["checksums"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(file["urls"]["get"], format!("http://localhost{FILES}/{}", id_of(&file)));
    assert_eq!(node.get(path_of(&file["urls"]["get"])).await.json(), file);
}

#[tokio::test]
async fn notes_and_a_name_of_their_own_come_back_with_the_file() {
    let node = TestNode::start();
    // As the JavaScript client sends a buffer and its notes.
    let parts: [Part<'_>; 3] = [
        ("name=\"content\"; filename=\"buffer_1\"\r\nContent-Type: application/octet-stream", b"x"),
        ("name=\"metadata\"; filename=\"blob\"\r\nContent-Type: application/json", b"{\"a\":[1]}"),
        ("name=\"filename\"", "poisson été.png".as_bytes()),
    ];
    let file = node.send(form(&parts)).await.json();
    assert_eq!((&file["name"], &file["metadata"]), (&json!("poisson été.png"), &json!({"a": [1]})));
    assert_eq!(file["content_type"], "application/octet-stream");
}

#[tokio::test]
async fn an_uploaded_picture_is_ordered_with_by_its_address() {
    let node = TestNode::start();
    let file = upload(&node, &picture()).await;
    let url = &file["urls"]["get"];
    let input = json!({ "prompt": "a fish", "seed": 7, "image": url, "prompt_strength": 0.5 });
    let done = wait(&node, json!({ "input": input })).await;
    assert_eq!(done["status"], "succeeded", "{done}");
    assert_eq!(done["input"]["image"], *url);
    let made = node.get(path_of(&done["output"][0])).await;
    assert_eq!(made.text(), "a fish #7 from 3x2");
    // The same address serves an order in RunPod's words.
    let sync = node.post("/v2/tiny/runsync", &json!({ "input": input })).await.json();
    let image = sync["output"]["images"][0].as_str().unwrap();
    assert!(image.ends_with(&STANDARD.encode("a fish #7 from 3x2")), "{sync}");
}

#[tokio::test]
async fn a_file_that_is_no_picture_is_found_out_when_it_is_ordered_with() {
    let node = TestNode::start();
    let file = upload(&node, b"<svg/>").await;
    let body = json!({ "input": { "prompt": "x", "image": file["urls"]["get"] } });
    let answer = node.post("/v1/models/chandelle/tiny/predictions", &body).await;
    let problem = answer.problem(422, "invalid_request");
    assert_eq!(problem["detail"], "input.image must be a PNG, JPEG or WebP file");
}

#[tokio::test]
async fn a_result_of_this_node_is_ordered_with_by_its_address() {
    let node = TestNode::start();
    let done = wait(&node, json!({ "input": { "prompt": "a fish", "seed": 7 } })).await;
    let url = done["output"][0].as_str().unwrap();
    let order = |url: &str| json!({ "input": { "prompt": "x", "image": url } });
    let path = "/v1/models/chandelle/tiny/predictions";
    // The fake engine's results are texts, which shows that they were read.
    let read = node.post(path, &order(url)).await.problem(422, "invalid_request");
    assert_eq!(read["detail"], "input.image must be a PNG, JPEG or WebP file");
    let key = url.split('/').nth(6).unwrap();
    let guessed = order(&url.replace(key, &"0".repeat(32)));
    let refused = node.post(path, &guessed).await.problem(422, "invalid_request");
    assert!(refused["detail"].as_str().unwrap().contains("it fetches nothing"), "{refused}");
}

#[tokio::test]
async fn uploads_are_listed_and_deleted() {
    let node = TestNode::start();
    let first = upload(&node, b"1").await;
    let second = upload(&node, b"2").await;
    let page = node.get(FILES).await.json();
    assert_eq!(page, json!({ "next": null, "previous": null, "results": [second, first] }));
    let path = format!("{FILES}/{}", id_of(&first));
    assert_eq!(node.delete(&path).await.status, StatusCode::NO_CONTENT);
    node.delete(&path).await.problem(404, "not_found");
    node.get(&path).await.problem(404, "not_found");
    let body = json!({ "input": { "prompt": "x", "image": first["urls"]["get"] } });
    let answer = node.post("/v1/models/chandelle/tiny/predictions", &body).await;
    let problem = answer.problem(422, "invalid_request");
    assert_eq!(
        problem["detail"],
        "input.image must be a data URL or a file that this node holds: it fetches nothing for its callers"
    );
}

#[tokio::test]
async fn an_upload_goes_when_its_time_is_over() {
    let node = TestNode::start();
    let file = upload(&node, b"1").await;
    let path = path_of(&file["urls"]["get"]);
    node.clock.advance(Duration::from_secs(600));
    assert_eq!(node.get(path).await.status, 200);
    node.clock.advance(Duration::from_secs(1));
    node.get(path).await.problem(404, "not_found");
}

#[tokio::test]
async fn what_is_wrong_with_an_upload_is_named() {
    let node = TestNode::start();
    let file: Part<'_> = ("name=\"content\"; filename=\"a\"", b"1");
    for (parts, detail) in [
        (&[] as &[Part<'_>], "content is required"),
        (&[("name=\"content\"; filename=\"a\"", b"")], "content must not be empty"),
        (&[file, file], "content is given twice"),
        (
            &[file, ("name=\"metadata\"", b"[1]")],
            "metadata must be a JSON object of at most 16 KiB",
        ),
        (&[file, ("name=\"filename\"", b"")], "filename must be a short text"),
        (&[file, ("name=\"hue\"", b"3")], "hue is not a known field"),
    ] {
        let problem = node.send(form(parts)).await.problem(422, "invalid_request");
        assert_eq!(problem["detail"], detail);
    }
    node.post(FILES, &json!({})).await.problem(415, "unsupported_media_type");
    assert_eq!(node.get(FILES).await.json()["results"], json!([]));
}

#[tokio::test]
async fn an_upload_has_a_limit() {
    let node = TestNode::start();
    let largest = vec![0; INPUT_IMAGE_MAX_BYTES];
    assert_eq!(upload(&node, &largest).await["size"], INPUT_IMAGE_MAX_BYTES);
    for bytes in [INPUT_IMAGE_MAX_BYTES + 1, INPUT_IMAGE_MAX_BYTES * 2] {
        let parts: [Part<'_>; 1] = [("name=\"content\"; filename=\"a\"", &vec![0; bytes])];
        node.send(form(&parts)).await.problem(413, "payload_too_large");
    }
}

#[tokio::test]
async fn uploads_need_a_token() {
    let node = TestNode::start();
    let file = upload(&node, b"1").await;
    for (method, path) in [("GET", FILES), ("GET", path_of(&file["urls"]["get"])), ("POST", FILES)]
    {
        let mut bare = request(method, path, None);
        bare.headers_mut().remove(header::AUTHORIZATION);
        node.send(bare).await.problem(401, "unauthenticated");
    }
}
