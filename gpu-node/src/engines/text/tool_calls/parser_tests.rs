//! Answers of each model family, read whole and in every possible cut.

use super::*;

fn tools() -> Vec<Tool> {
    ["get_weather", "clock"]
        .map(|name| Tool { name: name.to_owned(), parameters: None, is_strict: false })
        .to_vec()
}

/// What is said, and the calls with their whole arguments.
fn read(dialect: ToolDialect, pieces: &[&str]) -> (String, Vec<(String, String)>) {
    let mut parser = ToolCallParser::new(dialect, &tools());
    let mut said = String::new();
    let mut calls: Vec<(String, String)> = Vec::new();
    let mut events: Vec<ToolPiece> = pieces.iter().flat_map(|piece| parser.push(piece)).collect();
    events.extend(parser.finish());
    for event in events {
        match event {
            ToolPiece::Text(text) => said.push_str(&text),
            ToolPiece::Call { index, name } => {
                assert_eq!(index, calls.len());
                calls.push((name, String::new()));
            }
            ToolPiece::Arguments { index, text } => {
                assert_eq!(index + 1, calls.len());
                calls[index].1.push_str(&text);
            }
        }
    }
    assert_eq!(parser.calls(), calls.len());
    (said, calls)
}

const HERMES: ToolDialect = ToolDialect::Hermes;
const LLAMA: ToolDialect = ToolDialect::Llama;
const MISTRAL: ToolDialect = ToolDialect::Mistral;

