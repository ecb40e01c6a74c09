//! Answers that must call tools, written by a model that likes every token alike.

use std::{path::Path, sync::Arc};

use super::*;
use crate::engines::text::{
    grammar::Grammar,
    request::Sampling,
    sampling::Sampler,
    tool_calls::{ToolCallParser, ToolPiece},
    vocabulary::TokenStream,
};

const VOCAB_SIZE: usize = 600;

fn machine(name: &str) -> (Arc<Vocabulary>, GrammarCompiler) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny/vocabulary").join(name);
    let vocabulary = Arc::new(Vocabulary::load(&folder).unwrap());
    let compiler = GrammarCompiler::new(Arc::clone(&vocabulary), VOCAB_SIZE).unwrap();
    (vocabulary, compiler)
}

fn tools() -> Vec<Tool> {
    let weather = json!({
        "type": "object",
        "properties": {"city": {"$ref": "#/$defs/city"}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["city", "days"],
        "additionalProperties": false,
        "$defs": {"city": {"enum": ["Paris", "Rome"]}}
    });
    vec![
        Tool { name: "get_weather".into(), parameters: Some(weather), is_strict: true },
        Tool { name: "clock".into(), parameters: None, is_strict: true },
    ]
}

fn rules<'a>(dialect: ToolDialect, tools: &'a [Tool], choice: &'a ToolChoice) -> ToolRules<'a> {
    ToolRules { dialect, tools, choice, allows_parallel: false }
}

fn written(vocabulary: &Vocabulary, mut grammar: Grammar, seed: u64) -> Option<String> {
    let mut sampler = Sampler::new(&Sampling { seed, ..Sampling::default() }, 0, &[]).unwrap();
    let mut stream = TokenStream::new(vocabulary);
    let mut text = String::new();
    for _ in 0..400 {
        if grammar.is_finished() {
            break;
        }
        let mask = grammar.mask().unwrap();
        let token = sampler.choose(&mut vec![0.0; VOCAB_SIZE], Some(&mask)).unwrap().token;
        grammar.accept(token).unwrap();
        sampler.accept(token);
        if vocabulary.end_tokens().contains(&token) {
            break;
        }
        text.push_str(&stream.push(vocabulary, token));
    }
    grammar.is_accepting().unwrap().then_some(text + &stream.finish())
}

/// Name and arguments of each call, and what is said around them.
fn calls(dialect: ToolDialect, text: &str) -> (String, Vec<(String, Value)>) {
    let mut parser = ToolCallParser::new(dialect, &tools());
    let mut said = String::new();
    let mut found: Vec<(String, String)> = Vec::new();
    for piece in parser.push(text).into_iter().chain(parser.finish()) {
        match piece {
            ToolPiece::Text(text) => said.push_str(&text),
            ToolPiece::Call { name, .. } => found.push((name, String::new())),
            ToolPiece::Arguments { index, text } => found[index].1.push_str(&text),
        }
    }
    let parsed = |(name, text): (String, String)| (name, serde_json::from_str(&text).unwrap());
    (said, found.into_iter().map(parsed).collect())
}

fn check(name: &str, arguments: &Value) {
    match name {
        "get_weather" => {
            assert!(["Paris", "Rome"].contains(&arguments["city"].as_str().unwrap()));
            assert!((1..=9).contains(&arguments["days"].as_i64().unwrap()));
            assert_eq!(arguments.as_object().unwrap().len(), 2);
        }
        "clock" => assert_eq!(*arguments, json!({})),
        other => panic!("{other}"),
    }
}

const DIALECTS: [(ToolDialect, &str); 3] = [
    (ToolDialect::Hermes, "byte-level"),
    (ToolDialect::Llama, "byte-level"),
    (ToolDialect::Mistral, "byte-fallback"),
];

#[test]
fn a_required_call_is_made_with_valid_arguments() {
    for (dialect, name) in DIALECTS {
        let (vocabulary, compiler) = machine(name);
        for choice in [ToolChoice::Required, ToolChoice::Named("get_weather".into())] {
            let tools = tools();
            let constraint =
                tool_constraint(&rules(dialect, &tools, &choice), &vocabulary, &compiler)
                    .unwrap()
                    .unwrap();
            let mut names = Vec::new();
            for seed in 0..8 {
                let grammar = compiler.compile(&constraint).unwrap();
                let text = written(&vocabulary, grammar, seed).unwrap();
                let (said, calls) = calls(dialect, &text);
                assert_eq!((said.as_str(), calls.len()), ("", 1), "{dialect:?}: {text:?}");
                check(&calls[0].0, &calls[0].1);
                names.push(calls[0].0.clone());
            }
            let is_one = names.iter().all(|name| name == "get_weather");
            assert_eq!(is_one, choice != ToolChoice::Required, "{dialect:?}: {names:?}");
        }
    }
}

#[test]
fn several_calls_are_allowed_where_asked_for() {
    for (dialect, name) in DIALECTS {
        let (vocabulary, compiler) = machine(name);
        let tools = tools();
        let rules =
            ToolRules { allows_parallel: true, ..rules(dialect, &tools, &ToolChoice::Required) };
        let constraint = tool_constraint(&rules, &vocabulary, &compiler).unwrap().unwrap();
        let most = (0..12)
            .filter_map(|seed| written(&vocabulary, compiler.compile(&constraint).unwrap(), seed))
            .map(|text| {
                let (said, calls) = calls(dialect, &text);
                assert_eq!(said, "", "{dialect:?}: {text:?}");
                calls.iter().for_each(|(name, arguments)| check(name, arguments));
                calls.len()
            })
            .max();
        assert!(most.is_some_and(|most| most > 1), "{dialect:?}: {most:?}");
    }
}

fn follows(vocabulary: &Vocabulary, mut grammar: Grammar, text: &str) -> bool {
    let tokens = vocabulary.encode(text).unwrap();
    let count = grammar.validate(&tokens).unwrap();
    if count < tokens.len() {
        return false;
    }
    tokens.iter().for_each(|&token| grammar.accept(token).unwrap());
    grammar.is_accepting().unwrap()
}

#[test]
fn a_free_answer_may_be_said_or_called_but_not_wrongly_called() {
    let (vocabulary, compiler) = machine("byte-level");
    let tools = tools();
    let auto = ToolChoice::Auto;
    let constraint = |dialect| {
        let constraint = tool_constraint(&rules(dialect, &tools, &auto), &vocabulary, &compiler);
        compiler.compile(&constraint.unwrap().unwrap()).unwrap()
    };
    let hermes = constraint(ToolDialect::Hermes);
    let call = |arguments: &str| {
        format!(
            "<tool_call>\n{{\"name\": \"get_weather\", \"arguments\": {arguments}}}\n</tool_call>"
        )
    };
    let valid = call(r#"{"city": "Rome", "days": 3}"#);
    for (text, is_valid) in [
        ("It is <b>fine</b>, 1 < 2.\n".to_owned(), true),
        (String::new(), true),
        (valid.clone(), true),
        (format!("Let me look.\n{valid}"), true),
        (call(r#"{"city": "Oslo", "days": 3}"#), false),
        (call(r#"{"city": "Rome"}"#), false),
        ("Well <tool_call> no".to_owned(), false),
        ("Well <tool_call>".to_owned(), false),
    ] {
        assert_eq!(follows(&vocabulary, hermes.fork(), &text), is_valid, "{text:?}");
    }
    let llama = constraint(ToolDialect::Llama);
    for (text, is_valid) in [
        ("It is fine.", true),
        (r#"{"name": "get_weather", "parameters": {"city": "Rome", "days": 3}}"#, true),
        (r#"{"name": "get_weather", "parameters": {"city": "Rome", "days": 30}}"#, false),
        (r#"{"name": "unknown", "parameters": {}}"#, false),
    ] {
        assert_eq!(follows(&vocabulary, llama.fork(), text), is_valid, "{text:?}");
    }
}

#[test]
fn without_strict_tools_a_free_answer_is_free() {
    let (vocabulary, compiler) = machine("byte-level");
    let mut tools = tools();
    let none = rules(ToolDialect::Hermes, &tools, &ToolChoice::None);
    assert_eq!(tool_constraint(&none, &vocabulary, &compiler).unwrap(), None);
    tools.iter_mut().for_each(|tool| tool.is_strict = false);
    let auto = rules(ToolDialect::Hermes, &tools, &ToolChoice::Auto);
    assert_eq!(tool_constraint(&auto, &vocabulary, &compiler).unwrap(), None);
}

#[test]
fn a_schema_that_cannot_be_kept_is_refused_only_where_it_must_be() {
    let (vocabulary, compiler) = machine("byte-level");
    let schema = json!({"type": "object", "properties": {"a": {"not": {}}}});
    let mut tools = vec![Tool { name: "odd".into(), parameters: Some(schema), is_strict: true }];
    let build = |tools: &[Tool]| {
        tool_constraint(
            &rules(ToolDialect::Hermes, tools, &ToolChoice::Required),
            &vocabulary,
            &compiler,
        )
    };
    let error = build(&tools).unwrap_err().to_string();
    assert!(error.contains("odd") && error.contains("not"), "{error}");
    tools[0].is_strict = false;
    let grammar = compiler.compile(&build(&tools).unwrap().unwrap()).unwrap();
    let answer = "<tool_call>\n{\"name\": \"odd\", \"arguments\": {\"b\": 1}}\n</tool_call>";
    assert!(follows(&vocabulary, grammar, answer));
}

#[test]
fn a_tool_that_is_not_there_cannot_be_asked_for() {
    let (vocabulary, compiler) = machine("byte-level");
    let tools = tools();
    let absent = ToolChoice::Named("absent".into());
    let found =
        tool_constraint(&rules(ToolDialect::Hermes, &tools, &absent), &vocabulary, &compiler);
    assert!(matches!(found, Err(EngineError::InvalidInput(_))));
}
