//! Chat answers that do not stream.

use axum::http::StatusCode;
use gpu_node::engines::text::request::Constraint;
use serde_json::{Value, json};
use shared::node::text::{ChatMessage, ChatRequest, NamedSchema, ResponseFormat, Role};

use super::{CHAT, chat, support::TestNode};

#[tokio::test]
async fn an_answer_has_exactly_the_shape_of_openais() {
    let node = TestNode::with_texts();
    let answer = node.post(CHAT, &chat("say hello there", json!({}))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let mut body = answer.json();
    assert!(body["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert!(body["created"].as_u64().unwrap() >= node.state.started_at);
    (body["id"], body["created"]) = (json!("chatcmpl-1"), json!(1));
    let expected = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "talker",
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": "hello there", "refusal": null },
            "logprobs": null, "finish_reason": "stop",
        }],
        "usage": {
            "prompt_tokens": 22, "completion_tokens": 2, "total_tokens": 24,
            "prompt_tokens_details": { "cached_tokens": 3, "audio_tokens": 0 },
            "completion_tokens_details": {
                "reasoning_tokens": 0, "audio_tokens": 0,
                "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
            },
        },
        "system_fingerprint": "r1-e1", "service_tier": "default",
    });
    assert_eq!(body, expected);
    assert_ne!(answer.header("openai-processing-ms"), "");
    assert_ne!(answer.header("x-request-id"), "");
    assert_eq!(answer.header("x-parameters-without-effect"), "");
}

#[tokio::test]
async fn every_parameter_of_generation_reaches_the_model() {
    let node = TestNode::with_texts();
    let body = chat(
        "say x",
        json!({
            "temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "presence_penalty": 1,
            "frequency_penalty": -1, "repetition_penalty": 1.1, "logit_bias": { "65": -100 },
            "seed": 7, "n": 2, "max_completion_tokens": 30, "stop": ["a", "b"],
            "logprobs": true, "top_logprobs": 2,
        }),
    );
    assert_eq!(node.post(CHAT, &body).await.status, StatusCode::OK);
    let (_, input) = node.texts.last();
    let sampling = &input.sampling;
    assert_eq!((sampling.temperature, sampling.top_p, sampling.top_k), (0.5, 0.9, Some(40)));
    assert_eq!((sampling.min_p, sampling.repetition_penalty), (0.05, 1.1));
    assert_eq!((sampling.presence_penalty, sampling.frequency_penalty), (1.0, -1.0));
    assert_eq!((sampling.logit_bias.as_slice(), sampling.seed), (&[(65, -100.0)][..], 7));
    assert_eq!((sampling.logprobs, input.choices, input.max_tokens), (Some(2), 2, 30));
    assert_eq!(
        (input.stop.as_slice(), input.end_tokens.as_slice()),
        (&["a".into(), "b".into()][..], &[0][..])
    );
}

#[tokio::test]
async fn a_bare_request_gets_openais_defaults_and_the_rest_of_the_context() {
    let node = TestNode::with_texts();
    node.post(CHAT, &chat("say x", json!({}))).await;
    let (prompt, input) = node.texts.last();
    assert_eq!(prompt, "user: say x\n");
    assert_eq!(
        (input.choices, input.max_tokens),
        (1, super::support::fake_text::CONTEXT_TOKENS - 12)
    );
    assert_eq!((input.sampling.temperature, input.sampling.logprobs), (1.0, None));
    assert_eq!((input.stop.len(), input.constraint, input.continues), (0, None, false));
}

#[tokio::test]
async fn a_seed_is_drawn_when_none_is_given_and_negative_ones_count() {
    let node = TestNode::with_texts();
    for _ in 0..2 {
        node.post(CHAT, &chat("say x", json!({}))).await;
    }
    node.post(CHAT, &chat("say x", json!({ "seed": -1 }))).await;
    let seeds: Vec<u64> = node.texts.inputs().iter().map(|input| input.sampling.seed).collect();
    assert_ne!(seeds[0], seeds[1]);
    assert_eq!(seeds[2], u64::MAX);
}

#[tokio::test]
async fn a_token_limit_ends_an_answer_with_length() {
    let node = TestNode::with_texts();
    for name in ["max_tokens", "max_completion_tokens"] {
        let body = node.post(CHAT, &chat("say one two three", json!({ name: 2 }))).await.json();
        assert_eq!(body["choices"][0]["message"]["content"], "one two ");
        assert_eq!(body["choices"][0]["finish_reason"], "length");
        assert_eq!(body["usage"]["completion_tokens"], 2);
    }
}

