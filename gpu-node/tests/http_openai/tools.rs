//! Tools: which the model is told of, which it may call, and what comes of a call.

use axum::http::StatusCode;
use gpu_node::engines::text::request::Constraint;
use serde_json::{Value, json};

use super::{CHAT, chat, support::TestNode};

fn tools() -> Value {
    let tool = |name: &str| {
        json!({ "type": "function", "function": {
            "name": name, "description": "d", "parameters": { "type": "object" },
        }})
    };
    json!([tool("weather"), tool("time")])
}

#[tokio::test]
async fn calls_are_given_with_their_arguments_as_text() {
    let node = TestNode::with_texts();
    let mut body = node.post(CHAT, &chat("call", json!({ "tools": tools() }))).await.json();
    let choice = &mut body["choices"][0];
    for call in choice["message"]["tool_calls"].as_array_mut().unwrap() {
        assert_eq!(call["id"].as_str().unwrap().len(), "call_".len() + 24);
        call["id"] = json!("call_1");
    }
    let call = |name: &str, arguments: &str| {
        let function = json!({ "name": name, "arguments": arguments });
        json!({ "id": "call_1", "type": "function", "function": function })
    };
    let expected = json!({
        "role": "assistant", "content": null, "refusal": null,
        "tool_calls": [call("weather", "{\"city\":\"Paris\"}"), call("time", "{}")],
    });
    assert_eq!((&choice["message"], &choice["finish_reason"]), (&expected, &json!("tool_calls")));
    assert!(node.texts.last().0.starts_with("tool: weather\ntool: time\n"));
}

#[tokio::test]
async fn a_choice_of_tools_binds_the_model() {
    let node = TestNode::with_texts();
    let function = |name: &str| json!({ "type": "function", "function": { "name": name } });
    let allowed = |mode: &str| json!({ "type": "allowed_tools", "allowed_tools": { "mode": mode, "tools": [function("time")] } });
    let cases = [
        (json!("none"), None),
        (json!("auto"), None),
        (json!("required"), Some("weather | time")),
        (function("time"), Some("time")),
        (allowed("required"), Some("time")),
        (allowed("auto"), None),
    ];
    for (tool_choice, expected) in cases {
        let rest = json!({ "tools": tools(), "tool_choice": tool_choice });
        let answer = node.post(CHAT, &chat("say x", rest)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let expected = expected.map(|names| Constraint::Lark(names.to_owned()));
        assert_eq!(node.texts.last().1.constraint, expected, "{tool_choice}");
    }
}

#[tokio::test]
async fn the_answer_of_a_tool_goes_back_into_the_conversation() {
    let node = TestNode::with_texts();
    let call = json!({
        "id": "call_1", "type": "function", "function": { "name": "time", "arguments": "{}" }
    });
    let body = json!({ "model": "talker", "tools": tools(), "messages": [
        { "role": "user", "content": "what time is it?" },
        { "role": "assistant", "content": null, "tool_calls": [call] },
        { "role": "tool", "tool_call_id": "call_1", "content": "say noon" },
    ]});
    let body = node.post(CHAT, &body).await.json();
    assert_eq!(body["choices"][0]["message"]["content"], "noon");
}

#[tokio::test]
async fn what_is_wrong_with_tools_is_named() {
    let node = TestNode::with_texts();
    let strict = json!([{ "type": "function", "function": {
        "name": "f", "strict": true, "parameters": { "type": "object", "properties": {} },
    }}]);
    let twice = json!([tools()[0], tools()[0]]);
    let custom = json!([{ "type": "custom", "custom": { "name": "f" } }]);
    let cases = [
        (json!({ "tool_choice": "auto" }), "tool_choice", "only allowed with `tools`"),
        (
            json!({ "parallel_tool_calls": false }),
            "parallel_tool_calls",
            "only allowed with `tools`",
        ),
        (json!({ "tools": twice }), "tools", "two tools named \"weather\""),
        (json!({ "tools": custom }), "tools[0].custom", "describe the tool as a function"),
        (json!({ "tools": strict }), "tools[0].function.parameters", "`additionalProperties`"),
        (
            json!({ "tools": [{ "type": "function", "function": { "name": "a b" } }] }),
            "tools[0].function.name",
            "1 to 64",
        ),
        (json!({ "tools": [{}] }), "tools[0].type", "is required"),
        (
            json!({ "tools": tools(), "tool_choice": "maybe" }),
            "tool_choice",
            "none, auto, required",
        ),
        (
            json!({ "tools": tools(), "tool_choice": { "type": "function", "function": { "name": "rain" } } }),
            "tool_choice.function.name",
            "must be one of `tools`",
        ),
        (
            json!({ "tools": tools(), "tool_choice": "required", "response_format": { "type": "json_object" } }),
            "response_format",
            "may be a tool call",
        ),
    ];
    for (rest, param, text) in cases {
        let answer = node.post(CHAT, &chat("say x", rest.clone())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{rest}");
        let error = answer.json()["error"].clone();
        assert_eq!(error["param"], param, "{error}");
        assert!(error["message"].as_str().unwrap().contains(text), "{error}");
    }
}
