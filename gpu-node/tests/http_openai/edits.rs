//! Pictures from other pictures, which come in a form or in JSON.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use shared::limits::INPUT_IMAGE_MAX_BYTES;

use super::{
    EDITS,
    images::{events_of, text_of},
    picture,
    support::{Answer, Settings, TestNode, png, request},
};

fn data_url(width: u32, height: u32) -> String {
    format!("data:image/png;base64,{}", png(width, height))
}

/// A form as browsers and the official clients write it.
fn form(parts: &[(&str, &[u8])]) -> Request<Body> {
    let mut body = Vec::new();
    for (name, content) in parts {
        body.extend(format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"").bytes());
        if name.starts_with("image") || *name == "mask" {
            body.extend(b"; filename=\"a.png\"\r\nContent-Type: image/png");
        }
        body.extend(b"\r\n\r\n");
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(b"--XX--\r\n");
    let mut request = request("POST", EDITS, Some(&Value::Null));
    let form = "multipart/form-data; boundary=XX".parse().unwrap();
    request.headers_mut().insert(header::CONTENT_TYPE, form);
    *request.body_mut() = Body::from(body);
    request
}

async fn send(node: &TestNode, parts: &[(&str, &[u8])]) -> Answer {
    let words: [(&str, &[u8]); 3] = [("model", b"tiny"), ("prompt", b"a fish"), ("seed", b"7")];
    node.send(form(&[&words, parts].concat())).await
}

fn file(width: u32, height: u32) -> Vec<u8> {
    STANDARD.decode(png(width, height)).unwrap()
}

#[tokio::test]
async fn a_form_brings_pictures_and_every_parameter() {
    let node = TestNode::start();
    let (first, second) = (file(3, 2), file(5, 4));
    let answer = send(&node, &[("image", &first), ("n", b"2"), ("size", b"64x64")]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let body = answer.json();
    assert_eq!(text_of(&body["data"][1]["b64_json"]), "a fish #8 from 3x2");
    assert_eq!(body["size"], "64x64");
    // 64 x 64 pixels are 16 patches: one picture came in, two went out.
    assert_eq!(
        body["usage"]["input_tokens_details"],
        json!({ "image_tokens": 16, "text_tokens": 2 })
    );
    assert_eq!(body["usage"]["total_tokens"], 2 + 16 + 32);

    for name in ["image[]", "image[0]"] {
        let answer =
            send(&node, &[(name, &first), ("strength", b"0.5"), ("image[]", &second)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let picture = text_of(&answer.json()["data"][0]["b64_json"]);
        assert_eq!(picture, "a fish #7 from 3x2 from 5x4");
    }
}

#[tokio::test]
async fn json_brings_pictures_as_data_urls() {
    let node = TestNode::start();
    let images = json!([{ "image_url": data_url(3, 2) }, { "image_url": data_url(5, 4) }]);
    for rest in [json!({ "images": images }), json!({ "image": [data_url(3, 2), png(5, 4)] })] {
        let answer = node.post(EDITS, &picture(rest)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let picture = text_of(&answer.json()["data"][0]["b64_json"]);
        assert_eq!(picture, "a fish #7 from 3x2 from 5x4");
    }
}

#[tokio::test]
async fn a_stream_of_an_edit_has_its_own_events() {
    let node = TestNode::start();
    let picture = file(3, 2);
    let parts: [(&str, &[u8]); 3] =
        [("image", &picture), ("stream", b"true"), ("partial_images", b"1")];
    let events = events_of(send(&node, &parts).await.text());
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["image_edit.partial_image", "image_edit.completed"]);
    assert_eq!(events[1].1["type"], "image_edit.completed");
    assert_eq!(text_of(&events[1].1["b64_json"]), "a fish #7 from 3x2");
}

#[tokio::test]
async fn every_bad_picture_is_named_as_it_came() {
    let node = TestNode::with(Settings { models: &["tiny", "words"], ..Settings::default() });
    let url = data_url(1, 1);
    let one = |picture: &str| json!({ "images": [{ "image_url": picture }] });
    for (rest, param, text) in [
        (json!({}), "image", "is required"),
        (json!({ "image": [] }), "image", "must hold a picture"),
        (json!({ "images": [] }), "images", "must hold a picture"),
        (json!({ "image": url, "images": [] }), "images", "cannot be given with `image`"),
        (json!({ "image": 7 }), "image", "must be a string"),
        (json!({ "images": [{}] }), "images[0].image_url", "is required"),
        (one("https://x/y.png"), "images[0].image_url", "the node fetches nothing by itself"),
        (one("data:image/png;base64,!"), "images[0].image_url", "is no base64"),
        (one("data:image/png,x"), "images[0].image_url", "must be a base64 data URL"),
        (one("PHN2Zy8+"), "images[0].image_url", "must be a PNG, JPEG or WebP file"),
        (json!({ "image": [url, "PHN2Zy8+"] }), "image[1]", "must be a PNG, JPEG or WebP file"),
        (json!({ "image": [url, url, url] }), "image", "starts from at most 2"),
        (json!({ "image": url, "model": "words" }), "image", "starts from words alone"),
        (json!({ "image": url, "strength": 2 }), "strength", "must be between 0 and 1"),
        (json!({ "images": [{ "file_id": "f" }] }), "images[0].file_id", "keeps no files"),
    ] {
        let answer = node.post(EDITS, &picture(rest.clone())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{rest}");
        let error = &answer.json()["error"];
        assert_eq!(error["param"], param, "{rest}: {error}");
        assert!(error["message"].as_str().unwrap().contains(text), "{error}");
    }
    assert_eq!(node.script.runs(), 0);
}

#[tokio::test]
async fn a_bad_form_is_refused_with_the_reason() {
    let node = TestNode::start();
    let picture = file(1, 1);
    let error = send(&node, &[("image", &picture), ("mask", &picture)]).await;
    let error = error.openai_error(400, "unsupported_parameter");
    assert_eq!(error["param"], "mask");
    let error = send(&node, &[("image", &picture), ("n", b"two")]).await;
    assert_eq!(error.openai_error(400, "invalid_type")["param"], "n");
    let error = send(&node, &[("image", b"<svg/>")]).await;
    assert_eq!(error.openai_error(400, "invalid_value")["param"], "image[0]");
    let error = send(&node, &[("prompt", b"again"), ("image", &picture)]).await;
    assert_eq!(error.openai_error(400, "invalid_value")["param"], "prompt");
    let large = vec![0; INPUT_IMAGE_MAX_BYTES + 1];
    let error = send(&node, &[("image", &large)]).await.openai_error(400, "invalid_value");
    assert!(error["message"].as_str().unwrap().contains("must have at most 10485760 bytes"));

    let mut torn = form(&[]);
    *torn.body_mut() = Body::from("--XX\r\nContent-Disposition: form-data");
    let answer = node.send(torn).await;
    assert_eq!(answer.json()["error"]["message"], "the form cannot be read: a part does not end");
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let mut text = form(&[]);
    text.headers_mut().insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
    let error = node.send(text).await.openai_error(415, "unsupported_media_type");
    assert_eq!(error["message"], "the body must be multipart/form-data or application/json");
    let mut nameless = form(&[]);
    let no_boundary = "multipart/form-data".parse().unwrap();
    nameless.headers_mut().insert(header::CONTENT_TYPE, no_boundary);
    assert_eq!(node.send(nameless).await.status, StatusCode::BAD_REQUEST);
    let huge = vec![0; 33 << 20];
    let error = send(&node, &[("image", &huge)]).await.openai_error(413, "request_too_large");
    assert_eq!(error["message"], "the body must have at most 33554432 bytes");
}
