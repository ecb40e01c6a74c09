//! What is refused, and how.

use axum::{
    body::Body,
    http::{StatusCode, header},
};
use serde_json::{Value, json};

use super::{
    CHAT, COMPLETIONS, EDITS, EMBEDDINGS, IMAGES, chat, picture,
    support::{TestNode, fake_text::CONTEXT_TOKENS, png, request},
};

#[tokio::test]
async fn an_unknown_model_is_404_and_one_of_another_kind_400() {
    let node = TestNode::with_texts();
    for (path, body) in [
        (CHAT, chat("say x", json!({ "model": "huge" }))),
        (COMPLETIONS, json!({ "model": "huge", "prompt": "x" })),
        (EMBEDDINGS, json!({ "model": "huge", "input": "x" })),
        (IMAGES, picture(json!({ "model": "huge" }))),
        (EDITS, picture(json!({ "model": "huge", "image": png(1, 1) }))),
    ] {
        let error = node.post(path, &body).await.openai_error(404, "model_not_found");
        assert_eq!(
            (&error["type"], &error["param"]),
            (&json!("invalid_request_error"), &json!("model"))
        );
    }
    for (path, body) in [
        (CHAT, chat("say x", json!({ "model": "tiny" }))),
        (COMPLETIONS, json!({ "model": "vectors", "prompt": "x" })),
        (EMBEDDINGS, json!({ "model": "talker", "input": "x" })),
        (IMAGES, picture(json!({ "model": "talker" }))),
        (EDITS, picture(json!({ "model": "vectors", "image": png(1, 1) }))),
    ] {
        let error = node.post(path, &body).await.openai_error(400, "invalid_value");
        assert_eq!(error["param"], "model");
    }
}

#[tokio::test]
async fn a_prompt_longer_than_the_context_says_both_lengths() {
    let node = TestNode::with_texts();
    let answer = node.post(CHAT, &chat(&"x".repeat(CONTEXT_TOKENS), json!({}))).await;
    let error = answer.openai_error(400, "context_length_exceeded");
    assert_eq!(error["message"], "the model reads 400 tokens, and the prompt has 407");
}

#[tokio::test]
async fn a_full_lane_is_429_with_the_time_to_wait_and_a_leaving_node_503() {
    let node = TestNode::with_texts();
    node.texts.refuse(1);
    let answer = node.post(CHAT, &chat("say x", json!({}))).await;
    let error = answer.openai_error(429, "rate_limit_exceeded");
    assert_eq!((&error["type"], answer.header("retry-after")), (&json!("rate_limit_error"), "3"));
    assert_eq!(node.post(CHAT, &chat("say x", json!({}))).await.status, StatusCode::OK);

    node.state.jobs.close();
    let answer = node.post(CHAT, &chat("say x", json!({ "stream": true }))).await;
    answer.openai_error(503, "service_unavailable");
    assert_eq!(answer.header("retry-after"), "10");
}

#[tokio::test]
async fn a_vocabulary_that_cannot_be_read_is_503() {
    let node = TestNode::with_texts();
    let answer = node.post(CHAT, &chat("say x", json!({ "model": "mute" }))).await;
    let error = answer.openai_error(503, "service_unavailable");
    assert!(error["message"].as_str().unwrap().contains("tokenizer.json is not there"));
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused_in_openais_shape() {
    let node = TestNode::with_texts();
    let mut torn = request("POST", CHAT, Some(&Value::Null));
    *torn.body_mut() = Body::from("{");
    let answer = node.send(torn).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (StatusCode::BAD_REQUEST, &Value::Null)
    );
    let mut plain = request("POST", CHAT, Some(&json!({})));
    plain.headers_mut().insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
    node.send(plain).await.openai_error(415, "unsupported_media_type");
    node.post(CHAT, &chat(&"x".repeat(1 << 20), json!({})))
        .await
        .openai_error(413, "request_too_large");
    let answer = node.get(CHAT).await;
    answer.openai_error(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), "POST");
    let error = node.post(CHAT, &json!([])).await.openai_error(400, "invalid_type");
    assert_eq!(
        (&error["param"], &error["message"]),
        (&Value::Null, &json!("the body must be an object"))
    );
}

