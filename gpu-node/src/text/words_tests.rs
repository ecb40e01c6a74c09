//! A real vocabulary and a real chat template, without a model.

use std::{path::Path, sync::Arc};

use serde_json::{Map, json};
use shared::node::text::{ChatMessage, FunctionCall, Role, ToolCall};

use super::*;
use crate::{
    engines::text::{
        grammar::GrammarCompiler,
        vocabulary::{ChatTemplate, Vocabulary},
    },
    registry::TextDefaults,
    text::{Generation, SamplingWishes, prepare_chat},
};

fn words(template: Option<&str>) -> Words {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny/vocabulary");
    let vocabulary = Arc::new(Vocabulary::load(&tiny.join("byte-level")).unwrap());
    let vocab_size = vocabulary.len();
    let source = |name| std::fs::read_to_string(tiny.join("templates").join(name)).unwrap();
    let template =
        template.map(|name| ChatTemplate::from_source(&source(name), Vec::new()).unwrap());
    let grammars = Arc::new(GrammarCompiler::new(vocabulary.clone(), vocab_size).unwrap());
    Words { vocabulary, template, grammars, vocab_size, context_tokens: 1000 }
}

fn language(template: Option<&str>) -> ModelLanguage {
    ModelLanguage::new(Arc::new(words(template)), Some(500))
}

fn order(messages: Vec<ChatMessage>) -> ChatOrder {
    let tool = |name: &str| Tool {
        name: name.to_owned(),
        description: None,
        parameters: Some(json!({ "type": "object", "properties": {} })),
        strict: false,
    };
    ChatOrder {
        model: "m".to_owned(),
        messages,
        tools: vec![tool("time"), tool("weather")],
        tool_choice: ToolChoice::Auto,
        callable: vec!["time".to_owned(), "weather".to_owned()],
        parallel_tool_calls: true,
        format: None,
        reasoning_effort: None,
        template_values: Map::new(),
        generation: Generation {
            choices: 1,
            max_tokens: None,
            seed: None,
            sampling: SamplingWishes::default(),
            stop: Vec::new(),
        },
    }
}

fn ask() -> ChatOrder {
    order(vec![ChatMessage::new(Role::User, "What time is it?")])
}

fn read(language: &ModelLanguage, order: &ChatOrder, text: &str) -> Vec<AnswerPart> {
    let mut reader = language.reader(order, false);
    let letters: Vec<char> = text.chars().collect();
    let mut parts: Vec<AnswerPart> =
        letters.chunks(3).flat_map(|part| reader.read(&part.iter().collect::<String>())).collect();
    parts.extend(reader.finish());
    parts
}

fn joined(parts: Vec<AnswerPart>) -> [String; 4] {
    let mut found = [const { String::new() }; 4];
    for part in parts {
        match part {
            AnswerPart::Reasoning(text) => found[0].push_str(&text),
            AnswerPart::Content(text) => found[1].push_str(&text),
            AnswerPart::ToolCall { name } => found[2].push_str(&format!("{name};")),
            AnswerPart::Arguments(text) => found[3].push_str(&text),
        }
    }
    found
}

const ANSWER: &str = "<think>\nhm\n</think>\n\nLet me see.\n<tool_call>\n{\"name\": \"time\", \"arguments\": {\"in\": 1}}\n</tool_call>\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {}}\n</tool_call>";

#[test]
fn thoughts_text_and_calls_of_an_answer_are_told_apart() {
    let language = language(Some("chatml_tools.jinja"));
    let [thought, content, names, arguments] = joined(read(&language, &ask(), ANSWER));
    assert_eq!((thought.trim(), content.trim()), ("hm", "Let me see."));
    assert_eq!((names.as_str(), arguments.as_str()), ("time;weather;", "{\"in\": 1}{}"));
}

#[test]
fn where_one_call_is_allowed_the_others_are_dropped() {
    let language = language(Some("chatml_tools.jinja"));
    let order = ChatOrder { parallel_tool_calls: false, ..ask() };
    let [_, _, names, arguments] = joined(read(&language, &order, ANSWER));
    assert_eq!((names.as_str(), arguments.as_str()), ("time;", "{\"in\": 1}"));
}

#[test]
fn a_call_is_text_where_no_tool_may_be_called() {
    let language = language(Some("chatml_tools.jinja"));
    let order = ChatOrder { tool_choice: ToolChoice::None, callable: Vec::new(), ..ask() };
    let [_, content, names, _] = joined(read(&language, &order, ANSWER));
    assert!(content.contains("<tool_call>") && names.is_empty());
}

