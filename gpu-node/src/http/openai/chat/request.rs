//! From a body to a chat order.

use serde_json::{Map, Value};

use super::{
    format::read_format,
    messages::read_messages,
    tools::{read_tool_choice, read_tools},
};
use crate::{
    http::openai::{
        fields::Fields,
        generation::{Streaming, read_generation, read_streaming},
    },
    text::{ChatOrder, Generation, ToolChoice},
};

const TOP_LOGPROBS_MAX: u32 = 20;

/// A chat request that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatCall {
    pub order: ChatOrder,
    pub streaming: Streaming,
}

/// Reads the whole body.
pub fn read_chat(fields: &mut Fields<'_, '_>) -> ChatCall {
    let tools = read_tools(fields);
    let called = read_tool_choice(fields, &tools);
    let order = ChatOrder {
        model: fields.text("model"),
        messages: read_messages(fields),
        tool_choice: called.choice,
        callable: called.callable,
        parallel_tool_calls: read_parallel(fields),
        tools,
        format: read_format(fields),
        reasoning_effort: fields.word(
            "reasoning_effort",
            &["none", "minimal", "low", "medium", "high", "xhigh", "max"],
            "",
        ),
        template_values: read_template_values(fields),
        generation: read_chat_generation(fields),
    };
    if order.tool_choice != ToolChoice::None && order.format.is_some() {
        let detail = "cannot shape an answer that may be a tool call: set `tool_choice` to none";
        fields.reject("response_format", "conflict", detail);
    }
    check_what_is_fixed(fields);
    ChatCall { order, streaming: read_streaming(fields, true) }
}

fn read_parallel(fields: &mut Fields<'_, '_>) -> bool {
    let flag = fields.flag("parallel_tool_calls");
    if flag.is_some() && !fields.has("tools") {
        fields.reject("parallel_tool_calls", "conflict", "is only allowed with `tools`");
    }
    flag.unwrap_or(true)
}

fn read_template_values(fields: &mut Fields<'_, '_>) -> Map<String, Value> {
    let Some(mut item) = fields.item("chat_template_kwargs") else { return Map::new() };
    match item.value.as_object() {
        Some(values) => values.clone(),
        None => {
            item.reject("type", "must be an object");
            Map::new()
        }
    }
}

fn read_chat_generation(fields: &mut Fields<'_, '_>) -> Generation {
    let mut generation = read_generation(fields);
    if fields.has("max_tokens") && fields.has("max_completion_tokens") {
        fields.reject("max_tokens", "conflict", "cannot be given with `max_completion_tokens`");
    }
    let max_tokens = fields.count("max_completion_tokens", 1, u32::MAX);
    generation.max_tokens = fields.count("max_tokens", 1, u32::MAX).or(max_tokens);
    let is_wanted = fields.flag("logprobs").unwrap_or(false);
    let top = fields.count("top_logprobs", 0, TOP_LOGPROBS_MAX);
    if top.is_some() && !is_wanted {
        fields.reject("top_logprobs", "conflict", "is only allowed when `logprobs` is true");
    }
    generation.sampling.logprobs = is_wanted.then_some(top.unwrap_or(0));
    generation
}

/// Parameters of which one value is what happens anyway.
fn check_what_is_fixed(fields: &mut Fields<'_, '_>) {
    if fields.flag("store") == Some(true) {
        fields.reject("store", "unsupported", "must be false: the node stores no answers");
    }
    fields.word("service_tier", &["auto", "default"], "there is one tier");
    fields.word("verbosity", &["medium"], "no model here was trained to be terser or wordier");
    fields.word("prompt_cache_retention", &["in_memory"], "prefixes are kept in memory alone");
    if let Some(mut item) = fields.item("modalities") {
        let named = item.each(|modality| modality.text().map(str::to_owned));
        if named != ["text"] {
            item.reject("unsupported", "must be [\"text\"]: the text models write text only");
        }
    }
}
