//! Chat templates: the model's own Jinja program that writes a conversation as one text.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use minijinja::Environment;
use serde_json::{Map, Value};

use super::{
    ChatPrompt, Vocabulary, files,
    prompt::ControlTexts,
    template_functions::{NOW, environment, without_generation_marks},
};
use crate::engines::EngineError;

/// The template a model uses when a request has tools, where it ships several.
const TOOL_TEMPLATE: &str = "tool_use";
const DEFAULT_TEMPLATE: &str = "default";

/// A conversation to be written for the model, in the shape of the chat completions API.
#[derive(Debug, Clone, Copy)]
pub struct ChatRequest<'a> {
    /// Objects with `role`, `content` and so on. Roles are the caller's to check.
    pub messages: &'a [Value],
    /// Objects of type `function`; may be empty.
    pub tools: &'a [Value],
    /// Whether the text ends where the assistant's answer begins.
    pub adds_generation_prompt: bool,
    /// Further variables of the template, such as `enable_thinking`.
    pub variables: &'a Map<String, Value>,
    /// What `strftime_now` tells.
    pub now: SystemTime,
}

/// A model's chat templates, ready to render.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// `bos_token` and the like, by name.
    tokens: Vec<(String, String)>,
    sources: Vec<(String, String)>,
}

impl ChatTemplate {
    /// Reads `chat_template.jinja`, or the templates in `tokenizer_config.json`; `None` when there is none.
    pub fn load(folder: &Path) -> Result<Option<Self>, EngineError> {
        let file = folder.join("chat_template.jinja");
        let sources = if file.is_file() {
            let source = std::fs::read_to_string(&file).map_err(failed)?;
            vec![(DEFAULT_TEMPLATE.to_owned(), source)]
        } else {
            let settings = files::read_json(folder, "tokenizer_config.json")?.unwrap_or_default();
            named_sources(&settings["chat_template"])
        };
        if sources.is_empty() {
            return Ok(None);
        }
        Self::new(sources, files::template_tokens(folder)?).map(Some)
    }

    /// One template, and the control tokens it may ask for by name (`bos_token`, `eos_token`).
    pub fn from_source(source: &str, tokens: Vec<(String, String)>) -> Result<Self, EngineError> {
        Self::new(vec![(DEFAULT_TEMPLATE.to_owned(), source.to_owned())], tokens)
    }

    fn new(
        sources: Vec<(String, String)>,
        tokens: Vec<(String, String)>,
    ) -> Result<Self, EngineError> {
        let mut environment = environment().map_err(failed)?;
        for (name, source) in &sources {
            let source = without_generation_marks(source);
            environment.add_template_owned(name.clone(), source).map_err(failed)?;
        }
        Ok(Self { environment, tokens, sources })
    }

    /// The program that a request runs.
    pub fn source(&self, has_tools: bool) -> &str {
        let name = self.name(has_tools);
        self.sources.iter().find(|(known, _)| known == name).map_or("", |(_, source)| source)
    }

    /// Writes the conversation; a template that refuses it is the caller's mistake.
    pub fn render(
        &self,
        request: &ChatRequest<'_>,
        vocabulary: &Vocabulary,
    ) -> Result<ChatPrompt, EngineError> {
        let has_tools = !request.tools.is_empty();
        let controls = vocabulary.controls();
        let takes_parts = iterates_over_content(self.source(has_tools));
        let messages = request
            .messages
            .iter()
            .map(|message| marked(&as_templates_expect(message, takes_parts), controls))
            .collect();
        let tools = request.tools.iter().map(|tool| marked(tool, controls)).collect();

        let mut variables = Map::new();
        for (name, text) in &self.tokens {
            variables.insert(name.clone(), Value::String(text.clone()));
        }
        for (name, value) in request.variables {
            variables.insert(name.clone(), marked(value, controls));
        }
        let now = request.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        variables.insert(NOW.to_owned(), now.as_secs().into());
        variables.insert("messages".to_owned(), Value::Array(messages));
        variables
            .insert("tools".to_owned(), if has_tools { Value::Array(tools) } else { Value::Null });
        variables.insert("documents".to_owned(), Value::Null);
        variables.insert("add_generation_prompt".to_owned(), request.adds_generation_prompt.into());

        let template = self.environment.get_template(self.name(has_tools)).map_err(failed)?;
        let rendered = template
            .render(minijinja::value::Serde(&variables))
            .map_err(|error| EngineError::InvalidInput(refusal(&error)))?;
        Ok(ChatPrompt::from_marked(&rendered, controls))
    }

