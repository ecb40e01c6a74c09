//! The functions a model may ask for.

use super::strict_schema::check_strict;
use crate::{
    http::openai::fields::{Fields, Item},
    text::{Tool, ToolChoice},
};

const TOOLS_MAX: usize = 128;
const NAME_MAX_CHARS: usize = 64;

pub(super) const NAME_RULE: &str = "must have 1 to 64 letters, digits, dashes and underscores";

/// Whether a function or a schema may be called that.
pub(super) fn is_name(text: &str) -> bool {
    (1..=NAME_MAX_CHARS).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Reads `tools`.
pub(super) fn read_tools(fields: &mut Fields<'_, '_>) -> Vec<Tool> {
    reject_empty(fields);
    let tools = fields.each("tools", |item| item.object(read_tool).flatten());
    if tools.len() > TOOLS_MAX {
        fields.reject("tools", "too_long", format!("must have at most {TOOLS_MAX} tools"));
    }
    let mut names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        fields.reject("tools", "conflict", format!("has two tools named {:?}", pair[0]));
    }
    tools
}

fn read_tool(fields: &mut Fields<'_, '_>) -> Option<Tool> {
    fields.require("type");
    fields.word("type", &["function"], "describe a custom tool as a function");
    fields.require("function");
    fields.object("function", |function| {
        let name = function.text("name");
        if function.has("name") && !is_name(&name) {
            function.reject("name", "format", NAME_RULE);
        }
        let description = function.optional_text("description");
        let strict = function.flag("strict").unwrap_or(false);
        let parameters = function.item("parameters").and_then(|mut item| {
            if !item.value.is_object() {
                item.reject("type", "must be a JSON schema of an object");
                return None;
            }
            if strict && let Err(reason) = check_strict(item.value) {
                item.reject("schema", format!("is not a strict schema: {reason}"));
            }
            Some(item.value.clone())
        });
        Tool { name, description, parameters, strict }
    })
}

/// Whether a tool is called, and which may be.
pub(super) struct Called {
    pub(super) choice: ToolChoice,
    pub(super) callable: Vec<String>,
}

/// Reads `tool_choice`.
pub(super) fn read_tool_choice(fields: &mut Fields<'_, '_>, tools: &[Tool]) -> Called {
    let all = || tools.iter().map(|tool| tool.name.clone()).collect();
    if fields.has("tool_choice") && !fields.has("tools") {
        fields.reject("tool_choice", "conflict", "is only allowed with `tools`");
    }
    let Some(mut item) = fields.item("tool_choice") else {
        let choice = if tools.is_empty() { ToolChoice::None } else { ToolChoice::Auto };
        return Called { choice, callable: all() };
    };
    match item.value.as_str() {
        Some("none") => Called { choice: ToolChoice::None, callable: Vec::new() },
        Some("auto") => Called { choice: ToolChoice::Auto, callable: all() },
        Some("required") => Called { choice: ToolChoice::Required, callable: all() },
        Some(_) => {
            item.reject("choice", "must be none, auto, required or an object");
            Called { choice: ToolChoice::None, callable: Vec::new() }
        }
        None => item
            .object(|choice| read_named(choice, tools))
            .unwrap_or(Called { choice: ToolChoice::None, callable: Vec::new() }),
    }
}

fn read_named(fields: &mut Fields<'_, '_>, tools: &[Tool]) -> Called {
    fields.require("type");
    let rule = "describe a custom tool as a function";
    match fields.word("type", &["function", "allowed_tools"], rule) {
        Some("allowed_tools") => {
            fields.require("allowed_tools");
            let called = fields.object("allowed_tools", |allowed| {
                allowed.require("mode");
                let mode = allowed.word("mode", &["auto", "required"], "");
                allowed.require("tools");
                reject_empty(allowed);
                let callable = allowed.each("tools", |item| {
                    item.object(|tool| {
                        tool.require("type");
                        tool.word("type", &["function"], "");
                        read_function_name(tool, tools)
                    })
                });
                let is_required = mode == Some("required");
                let choice = if is_required { ToolChoice::Required } else { ToolChoice::Auto };
                Called { choice, callable }
            });
            called.unwrap_or(Called { choice: ToolChoice::None, callable: Vec::new() })
        }
        _ => {
            let callable = vec![read_function_name(fields, tools)];
            Called { choice: ToolChoice::Required, callable }
        }
    }
}

fn read_function_name(fields: &mut Fields<'_, '_>, tools: &[Tool]) -> String {
    fields.require("function");
    let name = fields.object("function", |function: &mut Fields<'_, '_>| {
        let name = function.text("name");
        let is_known = tools.iter().any(|tool| tool.name == name);
        let item = function.item("name").filter(|_| !is_known);
        if let Some(mut item) = item {
            reject_unknown(&mut item);
        }
        name
    });
    name.unwrap_or_default()
}

/// An empty list would leave a demanded call without anything to call.
fn reject_empty(fields: &mut Fields<'_, '_>) {
    if let Some(mut item) = fields.item("tools")
        && item.value.as_array().is_some_and(Vec::is_empty)
    {
        item.reject("empty", "must not be empty");
    }
}

fn reject_unknown(item: &mut Item<'_, '_>) {
    item.reject("choice", "must be one of `tools`");
}