#[tokio::test]
async fn each_continuation_is_a_choice_of_its_own() {
    let node = TestNode::with_texts();
    let body = node.post(CHAT, &chat("say one two", json!({ "n": 3, "stop": "two" }))).await.json();
    let choices = body["choices"].as_array().unwrap();
    assert_eq!(choices.iter().map(|choice| &choice["index"]).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(choices.iter().all(|choice| choice["message"]["content"] == "one "));
    assert_eq!(body["usage"]["completion_tokens"], 6);
}

#[tokio::test]
async fn log_probabilities_come_with_the_bytes_of_each_token() {
    let node = TestNode::with_texts();
    let rest = json!({ "logprobs": true, "top_logprobs": 1 });
    let body = node.post(CHAT, &chat("say hé ho", rest)).await.json();
    let expected = json!({
        "token": "hé ", "logprob": -1.0, "bytes": [104, 195, 169, 32],
        "top_logprobs": [{ "token": "hé ", "logprob": -1.0, "bytes": [104, 195, 169, 32] }],
    });
    let logprobs = &body["choices"][0]["logprobs"];
    assert_eq!(logprobs["content"][0], expected);
    assert_eq!(
        (&logprobs["content"][1]["token"], &logprobs["refusal"]),
        (&json!("ho"), &Value::Null)
    );
}

#[tokio::test]
async fn thoughts_are_kept_apart_from_the_answer() {
    let node = TestNode::with_texts();
    let body = node.post(CHAT, &chat("think", json!({}))).await.json();
    let message = &body["choices"][0]["message"];
    assert_eq!(
        (&message["content"], &message["reasoning_content"]),
        (&json!("Done."), &json!("hm, so"))
    );
    assert_eq!(body["usage"]["completion_tokens_details"]["reasoning_tokens"], 5);
}

#[tokio::test]
async fn text_parts_of_a_message_are_joined_and_roles_kept() {
    let node = TestNode::with_texts();
    let body = json!({ "model": "talker", "messages": [
        { "role": "system", "content": "be brief" },
        { "role": "developer", "content": "be kind", "name": "ada" },
        { "role": "assistant", "content": [{ "type": "refusal", "refusal": "no" }] },
        { "role": "assistant", "refusal": "never" },
        { "role": "user", "content": [{ "type": "text", "text": "say " }, { "type": "text", "text": "x" }] },
    ]});
    assert_eq!(node.post(CHAT, &body).await.status, StatusCode::OK);
    let (prompt, _) = node.texts.last();
    let expected =
        "system: be brief\ndeveloper: be kind\nassistant: no\nassistant: never\nuser: say x\n";
    assert_eq!(prompt, expected);
}

#[tokio::test]
async fn the_form_of_an_answer_reaches_the_model() {
    let node = TestNode::with_texts();
    let schema = json!({ "type": "object" });
    let named = json!({ "name": "fish", "schema": schema });
    let cases = [
        (json!({ "type": "text" }), None),
        (json!({ "type": "json_object" }), Some(Constraint::JsonObject)),
        (
            json!({ "type": "json_schema", "json_schema": { "name": "any" } }),
            Some(Constraint::JsonObject),
        ),
        (
            json!({ "type": "json_schema", "json_schema": named }),
            Some(Constraint::JsonSchema(schema.clone())),
        ),
        (json!({ "type": "regex", "pattern": "a+" }), Some(Constraint::Regex("a+".to_owned()))),
        (
            json!({ "type": "grammar", "grammar": "start: \"a\"" }),
            Some(Constraint::Lark("start: \"a\"".to_owned())),
        ),
    ];
    for (format, expected) in cases {
        let answer = node.post(CHAT, &chat("say x", json!({ "response_format": format }))).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        assert_eq!(node.texts.last().1.constraint, expected, "{format}");
    }
}

#[tokio::test]
async fn the_template_is_given_what_it_reads() {
    let node = TestNode::with_texts();
    let kwargs = json!({ "chat_template_kwargs": { "enable_thinking": false } });
    for (rest, expected) in [
        (kwargs, "enable_thinking = false\n"),
        (json!({ "reasoning_effort": "none" }), "enable_thinking = false\n"),
        (json!({ "reasoning_effort": "high" }), "enable_thinking = true\n"),
    ] {
        node.post(CHAT, &chat("say x", rest)).await;
        assert!(node.texts.last().0.starts_with(expected));
    }
    let unread = json!({ "chat_template_kwargs": { "colour": "red" } });
    let error =
        node.post(CHAT, &chat("say x", unread)).await.openai_error(400, "unknown_parameter");
    assert_eq!(error["param"], "chat_template_kwargs.colour");
}

#[tokio::test]
async fn what_has_no_effect_is_named_in_the_answer() {
    let node = TestNode::with_texts();
    let rest = json!({ "user": "u1", "metadata": { "a": "b" }, "store": false, "safety_identifier": null });
    let answer = node.post(CHAT, &chat("say x", rest)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.header("x-parameters-without-effect"), "metadata, user");
}

#[tokio::test]
async fn the_edges_own_request_is_understood() {
    let node = TestNode::with_texts();
    let schema = json!({
        "type": "object", "properties": {}, "required": [], "additionalProperties": false
    });
    let named = NamedSchema { name: "fish".to_owned(), schema, strict: true };
    let request = ChatRequest {
        model: "talker".to_owned(),
        messages: vec![ChatMessage::new(Role::User, "say x")],
        max_completion_tokens: Some(5),
        temperature: Some(0.5),
        top_p: Some(0.9),
        seed: Some(7),
        stop: vec!["a".to_owned()],
        response_format: Some(ResponseFormat::JsonSchema { json_schema: named }),
        reasoning_effort: None,
        stream: true,
        stream_options: Some(Default::default()),
    };
    let answer = node.post(CHAT, &serde_json::to_value(&request).unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}
