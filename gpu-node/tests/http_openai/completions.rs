//! Completions that do not stream.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{COMPLETIONS, completion, support::TestNode};

#[tokio::test]
async fn a_completion_has_exactly_the_shape_of_openais() {
    let node = TestNode::with_texts();
    let mut body = node.post(COMPLETIONS, &completion("say hello", json!({}))).await.json();
    assert!(body["id"].as_str().unwrap().starts_with("cmpl-"));
    (body["id"], body["created"]) = (json!("cmpl-1"), json!(1));
    let usage = body.as_object_mut().unwrap().remove("usage").unwrap();
    assert_eq!((&usage["prompt_tokens"], &usage["total_tokens"]), (&json!(9), &json!(10)));
    let choice = json!({ "index": 0, "text": "hello", "logprobs": null, "finish_reason": "stop" });
    let expected = json!({
        "id": "cmpl-1", "object": "text_completion", "created": 1, "model": "talker",
        "choices": [choice], "system_fingerprint": "r1-e1",
    });
    assert_eq!(body, expected);
    let (_, input) = node.texts.last();
    assert_eq!((input.max_tokens, input.continues), (16, true));
}

#[tokio::test]
async fn a_prompt_may_be_text_or_tokens_or_several_of_either() {
    let node = TestNode::with_texts();
    let tokens: Vec<u32> = "say x".bytes().map(u32::from).collect();
    for (prompt, count) in [
        (json!("say x"), 1),
        (json!(["say x", "say x"]), 2),
        (json!(tokens), 1),
        (json!([tokens, tokens]), 2),
    ] {
        let rest = json!({ "prompt": prompt, "n": 2 });
        let body = node.post(COMPLETIONS, &completion("", rest)).await.json();
        let choices = body["choices"].as_array().unwrap();
        assert_eq!(choices.len(), 2 * count);
        for (index, choice) in choices.iter().enumerate() {
            assert_eq!((&choice["index"], &choice["text"]), (&json!(index), &json!("x")));
        }
        assert_eq!(body["usage"]["prompt_tokens"], 5 * count);
        assert_eq!(body["usage"]["completion_tokens"], 2 * count);
    }
}

#[tokio::test]
async fn a_request_with_more_prompts_than_places_waits_for_its_own() {
    let node = TestNode::with_texts();
    let prompts: Vec<String> = (0..100).map(|number| format!("say {number}")).collect();
    node.texts.limit(3);
    let body = node.post(COMPLETIONS, &completion("", json!({ "prompt": prompts }))).await.json();
    let texts: Vec<&str> =
        body["choices"].as_array().unwrap().iter().map(|c| c["text"].as_str().unwrap()).collect();
    let expected: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(texts, expected);
    node.texts.refuse(1);
    let refused =
        node.post(COMPLETIONS, &completion("", json!({ "prompt": ["say x", "say y"] }))).await;
    refused.openai_error(429, "rate_limit_exceeded");
}

#[tokio::test]
async fn echo_gives_the_prompt_back_before_the_answer() {
    let node = TestNode::with_texts();
    for prompt in [json!("say x"), json!([115, 97, 121, 32, 120])] {
        let rest = json!({ "prompt": prompt, "echo": true });
        let body = node.post(COMPLETIONS, &completion("", rest)).await.json();
        assert_eq!(body["choices"][0]["text"], "say xx");
    }
    let body = completion("say x", json!({ "echo": true, "stream": true }));
    let events = node.stream(COMPLETIONS, &body).await;
    let first: Value = serde_json::from_str(&events[0]).unwrap();
    assert_eq!(first["choices"][0]["text"], "say x");
}

#[tokio::test]
async fn log_probabilities_come_in_columns() {
    let node = TestNode::with_texts();
    let body =
        node.post(COMPLETIONS, &completion("say hé ho", json!({ "logprobs": 1 }))).await.json();
    let expected = json!({
        "tokens": ["hé ", "ho"], "token_logprobs": [-1.0, -1.0],
        "top_logprobs": [{ "hé ": -1.0 }, { "ho": -1.0 }], "text_offset": [0, 3],
    });
    assert_eq!(body["choices"][0]["logprobs"], expected);
}

#[tokio::test]
async fn the_likeliest_of_several_continuations_is_kept() {
    let node = TestNode::with_texts();
    let rest = json!({ "best_of": 3, "n": 1, "logprobs": 0 });
    let body = node.post(COMPLETIONS, &completion("say x", rest)).await.json();
    assert_eq!(body["choices"].as_array().unwrap().len(), 1);
    let kept = body["choices"][0]["logprobs"]["token_logprobs"][0].as_f64().unwrap();
    assert!((kept + 1.0 / 3.0).abs() < 1e-6, "the last of the three is the likeliest");
    assert_eq!(body["usage"]["completion_tokens"], 3);
    assert_eq!(node.texts.last().1.choices, 3);
    let bare = node.post(COMPLETIONS, &completion("say x", json!({ "best_of": 2 }))).await.json();
    assert_eq!(bare["choices"][0]["logprobs"], Value::Null);
}

#[tokio::test]
async fn what_a_completion_cannot_have_is_named() {
    let node = TestNode::with_texts();
    let cases = [
        (json!({ "suffix": "x" }), "suffix", "fill a gap"),
        (json!({ "best_of": 1, "n": 2 }), "best_of", "at least `n`"),
        (json!({ "best_of": 2, "stream": true }), "best_of", "with `stream`"),
        (json!({ "echo": true, "logprobs": 1 }), "echo", "with `logprobs`"),
        (json!({ "logprobs": 6 }), "logprobs", "between 0 and 5"),
        (json!({ "prompt": [] }), "prompt", "must not be empty"),
        (json!({ "prompt": "" }), "prompt", "must not be empty with this model"),
        (json!({ "prompt": [300] }), "prompt[0]", "not a token of this model"),
        (json!({ "prompt": ["a", 7] }), "prompt[1]", "must be a string"),
        (json!({ "messages": [] }), "messages", "not a known parameter"),
    ];
    for (rest, param, text) in cases {
        let answer = node.post(COMPLETIONS, &completion("say x", rest.clone())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{rest}");
        let error = answer.json()["error"].clone();
        assert_eq!(error["param"], param, "{error}");
        assert!(error["message"].as_str().unwrap().contains(text), "{error}");
    }
}
