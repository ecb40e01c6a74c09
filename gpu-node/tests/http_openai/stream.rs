//! Answers that stream.

use axum::body::Body;
use futures_util::StreamExt;
use serde_json::{Value, json};
use shared::node::text::ChatChunk;

use super::{CHAT, COMPLETIONS, chat, completion, support::TestNode};

fn parsed(events: &[String]) -> Vec<Value> {
    let chunks = events.iter().filter(|data| *data != "[DONE]");
    chunks.map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[tokio::test]
async fn a_stream_has_exactly_openais_chunks() {
    let node = TestNode::with_texts();
    let body = chat("say hello there", json!({ "stream": true }));
    let events = node.stream(CHAT, &body).await;
    assert_eq!(events.last().unwrap(), "[DONE]");
    let chunks = parsed(&events);
    let (id, created) = (&chunks[0]["id"], &chunks[0]["created"]);
    let chunk = |delta: Value, finish_reason: Value| {
        json!({
            "id": id, "object": "chat.completion.chunk", "created": created, "model": "talker",
            "choices": [{
                "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason
            }],
            "system_fingerprint": "r1-e1", "service_tier": "default",
        })
    };
    let expected = [
        chunk(json!({ "role": "assistant", "content": "" }), Value::Null),
        chunk(json!({ "content": "hello " }), Value::Null),
        chunk(json!({ "content": "there" }), Value::Null),
        chunk(json!({}), json!("stop")),
    ];
    assert_eq!(chunks, expected);
}

#[tokio::test]
async fn the_usage_comes_last_and_is_null_before() {
    let node = TestNode::with_texts();
    let rest = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let events = node.stream(CHAT, &chat("say hello", rest)).await;
    let mut chunks = parsed(&events);
    let last = chunks.pop().unwrap();
    assert!(chunks.iter().all(|chunk| chunk.as_object().unwrap()["usage"].is_null()));
    assert_eq!(last["choices"], json!([]));
    let usage = &last["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(16), &json!(1)));
    assert_eq!(usage["total_tokens"], 17);
    let typed: ChatChunk = serde_json::from_value(last.clone()).unwrap();
    assert_eq!(typed.usage.flatten().unwrap().prompt_tokens_details.cached_tokens, 3);
}

#[tokio::test]
async fn tool_calls_stream_as_a_name_and_pieces_of_arguments() {
    let node = TestNode::with_texts();
    let tool = |name: &str| json!({ "type": "function", "function": { "name": name } });
    let rest = json!({ "stream": true, "tools": [tool("weather"), tool("time")] });
    let chunks = parsed(&node.stream(CHAT, &chat("call", rest)).await);
    let mut deltas: Vec<Value> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"].get("tool_calls"))
        .map(|calls| calls[0].clone())
        .collect();
    for delta in &mut deltas {
        if let Some(id) = delta.get_mut("id") {
            assert!(id.as_str().unwrap().starts_with("call_"));
            *id = json!("call_1");
        }
    }
    let begin = |index: usize, name: &str| {
        let function = json!({ "name": name, "arguments": "" });
        json!({ "index": index, "id": "call_1", "type": "function", "function": function })
    };
    let more =
        |index: usize, text: &str| json!({ "index": index, "function": { "arguments": text } });
    let expected = [
        begin(0, "weather"),
        more(0, "{\"city\":"),
        more(0, "\"Paris\"}"),
        begin(1, "time"),
        more(1, "{}"),
    ];
    assert_eq!(deltas, expected);
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn thoughts_log_probabilities_and_padding_stream_too() {
    let node = TestNode::with_texts();
    let rest = json!({
        "stream": true, "logprobs": true, "top_logprobs": 1,
        "stream_options": { "include_obfuscation": true },
    });
    let chunks = parsed(&node.stream(CHAT, &chat("think", rest)).await);
    let thoughts: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["reasoning_content"].as_str())
        .collect();
    assert_eq!(thoughts, "hm, so");
    let scored = chunks.iter().filter(|chunk| !chunk["choices"][0]["logprobs"].is_null());
    assert_eq!(scored.count(), 5, "every token has its score, those of marks too");
    for chunk in &chunks {
        let delta = &chunk["choices"][0]["delta"];
        let said = [&delta["content"], &delta["reasoning_content"]];
        let said: usize = said.iter().filter_map(|text| text.as_str()).map(str::len).sum();
        assert_eq!((said + chunk["obfuscation"].as_str().unwrap().len()) % 32, 0);
    }
}

#[tokio::test]
async fn several_continuations_stream_side_by_side() {
    let node = TestNode::with_texts();
    let chunks =
        parsed(&node.stream(CHAT, &chat("say x", json!({ "stream": true, "n": 2 }))).await);
    for index in 0..2 {
        let own: Vec<&Value> = chunks
            .iter()
            .map(|chunk| &chunk["choices"][0])
            .filter(|choice| choice["index"] == index)
            .collect();
        assert_eq!(own.first().unwrap()["delta"]["role"], "assistant");
        assert_eq!(own.last().unwrap()["finish_reason"], "stop");
    }
}

#[tokio::test]
async fn a_failure_before_the_first_token_has_its_own_status() {
    let node = TestNode::with_texts();
    for (wish, status, code) in [
        ("fail", 500, "internal_error"),
        ("load", 503, "service_unavailable"),
        ("refuse", 400, "invalid_value"),
    ] {
        for stream in [false, true] {
            let answer = node.post(CHAT, &chat(wish, json!({ "stream": stream }))).await;
            let error = answer.openai_error(status, code);
            let tells = error["message"].as_str().unwrap().contains("the card fell off");
            assert_eq!(tells, status != 500, "an internal cause goes to the log only");
            assert_eq!(answer.header("retry-after"), if status == 503 { "1" } else { "" });
        }
    }
}

#[tokio::test]
async fn a_failure_after_the_first_token_ends_the_stream_with_an_error() {
    let node = TestNode::with_texts();
    for (path, body) in [
        (CHAT, chat("break", json!({ "stream": true }))),
        (COMPLETIONS, completion("break", json!({ "stream": true }))),
    ] {
        let events = node.stream(path, &body).await;
        assert!(!events.contains(&"[DONE]".to_owned()));
        let last: Value = serde_json::from_str(events.last().unwrap()).unwrap();
        let error = json!({
            "message": "something went wrong on this node", "type": "server_error",
            "param": null, "code": "internal_error",
        });
        assert_eq!(last, json!({ "error": error }));
    }
    let whole = node.post(CHAT, &chat("break", json!({}))).await;
    whole.openai_error(500, "internal_error");
}

#[tokio::test]
async fn hanging_up_frees_the_model() {
    let node = TestNode::with_texts();
    for (path, body) in [
        (CHAT, chat("go on for ever", json!({ "stream": true }))),
        (COMPLETIONS, completion("go on for ever", json!({ "stream": true }))),
    ] {
        let body: Body = node.open(path, &body).await;
        let mut chunks = body.into_data_stream();
        chunks.next().await.unwrap().unwrap();
        node.texts.until_running(1).await;
        drop(chunks);
        node.texts.until_running(0).await;
        node.state.open_answers.wait_until_idle().await;
    }
}

#[tokio::test]
async fn completions_stream_text_and_usage() {
    let node = TestNode::with_texts();
    let rest = json!({
        "stream": true, "stream_options": { "include_usage": true }, "logprobs": 1, "n": 2,
    });
    let events = node.stream(COMPLETIONS, &completion("say one two", rest)).await;
    assert_eq!(events.last().unwrap(), "[DONE]");
    let mut chunks = parsed(&events);
    let usage = chunks.pop().unwrap();
    assert_eq!((&usage["choices"], &usage["usage"]["completion_tokens"]), (&json!([]), &json!(4)));
    let own: Vec<&Value> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0])
        .filter(|choice| choice["index"] == 1)
        .collect();
    let text: String = own.iter().map(|choice| choice["text"].as_str().unwrap()).collect();
    assert_eq!((text.as_str(), &own.last().unwrap()["finish_reason"]), ("one two", &json!("stop")));
    assert_eq!(own[1]["logprobs"]["text_offset"], json!([4]));
}
