//! The table of parameters: what it says is what happens, and the page in `docs/` says the same.

use std::path::Path;

use axum::http::StatusCode;
use gpu_node::http::openai::parameters::{
    CHAT, COMPLETIONS, EMBEDDINGS, IMAGE_EDITS, IMAGES, Parameter, Treatment, document,
};
use serde_json::{Value, json};

use super::{
    chat, completion, picture,
    support::{TestNode, png},
};

/// The fields of the official Python client's request types, 3.52.0.
const OFFICIAL_CHAT: &[&str] = &[
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "moderation",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
];
const OFFICIAL_COMPLETIONS: &[&str] = &[
    "best_of",
    "echo",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_tokens",
    "model",
    "n",
    "presence_penalty",
    "prompt",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "suffix",
    "temperature",
    "top_p",
    "user",
];
const OFFICIAL_EMBEDDINGS: &[&str] = &["dimensions", "encoding_format", "input", "model", "user"];
const OFFICIAL_IMAGES: &[&str] = &[
    "background",
    "complexity",
    "frame_count",
    "frame_duration_ms",
    "model",
    "moderation",
    "n",
    "output_compression",
    "output_format",
    "partial_images",
    "prompt",
    "quality",
    "response_format",
    "safety_identifier",
    "size",
    "stream",
    "style",
    "svg",
    "user",
];
/// With `images` and `moderation`, which only the JSON body of the API has.
const OFFICIAL_IMAGE_EDITS: &[&str] = &[
    "background",
    "complexity",
    "frame_count",
    "frame_duration_ms",
    "image",
    "images",
    "input_fidelity",
    "markup",
    "mask",
    "model",
    "moderation",
    "n",
    "output_compression",
    "output_format",
    "partial_images",
    "prompt",
    "quality",
    "response_format",
    "safety_identifier",
    "size",
    "stream",
    "svg",
    "user",
];
const TABLES: &[(&[Parameter], &[&str])] = &[
    (CHAT, OFFICIAL_CHAT),
    (COMPLETIONS, OFFICIAL_COMPLETIONS),
    (EMBEDDINGS, OFFICIAL_EMBEDDINGS),
    (IMAGES, OFFICIAL_IMAGES),
    (IMAGE_EDITS, OFFICIAL_IMAGE_EDITS),
];

fn top_level(table: &'static [Parameter]) -> impl Iterator<Item = &'static Parameter> {
    table.iter().filter(|parameter| !parameter.name.contains(['.', '[']))
}

#[test]
fn every_field_of_the_official_client_has_a_row() {
    for (table, official) in TABLES {
        let missing: Vec<&&str> =
            official.iter().filter(|name| !table.iter().any(|row| row.name == **name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        let mut names: Vec<&str> = table.iter().map(|row| row.name).collect();
        assert!(names.is_sorted());
        names.dedup();
        assert_eq!(names.len(), table.len(), "a name has two rows");
    }
}

#[test]
fn what_is_not_openais_is_marked_as_an_extra() {
    for (table, official) in TABLES {
        for row in top_level(table) {
            let is_extra =
                matches!(row.treatment, Treatment::Honoured(text) if text.starts_with("extra: "));
            assert_eq!(is_extra, !official.contains(&row.name), "{}", row.name);
        }
    }
}

#[tokio::test]
async fn every_refused_parameter_is_refused_with_its_reason_and_null_is_absent() {
    let node = TestNode::with_texts();
    let routes = [
        (super::CHAT, CHAT, chat("say x", json!({}))),
        (super::COMPLETIONS, COMPLETIONS, completion("say x", json!({}))),
        (super::IMAGES, IMAGES, picture(json!({}))),
        (super::EDITS, IMAGE_EDITS, picture(json!({ "image": png(2, 2) }))),
    ];
    for (path, table, bare) in routes {
        for row in top_level(table) {
            let mut body = bare.clone();
            let Treatment::Refused(reason) = row.treatment else { continue };
            body[row.name] = json!({});
            let error = node.post(path, &body).await.openai_error(400, "unsupported_parameter");
            assert_eq!(error["param"], row.name);
            assert!(error["message"].as_str().unwrap().contains(reason), "{error}");
            body[row.name] = Value::Null;
            assert_eq!(node.post(path, &body).await.status, StatusCode::OK, "{}", row.name);
        }
    }
}

#[tokio::test]
async fn every_parameter_without_effect_is_accepted_and_named() {
    let node = TestNode::with_texts();
    let routes = [
        (super::CHAT, CHAT, chat("say x", json!({}))),
        (super::IMAGES, IMAGES, picture(json!({}))),
        (super::EDITS, IMAGE_EDITS, picture(json!({ "image": png(2, 2) }))),
    ];
    for (path, table, bare) in routes {
        for row in top_level(table).filter(|row| matches!(row.treatment, Treatment::NoEffect(_))) {
            let mut body = bare.clone();
            body[row.name] = json!("x");
            let answer = node.post(path, &body).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
            assert_eq!(answer.header("x-parameters-without-effect"), row.name);
        }
    }
}

#[test]
fn the_page_says_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openai-parameters.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, document()).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == document(),
        "docs/openai-parameters.md is old: run this test with UPDATE_DOCS=1"
    );
}