/// An answer, what is said in it, and the names and arguments of its calls.
type Case = (ToolDialect, &'static str, &'static str, &'static [(&'static str, &'static str)]);

const CASES: &[Case] = &[
    (HERMES, "Just text < with <tool signs.", "Just text < with <tool signs.", &[]),
    (
        HERMES,
        "<tool_call>\n{\"name\": \"clock\", \"arguments\": {\"zone\": \"a}\\\"{é\"}}\n</tool_call>",
        "",
        &[("clock", "{\"zone\": \"a}\\\"{é\"}")],
    ),
    (
        HERMES,
        "Let me see.\n\n<tool_call>\n{\"name\": \"clock\", \"arguments\": {}}\n</tool_call>\n\
         <tool_call>{\"arguments\": {\"city\": \"Rome\", \"l\": [1, {\"a\": []}]}, \"name\": \"get_weather\"}</tool_call>\nDone.",
        "Let me see.Done.",
        &[("clock", "{}"), ("get_weather", "{\"city\": \"Rome\", \"l\": [1, {\"a\": []}]}")],
    ),
    (HERMES, "<tool_call>\nnot json\n</tool_call>", "<tool_call>not json\n</tool_call>", &[]),
    (HERMES, "<tool_call>{\"name\": \"clock\", \"arguments\": {\"zo", "", &[("clock", "{\"zo")]),
    (HERMES, "a <tool_call>{\"na", "a <tool_call>{\"na", &[]),
    (HERMES, "<tool_call>{\"name\": \"clock\"}</tool_call>", "", &[("clock", "{}")]),
    (
        HERMES,
        "<tool_call>{\"name\": \"clock\", \"arguments\": \"{\\\"zone\\\": 1}\"}</tool_call>",
        "",
        &[("clock", "{\"zone\": 1}")],
    ),
    (
        HERMES,
        "<tool_call>{\"name\": \"clock\", \"arguments\": null}</tool_call>",
        "",
        &[("clock", "{}")],
    ),
    (
        LLAMA,
        "{\"name\": \"clock\", \"parameters\": {\"zone\": \"UTC\"}}",
        "",
        &[("clock", "{\"zone\": \"UTC\"}")],
    ),
    (
        LLAMA,
        "<|python_tag|>{\"name\": \"clock\", \"parameters\": {}}; {\"name\": \"get_weather\", \"parameters\": {\"city\": \"Rome\"}}",
        "",
        &[("clock", "{}"), ("get_weather", "{\"city\": \"Rome\"}")],
    ),
    (
        LLAMA,
        "{\"name\": \"Ada\", \"parameters\": {\"age\": 36}}",
        "{\"name\": \"Ada\", \"parameters\": {\"age\": 36}}",
        &[],
    ),
    (LLAMA, "{\"answer\": 42}", "{\"answer\": 42}", &[]),
    (LLAMA, "  Hello {\"name\": \"clock\"}", "  Hello {\"name\": \"clock\"}", &[]),
    (
        MISTRAL,
        "[TOOL_CALLS] [{\"name\": \"clock\", \"arguments\": {\"a\": 1}}, {\"name\": \"get_weather\", \"arguments\": {}}]",
        "",
        &[("clock", "{\"a\": 1}"), ("get_weather", "{}")],
    ),
    (
        MISTRAL,
        "So.[TOOL_CALLS][{\"name\": \"clock\", \"arguments\": {}}]",
        "So.",
        &[("clock", "{}")],
    ),
    (MISTRAL, "a [1, 2] list [TOOL", "a [1, 2] list [TOOL", &[]),
];

#[test]
fn answers_are_read_whatever_their_dialect() {
    for (dialect, answer, said, calls) in CASES {
        let calls: Vec<(String, String)> =
            calls.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
        assert_eq!(read(*dialect, &[answer]), ((*said).to_owned(), calls), "{answer}");
    }
}

#[test]
fn the_reading_does_not_depend_on_the_pieces() {
    for (dialect, answer, ..) in CASES {
        let whole = read(*dialect, &[answer]);
        let letters: Vec<String> = answer.chars().map(String::from).collect();
        for length in [1, 2, 3, 7] {
            let pieces: Vec<String> = letters.chunks(length).map(<[String]>::concat).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            assert_eq!(read(*dialect, &pieces), whole, "{answer} in pieces of {length}");
        }
    }
}

#[test]
fn the_name_comes_before_the_arguments_and_they_come_as_they_are_written() {
    let mut parser = ToolCallParser::new(HERMES, &tools());
    assert!(parser.push("<tool_call>\n{\"name\": \"clo").is_empty());
    assert_eq!(parser.push("ck\""), [ToolPiece::Call { index: 0, name: "clock".into() }]);
    assert!(parser.push(", \"arguments\": ").is_empty());
    let arguments = |text: &str| [ToolPiece::Arguments { index: 0, text: text.into() }];
    assert_eq!(parser.push("{\"a\":"), arguments("{\"a\":"));
    assert_eq!(parser.push(" 1}"), arguments(" 1}"));
    assert!(parser.push("}\n</tool_call>").is_empty());
    assert!(parser.finish().is_empty());
}

#[test]
fn a_call_without_arguments_is_given_empty_ones() {
    for answer in [
        "<tool_call>\n{\"name\": \"clock\"}\n</tool_call>",
        "<tool_call>\n{\"name\": \"clock\", \"arguments\": {}}\n</tool_call>",
    ] {
        let calls = vec![("clock".to_owned(), "{}".to_owned())];
        assert_eq!(read(HERMES, &[answer]), (String::new(), calls), "{answer}");
    }
}

#[test]
fn text_is_held_back_only_while_it_may_be_a_call() {
    let mut parser = ToolCallParser::new(HERMES, &tools());
    assert_eq!(parser.push("one <tool"), [ToolPiece::Text("one".into())]);
    assert_eq!(parser.push("s> two"), [ToolPiece::Text(" <tools> two".into())]);
    assert_eq!(parser.push("\n"), []);
    assert_eq!(parser.push("x"), [ToolPiece::Text("\nx".into())]);
}

#[test]
fn dialects_are_known_by_their_templates() {
    for (source, expected) in [
        ("{{ tools }}<tool_call>", Some(HERMES)),
        ("{% if tools %}[TOOL_CALLS]", Some(MISTRAL)),
        ("{% if tools %}\"parameters\": ", Some(LLAMA)),
        ("{{ messages }}", None),
        ("{{ tools }}", None),
    ] {
        assert_eq!(ToolDialect::of_template(source), expected, "{source}");
    }
}
