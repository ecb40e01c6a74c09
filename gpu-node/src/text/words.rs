//! The language of a model that this node runs: its vocabulary, its chat template and how it writes tool calls.

use std::{sync::Arc, time::SystemTime};

use serde_json::{Value, json};
use shared::node::text::{ChatMessage, Role};
use tokenizers::Tokenizer;

use super::{
    language::{AnswerPart, ChatTokens, Language, LanguageError, ReadAnswer, Tokenize},
    order::{ChatOrder, Tool, ToolChoice},
    thoughts::{Spoken, ThoughtReader, mark_where},
};
use crate::{
    engines::{
        EngineError,
        text::{
            request::Constraint,
            tool_calls::{
                self, ToolCallParser, ToolDialect, ToolPiece, ToolRules, tool_constraint,
            },
            vocabulary::ChatRequest,
        },
    },
    registry::Words,
};

/// What a model's own files say of its language.
pub struct ModelLanguage {
    words: Arc<Words>,
    context_tokens: usize,
}

impl ModelLanguage {
    /// `context_tokens` bounds what the model was made for.
    pub fn new(words: Arc<Words>, context_tokens: Option<usize>) -> Self {
        let own = words.context_tokens;
        let context_tokens = context_tokens.map_or(own, |wanted| wanted.min(own));
        Self { words, context_tokens }
    }

    fn dialect(&self) -> Option<ToolDialect> {
        let template = self.words.template.as_ref()?;
        ToolDialect::of_template(template.source(true))
    }
}

impl Tokenize for ModelLanguage {
    fn context_tokens(&self) -> usize {
        self.context_tokens
    }

    fn vocab_size(&self) -> usize {
        self.words.vocab_size
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, LanguageError> {
        self.words.vocabulary.encode_document(text).map_err(explain)
    }
}

impl Language for ModelLanguage {
    fn end_tokens(&self) -> Vec<u32> {
        self.words.vocabulary.end_tokens().to_vec()
    }

