//! Whether the parser looks at every parameter that the table calls honoured: a body that has them all is read.

use serde_json::{Value, json};

use super::{
    chat::read_chat,
    completions::read_completion,
    embeddings::read_embeddings,
    fields::{Fields, read_body},
    images::{read_edit, read_generation},
    parameters::{CHAT, COMPLETIONS, EMBEDDINGS, IMAGE_EDITS, IMAGES, Parameter, Treatment},
};

fn check<T>(
    table: &'static [Parameter],
    bodies: &[Value],
    read: impl Fn(&mut Fields<'_, '_>) -> T,
) {
    let reports: Vec<_> = bodies.iter().map(|body| read_body(body, table, &read).1).collect();
    for row in table {
        let is_honoured = matches!(row.treatment, Treatment::Honoured(_) | Treatment::Limited(_));
        let is_read = reports.iter().any(|report| report.read.contains(&row.name));
        assert_eq!(is_read, is_honoured, "{}", row.name);
    }
}

#[test]
fn every_honoured_parameter_of_a_chat_is_read_and_no_other() {
    let function = json!({ "type": "function", "function": { "name": "f", "arguments": "{}" } });
    let allowed = json!({ "mode": "auto", "tools": [function] });
    let bodies = [
        json!({
            "messages": [{ "content": [{ "type": "text" }], "tool_calls": [function] }],
            "tools": [function], "tool_choice": function, "stream": true, "stream_options": {},
            "response_format": { "type": "json_schema", "json_schema": {} },
        }),
        json!({
            "messages": [{ "role": "assistant", "content": [{ "type": "refusal" }] }],
            "tools": [function], "response_format": { "type": "regex" },
            "tool_choice": { "type": "allowed_tools", "allowed_tools": allowed },
        }),
        json!({ "response_format": { "type": "grammar" } }),
    ];
    check(CHAT, &bodies, read_chat);
}

#[test]
fn every_honoured_parameter_of_completions_and_embeddings_is_read_and_no_other() {
    check(COMPLETIONS, &[json!({ "stream": true, "stream_options": {} })], read_completion);
    check(EMBEDDINGS, &[json!({})], read_embeddings);
}

#[test]
fn every_honoured_parameter_of_pictures_is_read_and_no_other() {
    check(IMAGES, &[json!({})], read_generation);
    check(IMAGE_EDITS, &[json!({ "images": [{}] })], read_edit);
}