#[test]
fn a_conversation_is_written_with_its_calls_and_their_answers() {
    let language = language(Some("chatml_tools.jinja"));
    let call = ToolCall {
        id: "call_1".to_owned(),
        r#type: "function".to_owned(),
        function: FunctionCall { name: "time".to_owned(), arguments: "{\"in\":1}".to_owned() },
    };
    let order = order(vec![
        ChatMessage::new(Role::Developer, "Be brief."),
        ChatMessage::new(Role::User, "What time is it?"),
        ChatMessage {
            content: None,
            tool_calls: vec![call],
            ..ChatMessage::new(Role::Assistant, "")
        },
        ChatMessage {
            tool_call_id: Some("call_1".to_owned()),
            ..ChatMessage::new(Role::Tool, "Noon.")
        },
    ]);
    let ChatTokens { tokens, begins_in_thought } = language.encode_chat(&order).unwrap();
    let text = language.decode(&tokens);
    for part in ["Be brief.", "\"time\"", "Noon.", "assistant\n"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(!text.contains("developer"), "a template that does not know it gets a system's turn");
    assert!(!begins_in_thought);
}

#[test]
fn a_model_without_a_template_or_without_tools_says_so() {
    let bare = language(None);
    assert_eq!(bare.encode_chat(&ask()), Err(LanguageError::NoTemplate));
    assert_eq!((bare.context_tokens(), bare.encode("a").unwrap().len()), (500, 1));
    let source = "{% for m in messages %}{{ m.content }}{% endfor %}";
    let words = Words {
        template: Some(ChatTemplate::from_source(source, Vec::new()).unwrap()),
        ..words(None)
    };
    let plain = ModelLanguage::new(Arc::new(words), None);
    assert_eq!(plain.encode_chat(&ask()), Err(LanguageError::NoTools));
    let order = ChatOrder { tool_choice: ToolChoice::None, callable: Vec::new(), ..ask() };
    assert_eq!(plain.decode(&plain.encode_chat(&order).unwrap().tokens), "What time is it?");
}

#[test]
fn a_demanded_call_is_bound_by_a_grammar_and_a_free_one_is_not() {
    let language = language(Some("chatml_tools.jinja"));
    assert_eq!(language.constrain(&ask()), Ok(None));
    let order = ChatOrder {
        tool_choice: ToolChoice::Required,
        callable: vec!["weather".to_owned()],
        ..ask()
    };
    let Ok(Some(Constraint::Lark(grammar))) = language.constrain(&order) else {
        panic!("a call must be bound");
    };
    assert!(grammar.contains("weather") && !grammar.contains("time"), "{grammar}");
    let order =
        ChatOrder { tool_choice: ToolChoice::None, format: Some(Constraint::JsonObject), ..ask() };
    assert_eq!(language.constrain(&order), Ok(Some(Constraint::JsonObject)));
}

#[test]
fn a_format_that_no_answer_could_follow_is_refused_before_the_lane_sees_it() {
    let language = language(Some("chatml_tools.jinja"));
    let order = |format| ChatOrder { tools: Vec::new(), format: Some(format), ..ask() };
    for format in [
        Constraint::JsonSchema(json!({ "type": "circle" })),
        Constraint::Regex("a(b".to_owned()),
        Constraint::Lark("start: fish".to_owned()),
    ] {
        let error = language.constrain(&order(format.clone())).unwrap_err();
        assert!(matches!(error, LanguageError::BadFormat(_)), "{format:?}: {error:?}");
    }
    let schema = Constraint::JsonSchema(json!({ "type": "object" }));
    assert_eq!(language.constrain(&order(schema.clone())), Ok(Some(schema)));
}

#[test]
fn an_answer_with_a_form_begins_after_the_thought_that_the_template_opened() {
    let source = "{{ messages[0].content }}<think>";
    let words = Words {
        template: Some(ChatTemplate::from_source(source, Vec::new()).unwrap()),
        ..words(None)
    };
    let language = ModelLanguage::new(Arc::new(words), None);
    let defaults: TextDefaults = toml::from_str("").unwrap();
    let free = ChatOrder { tools: Vec::new(), callable: Vec::new(), ..ask() };
    let formed = ChatOrder { format: Some(Constraint::JsonObject), ..free.clone() };
    let text = |order: &ChatOrder| {
        let mut prepared = prepare_chat(&language, &defaults, order.clone()).unwrap();
        let said = prepared.readers[0].as_mut().unwrap().read("{} ");
        (language.decode(&prepared.input.prompt), said)
    };
    let thought = vec![AnswerPart::Reasoning("{} ".to_owned())];
    assert_eq!(text(&free), ("What time is it?<think>".to_owned(), thought));
    let (prompt, said) = text(&formed);
    assert_eq!(prompt, "What time is it?<think></think>\n\n");
    assert!(matches!(&said[..], [AnswerPart::Content(text)] if text.starts_with("{}")), "{said:?}");
}

#[test]
fn a_variable_counts_as_read_only_by_its_whole_name() {
    assert!(names("{% if enable_thinking %}", "enable_thinking"));
    assert!(!names("{% if enable_thinking_hard %}", "enable_thinking"));
    assert!(!names("{{ not_enable_thinking }}", "enable_thinking"));
}