    fn decode(&self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> =
            tokens.iter().flat_map(|token| self.words.vocabulary.bytes(*token)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn template_reads(&self, variable: &str) -> bool {
        let sources = self
            .words
            .template
            .as_ref()
            .map(|template| [true, false].map(|has_tools| template.source(has_tools)));
        sources.into_iter().flatten().any(|source| names(source, variable))
    }

    fn end_of_thought(&self) -> Result<Vec<u32>, LanguageError> {
        let vocabulary = &self.words.vocabulary;
        let Some((_, close)) = mark_where(|open| {
            self.words
                .template
                .as_ref()
                .is_some_and(|template| template.source(false).contains(open))
        }) else {
            return Ok(Vec::new());
        };
        let mut tokens = match vocabulary.token(close) {
            Some(token) => vec![token],
            None => vocabulary.encode(close).map_err(explain)?,
        };
        tokens.extend(vocabulary.encode("\n\n").map_err(explain)?);
        Ok(tokens)
    }

    fn encode_chat(&self, order: &ChatOrder) -> Result<ChatTokens, LanguageError> {
        let template = self.words.template.as_ref().ok_or(LanguageError::NoTemplate)?;
        let can_call = order.tool_choice != ToolChoice::None && !order.callable.is_empty();
        if can_call && self.dialect().is_none() {
            return Err(LanguageError::NoTools);
        }
        // OpenAI's newer name for the system; most templates only know the older one.
        let knows_developer = names(template.source(!order.tools.is_empty()), "developer");
        let messages: Vec<Value> = order
            .messages
            .iter()
            .filter_map(|message| {
                let is_developer = message.role == Role::Developer && !knows_developer;
                let role = if is_developer { Role::System } else { message.role };
                serde_json::to_value(ChatMessage { role, ..message.clone() }).ok()
            })
            .collect();
        let tools: Vec<Value> = order.tools.iter().map(describe).collect();
        let request = ChatRequest {
            messages: &messages,
            tools: &tools,
            adds_generation_prompt: true,
            variables: &order.template_values,
            now: SystemTime::now(),
        };
        let prompt = template.render(&request, &self.words.vocabulary).map_err(explain)?;
        let text = prompt.text().trim_end();
        let begins_in_thought = mark_where(|open| text.ends_with(open)).is_some();
        let tokens = self.words.vocabulary.encode_prompt(&prompt).map_err(explain)?;
        Ok(ChatTokens { tokens, begins_in_thought })
    }

    fn constrain(&self, order: &ChatOrder) -> Result<Option<Constraint>, LanguageError> {
        let (tools, dialect) = (callable(order), self.dialect());
        let choice = match order.tool_choice {
            ToolChoice::None => None,
            ToolChoice::Auto => Some(tool_calls::ToolChoice::Auto),
            ToolChoice::Required => Some(tool_calls::ToolChoice::Required),
        };
        let (constraint, blame): (_, fn(String) -> LanguageError) = match (dialect, choice) {
            (Some(dialect), Some(choice)) if !tools.is_empty() => {
                let allows_parallel = order.parallel_tool_calls;
                let rules = ToolRules { dialect, tools: &tools, choice: &choice, allows_parallel };
                let words = &self.words;
                let rule = tool_constraint(&rules, &words.vocabulary, &words.grammars);
                (
                    rule.map_err(|error| blamed(error, LanguageError::BadTools))?,
                    LanguageError::BadTools,
                )
            }
            _ => (order.format.clone(), LanguageError::BadFormat),
        };
        // Compiled here it is at hand when the lane needs it, and no lane waits for a large schema.
        if let Some(constraint) = &constraint {
            self.words.grammars.compile(constraint).map_err(|error| blamed(error, blame))?;
        }
        Ok(constraint)
    }

    fn reader(&self, order: &ChatOrder, begins_in_thought: bool) -> Box<dyn ReadAnswer> {
        let tools = callable(order);
        let can_call = order.tool_choice != ToolChoice::None && !tools.is_empty();
        let mark = mark_where(|open| self.words.vocabulary.token(open).is_some());
        let thoughts =
            mark.map(|(_, close)| ThoughtReader::new(begins_in_thought.then_some(close)));
        let calls =
            self.dialect().filter(|_| can_call).map(|dialect| ToolCallParser::new(dialect, &tools));
        Box::new(Reader { thoughts, calls, allows_parallel: order.parallel_tool_calls })
    }
}

/// The tokenizer of an embedding model: what it puts around a text is part of the text.
pub struct EmbeddingVocabulary {
    tokenizer: Tokenizer,
    context_tokens: usize,
}

impl EmbeddingVocabulary {
    /// Without a bound of the manifest the engine's own holds.
    pub fn new(tokenizer: Tokenizer, context_tokens: Option<usize>) -> Self {
        Self { tokenizer, context_tokens: context_tokens.unwrap_or(usize::MAX) }
    }
}

impl Tokenize for EmbeddingVocabulary {
    fn context_tokens(&self) -> usize {
        self.context_tokens
    }

    fn vocab_size(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, LanguageError> {
        let encoding = self.tokenizer.encode_fast(text, true);
        let encoding = encoding.map_err(|error| LanguageError::Broken(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }
}

/// Whether a template's source names the variable, and not only as a part of another name.
fn names(source: &str, variable: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    source.match_indices(variable).any(|(at, found)| {
        let before = source[..at].chars().next_back();
        let after = source[at + found.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// A tool as chat templates expect it.
fn describe(tool: &Tool) -> Value {
    let open = json!({ "type": "object", "properties": {} });
    let mut function = json!({ "name": tool.name });
    if let Some(description) = &tool.description {
        function["description"] = json!(description);
    }
    function["parameters"] = tool.parameters.clone().unwrap_or(open);
    json!({ "type": "function", "function": function })
}

fn callable(order: &ChatOrder) -> Vec<tool_calls::Tool> {
    let tools = order.tools.iter().filter(|tool| order.callable.contains(&tool.name));
    let convert = |tool: &Tool| tool_calls::Tool {
        name: tool.name.clone(),
        parameters: tool.parameters.clone(),
        is_strict: tool.strict,
    };
    tools.map(convert).collect()
}

fn explain(error: EngineError) -> LanguageError {
    blamed(error, LanguageError::Refused)
}

/// What the caller got wrong is said in the given way.
fn blamed(error: EngineError, blame: impl FnOnce(String) -> LanguageError) -> LanguageError {
    match error {
        EngineError::InvalidInput(text) => blame(text),
        other => LanguageError::Broken(other.to_string()),
    }
}

/// Thoughts first, then text and calls.
struct Reader {
    thoughts: Option<ThoughtReader>,
    calls: Option<ToolCallParser>,
    allows_parallel: bool,
}

impl Reader {
    fn say(&mut self, text: String, parts: &mut Vec<AnswerPart>) {
        match &mut self.calls {
            Some(calls) => {
                let pieces = calls.push(&text);
                self.add(pieces, parts);
            }
            None if text.is_empty() => {}
            None => parts.push(AnswerPart::Content(text)),
        }
    }

    /// Where one call is allowed, what is written after it is not looked at.
    fn add(&self, pieces: Vec<ToolPiece>, parts: &mut Vec<AnswerPart>) {
        for piece in pieces {
            match piece {
                ToolPiece::Text(text) => parts.push(AnswerPart::Content(text)),
                ToolPiece::Call { index, .. } | ToolPiece::Arguments { index, .. }
                    if index > 0 && !self.allows_parallel => {}
                ToolPiece::Call { name, .. } => parts.push(AnswerPart::ToolCall { name }),
                ToolPiece::Arguments { text, .. } => parts.push(AnswerPart::Arguments(text)),
            }
        }
    }
}

impl ReadAnswer for Reader {
    fn read(&mut self, text: &str) -> Vec<AnswerPart> {
        let mut parts = Vec::new();
        let spoken = match &mut self.thoughts {
            Some(thoughts) => thoughts.read(text),
            None => vec![Spoken::Said(text.to_owned())],
        };
        for spoken in spoken {
            match spoken {
                Spoken::Thought(text) => parts.push(AnswerPart::Reasoning(text)),
                Spoken::Said(text) => self.say(text, &mut parts),
            }
        }
        parts
    }

    fn finish(&mut self) -> Vec<AnswerPart> {
        let mut parts = Vec::new();
        match self.thoughts.as_mut().and_then(ThoughtReader::finish) {
            Some(Spoken::Thought(text)) => parts.push(AnswerPart::Reasoning(text)),
            Some(Spoken::Said(text)) => self.say(text, &mut parts),
            None => {}
        }
        if let Some(calls) = &mut self.calls {
            let pieces = calls.finish();
            self.add(pieces, &mut parts);
        }
        parts
    }
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
