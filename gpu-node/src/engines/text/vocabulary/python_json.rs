//! JSON as Python's `json.dumps` writes it: models were trained on its spaces and its numbers.

use std::fmt::Write;

use serde_json::{Number, Value};

/// How `json.dumps` was called.
#[derive(Debug, Clone)]
pub(super) struct Style {
    pub(super) indent: Option<usize>,
    pub(super) item_separator: String,
    pub(super) key_separator: String,
    pub(super) sorts_keys: bool,
    /// Escapes what is not ASCII, except these characters.
    pub(super) escapes_all_but: Option<char>,
}

impl Style {
    /// The separators Python chooses by itself.
    pub(super) fn new(indent: Option<usize>) -> Self {
        let item_separator = if indent.is_some() { "," } else { ", " };
        Self {
            indent,
            item_separator: item_separator.to_owned(),
            key_separator: ": ".to_owned(),
            sorts_keys: false,
            escapes_all_but: None,
        }
    }
}

/// The text of a value.
pub(super) fn dumps(value: &Value, style: &Style) -> String {
    let mut text = String::new();
    write_value(value, style, 0, &mut text);
    text
}

fn write_value(value: &Value, style: &Style, depth: usize, text: &mut String) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Number(value) => write_number(value, text),
        Value::String(value) => write_string(value, style, text),
        Value::Array(items) if items.is_empty() => text.push_str("[]"),
        Value::Object(members) if members.is_empty() => text.push_str("{}"),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                start_item(index, style, depth + 1, text);
                write_value(item, style, depth + 1, text);
            }
            new_line(style, depth, text);
            text.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            if style.sorts_keys {
                members.sort_by_key(|(key, _)| *key);
            }
            text.push('{');
            for (index, (key, value)) in members.into_iter().enumerate() {
                start_item(index, style, depth + 1, text);
                write_string(key, style, text);
                text.push_str(&style.key_separator);
                write_value(value, style, depth + 1, text);
            }
            new_line(style, depth, text);
            text.push('}');
        }
    }
}

fn start_item(index: usize, style: &Style, depth: usize, text: &mut String) {
    if index > 0 {
        text.push_str(&style.item_separator);
    }
    new_line(style, depth, text);
}

fn new_line(style: &Style, depth: usize, text: &mut String) {
    if let Some(indent) = style.indent {
        text.push('\n');
        text.extend(std::iter::repeat_n(' ', indent * depth));
    }
}

/// A float as Python's `repr`: an exponent of two digits, and only below 1e-4 and from 1e16 on.
fn write_number(number: &Number, text: &mut String) {
    let Some(value) = number.as_f64().filter(|_| number.is_f64()) else {
        text.push_str(&number.to_string());
        return;
    };
    let scientific = format!("{value:e}");
    let (digits, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    // Writing to a String cannot fail.
    let _ = if (-4..16).contains(&power) {
        write!(text, "{value:?}")
    } else {
        let sign = if power < 0 { '-' } else { '+' };
        write!(text, "{digits}e{sign}{:02}", power.abs())
    };
}

fn write_string(value: &str, style: &Style, text: &mut String) {
    text.push('"');
    for letter in value.chars() {
        match letter {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            letter if letter < ' ' => write_escape(u32::from(letter), text),
            letter if letter > '~' && style.escapes_all_but.is_some_and(|kept| kept != letter) => {
                let mut units = [0; 2];
                for unit in letter.encode_utf16(&mut units) {
                    write_escape(u32::from(*unit), text);
                }
            }
            letter => text.push(letter),
        }
    }
    text.push('"');
}

fn write_escape(unit: u32, text: &mut String) {
    let _ = write!(text, "\\u{unit:04x}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn spaces_follow_commas_and_colons() {
        let value = json!({"b": [1, 2.5, "é<>&'"], "a": {}, "c": []});
        let expected = r#"{"b": [1, 2.5, "é<>&'"], "a": {}, "c": []}"#;
        assert_eq!(dumps(&value, &Style::new(None)), expected);
    }

    #[test]
    fn an_indent_breaks_lines_as_python_does() {
        let value = json!({"a": [1, {"b": null}], "c": []});
        let expected =
            "{\n  \"a\": [\n    1,\n    {\n      \"b\": null\n    }\n  ],\n  \"c\": []\n}";
        assert_eq!(dumps(&value, &Style::new(Some(2))), expected);
    }

    #[test]
    fn numbers_are_written_as_python_does() {
        for (value, expected) in [
            (json!(1.0), "1.0"),
            (json!(-0.5), "-0.5"),
            (json!(1e-5), "1e-05"),
            (json!(1.5e-7), "1.5e-07"),
            (json!(0.0001), "0.0001"),
            (json!(1e15), "1000000000000000.0"),
            (json!(1e16), "1e+16"),
            (json!(1.25e22), "1.25e+22"),
            (json!(1e100), "1e+100"),
            (json!(123_456_789_012_345_u64), "123456789012345"),
        ] {
            assert_eq!(dumps(&value, &Style::new(None)), expected);
        }
    }

    #[test]
    fn control_characters_and_quotes_are_escaped() {
        let text = dumps(&json!("a\"\\\n\u{1}\u{7f}"), &Style::new(None));
        assert_eq!(text, "\"a\\\"\\\\\\n\\u0001\u{7f}\"");
    }

    #[test]
    fn ascii_style_escapes_all_but_the_mark() {
        let style = Style { escapes_all_but: Some('\u{fdd0}'), ..Style::new(None) };
        assert_eq!(dumps(&json!("é😀\u{fdd0}"), &style), "\"\\u00e9\\ud83d\\ude00\u{fdd0}\"");
    }
}