    fn name(&self, has_tools: bool) -> &str {
        let is_there = |name: &str| self.sources.iter().any(|(known, _)| known == name);
        if has_tools && is_there(TOOL_TEMPLATE) {
            TOOL_TEMPLATE
        } else if is_there(DEFAULT_TEMPLATE) {
            DEFAULT_TEMPLATE
        } else {
            self.sources.first().map_or("", |(name, _)| name)
        }
    }
}

/// A template's text, or several as `[{"name": …, "template": …}]`.
fn named_sources(value: &Value) -> Vec<(String, String)> {
    match value {
        Value::String(source) => vec![(DEFAULT_TEMPLATE.to_owned(), source.clone())],
        Value::Array(entries) => entries
            .iter()
            .filter_map(|entry| {
                let text = |name: &str| entry[name].as_str().map(str::to_owned);
                Some((text("name")?, text("template")?))
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Whether a template walks through the parts of a message's content, rather than printing it as text.
fn iterates_over_content(source: &str) -> bool {
    source.split("{%").skip(1).any(|block| {
        let block = block.split("%}").next().unwrap_or_default();
        let mut words =
            block.trim_matches(|letter: char| "+- ".contains(letter)).split_whitespace();
        let is_loop = words.next() == Some("for");
        let over = words.skip_while(|&word| word != "in").nth(1).unwrap_or_default();
        // `message.content`, `message['content']`, or a variable that was set to it.
        let name = over.rsplit(['.', '[']).next().unwrap_or_default();
        is_loop && name.trim_matches(['\'', '"', ']']) == "content"
    })
}

/// Arguments of tool calls as objects, and content of several texts as one text where the template prints it.
fn as_templates_expect(message: &Value, takes_parts: bool) -> Value {
    let mut message = message.clone();
    if let Some(calls) = message.get_mut("tool_calls").and_then(Value::as_array_mut) {
        for call in calls {
            let Some(arguments) = call.pointer_mut("/function/arguments") else { continue };
            let parsed = arguments.as_str().and_then(|text| serde_json::from_str(text).ok());
            if let Some(parsed @ Value::Object(_)) = parsed {
                *arguments = parsed;
            }
        }
    }
    if let Some(content @ Value::Array(_)) = message.get_mut("content").filter(|_| !takes_parts) {
        let texts: Option<Vec<&str>> =
            content.as_array().into_iter().flatten().map(|part| part["text"].as_str()).collect();
        if let Some(texts) = texts {
            *content = Value::String(texts.join("\n"));
        }
    }
    message
}

/// The value with a mark wherever a control token's text is or begins.
fn marked(value: &Value, controls: &ControlTexts) -> Value {
    match value {
        Value::String(text) => Value::String(controls.mark(text)),
        Value::Array(items) => items.iter().map(|item| marked(item, controls)).collect(),
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(key, value)| (controls.mark(key), marked(value, controls)))
                .collect(),
        ),
        other => other.clone(),
    }
}

fn failed(error: impl std::fmt::Display) -> EngineError {
    EngineError::Failed(format!("chat template: {error}"))
}

/// What a template says when it gives up; its place in the program helps nobody.
fn refusal(error: &minijinja::Error) -> String {
    let reason = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    format!("the model's chat template refuses this conversation: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_over_the_content_is_seen_in_every_form() {
        for source in [
            "{% for part in message.content %}",
            "{%- for part in message['content'] -%}",
            "{%- for part in content|list %}{% for item in message[\"content\"] %}",
            "{% for p in content if p.text %}",
        ] {
            assert!(iterates_over_content(source), "{source}");
        }
        for source in [
            "{% if '</think>' in content %}",
            "{% for message in messages %}{{ message.content }}",
            "{% for part in message.contents %}",
        ] {
            assert!(!iterates_over_content(source), "{source}");
        }
    }
}