#[tokio::test]
async fn everything_wrong_with_a_body_is_said_and_the_first_of_it_named() {
    let node = TestNode::with_texts();
    let body = json!({ "temperature": 3, "frob": 1, "messages": [{ "role": "user" }] });
    let error = node.post(CHAT, &body).await.openai_error(400, "unknown_parameter");
    assert_eq!(error["param"], "frob");
    let message = error["message"].as_str().unwrap();
    for text in [
        "'frob' is not a known parameter",
        "'model' is required",
        "'messages[0].content' is required",
        "'temperature' must be between 0 and 2",
    ] {
        assert!(message.contains(text), "{text} is missing in {message}");
    }
}

#[tokio::test]
async fn every_rule_of_a_chat_request_names_its_parameter() {
    let node = TestNode::with_texts();
    let message = |message: Value| json!({ "messages": [message] });
    let image = json!({ "type": "image_url", "image_url": { "url": "https://x/y.png" } });
    let strict = json!({ "type": "json_schema", "json_schema": {
        "name": "f", "strict": true, "schema": { "type": "object", "properties": {} },
    }});
    let cases = [
        (json!({ "messages": [] }), "messages"),
        (message(json!({ "role": "function", "content": "x" })), "messages[0].role"),
        (
            message(json!({ "role": "user", "content": [image] })),
            "messages[0].content[0].image_url",
        ),
        (message(json!({ "role": "user", "content": 7 })), "messages[0].content"),
        (
            message(json!({ "role": "user", "content": "x", "tool_calls": [] })),
            "messages[0].tool_calls",
        ),
        (message(json!({ "role": "tool", "content": "x" })), "messages[0].tool_call_id"),
        (message(json!({ "role": "user", "content": "be rude" })), "messages"),
        (json!({ "n": 129 }), "n"),
        (json!({ "n": 1.5 }), "n"),
        (json!({ "stop": ["a", "b", "c", "d", "e"] }), "stop"),
        (json!({ "stop": "" }), "stop"),
        (json!({ "logit_bias": { "a": 1 } }), "logit_bias"),
        (json!({ "logit_bias": { "5": 101 } }), "logit_bias"),
        (json!({ "logit_bias": { "999": 1 } }), "logit_bias[999]"),
        (json!({ "top_logprobs": 3 }), "top_logprobs"),
        (json!({ "logprobs": true, "top_logprobs": 21 }), "top_logprobs"),
        (json!({ "max_tokens": 0 }), "max_tokens"),
        (json!({ "max_tokens": 1, "max_completion_tokens": 1 }), "max_tokens"),
        (json!({ "stream_options": { "include_usage": true } }), "stream_options"),
        (json!({ "response_format": { "type": "xml" } }), "response_format.type"),
        (
            json!({ "response_format": { "type": "text", "pattern": "a" } }),
            "response_format.pattern",
        ),
        (json!({ "response_format": { "type": "regex" } }), "response_format.pattern"),
        (json!({ "response_format": strict }), "response_format.json_schema.schema"),
        (json!({ "tools": [] }), "tools"),
        (json!({ "chat_template_kwargs": { "messages": [] } }), "chat_template_kwargs.messages"),
        (json!({ "store": true }), "store"),
        (json!({ "service_tier": "flex" }), "service_tier"),
        (json!({ "modalities": ["text", "audio"] }), "modalities"),
        (json!({ "verbosity": "low" }), "verbosity"),
        (json!({ "prompt_cache_retention": "24h" }), "prompt_cache_retention"),
        (json!({ "reasoning_effort": "enormous" }), "reasoning_effort"),
        (json!({ "functions": [] }), "functions"),
        (json!({ "audio": {} }), "audio"),
        (json!({ "web_search_options": {} }), "web_search_options"),
    ];
    for (rest, param) in cases {
        let answer = node.post(CHAT, &chat("say x", rest.clone())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{rest}");
        let error = answer.json()["error"].clone();
        assert_eq!(
            (&error["type"], &error["param"]),
            (&json!("invalid_request_error"), &json!(param)),
            "{error}"
        );
    }
}
