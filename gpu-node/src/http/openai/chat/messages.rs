//! The turns of a conversation.

use shared::node::text::{ChatMessage, FunctionCall, Role, ToolCall};

use super::tools::is_name;
use crate::http::openai::fields::{Fields, Item};

const ROLES: &[&str] = &["developer", "system", "user", "assistant", "tool"];

/// Reads `messages`.
pub(super) fn read_messages(fields: &mut Fields<'_, '_>) -> Vec<ChatMessage> {
    fields.require("messages");
    let messages = fields.each("messages", |item| item.object(read_message));
    if fields.value("messages").and_then(|list| list.as_array()).is_some_and(Vec::is_empty) {
        fields.reject("messages", "empty", "must have at least one message");
    }
    messages
}

fn read_message(fields: &mut Fields<'_, '_>) -> ChatMessage {
    fields.require("role");
    let role = match fields.word("role", ROLES, "`function` was replaced by `tool`") {
        Some("developer") => Role::Developer,
        Some("system") => Role::System,
        Some("assistant") => Role::Assistant,
        Some("tool") => Role::Tool,
        _ => Role::User,
    };
    let is_assistant = role == Role::Assistant;
    let content = fields.item("content").map(|item| read_content(item, is_assistant));
    let refusal = fields.optional_text("refusal");
    let tool_calls = fields.each("tool_calls", |item| item.object(read_tool_call));
    let tool_call_id = fields.optional_text("tool_call_id");
    if !is_assistant {
        for name in ["refusal", "tool_calls"] {
            if fields.has(name) {
                fields.reject(name, "conflict", "is only allowed in an assistant's turn");
            }
        }
    }
    match role {
        Role::Tool if tool_call_id.is_none() => fields.require("tool_call_id"),
        Role::Tool => {}
        _ if tool_call_id.is_some() => {
            fields.reject("tool_call_id", "conflict", "is only allowed in a tool's turn");
        }
        _ => {}
    }
    let content = content.or(refusal);
    if content.is_none() && tool_calls.is_empty() {
        fields.require("content");
    }
    ChatMessage { role, content, name: fields.optional_text("name"), tool_calls, tool_call_id }
}

fn read_content(mut item: Item<'_, '_>, is_assistant: bool) -> String {
    if let Some(text) = item.value.as_str() {
        return text.to_owned();
    }
    if !item.value.is_array() {
        item.reject("type", "must be a string or a list of text parts");
        return String::new();
    }
    item.each(|part| part.object(|part| read_part(part, is_assistant)).flatten()).concat()
}

fn read_part(part: &mut Fields<'_, '_>, is_assistant: bool) -> Option<String> {
    part.require("type");
    let kinds: &[&str] = if is_assistant { &["text", "refusal"] } else { &["text"] };
    let kind = part.word("type", kinds, "the text models read text only")?;
    let other = if kind == "text" { "refusal" } else { "text" };
    if part.has(other) {
        part.reject(other, "conflict", format!("is not part of a {kind} part"));
    }
    Some(part.text(kind))
}

fn read_tool_call(call: &mut Fields<'_, '_>) -> ToolCall {
    call.require("type");
    call.word("type", &["function"], "");
    let id = call.text("id");
    call.require("function");
    let function = call.object("function", |function| {
        let (name, arguments) = (function.text("name"), function.text("arguments"));
        if !is_name(&name) {
            function.reject("name", "format", super::tools::NAME_RULE);
        }
        FunctionCall { name, arguments }
    });
    let function =
        function.unwrap_or(FunctionCall { name: String::new(), arguments: String::new() });
    ToolCall { id, r#type: "function".to_owned(), function }
}
