//! An edit's form as the JSON body that says the same: files become base64, numbers and flags get their types back.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Number, Value};
use shared::errors::FieldError;

use crate::{
    error::{Error, Result},
    http::form::FormPart,
};

const NUMBERS: &[&str] =
    &["guidance", "n", "output_compression", "partial_images", "seed", "steps", "strength"];
const FLAGS: &[&str] = &["metadata", "stream"];
/// Read by nobody, so that what is in them does not matter.
const FILES: &[&str] = &["markup", "mask"];

/// The body that the form stands for.
pub(super) fn body_of(parts: Vec<FormPart>) -> Result<Value> {
    let (mut body, mut pictures, mut errors) = (Map::new(), Vec::new(), Vec::new());
    for FormPart { name, content, .. } in parts {
        if is_picture(&name) {
            pictures.push(Value::String(STANDARD.encode(&content)));
            continue;
        }
        let mut reject = |code: &str, detail: &str| {
            let name = name.replace('~', "~0").replace('/', "~1");
            let (pointer, code) = (format!("/{name}"), code.to_owned());
            errors.push(FieldError { pointer, code, detail: detail.to_owned() });
        };
        let value = match std::str::from_utf8(&content) {
            _ if FILES.contains(&name.as_str()) => Value::String(String::new()),
            Ok(text) => typed(&name, text),
            Err(_) => {
                reject("type", "must be a text in UTF-8");
                continue;
            }
        };
        if body.contains_key(&name) {
            reject("duplicate", "is given twice");
            continue;
        }
        body.insert(name, value);
    }
    if !errors.is_empty() {
        return Err(Error::InvalidFields(errors));
    }
    if !pictures.is_empty() {
        body.insert("image".to_owned(), Value::Array(pictures));
    }
    Ok(Value::Object(body))
}

/// `image`, and as clients write lists `image[]` and `image[0]`.
fn is_picture(name: &str) -> bool {
    let Some(index) = name.strip_prefix("image") else { return false };
    let inner = index.strip_prefix('[').and_then(|index| index.strip_suffix(']'));
    index.is_empty() || inner.is_some_and(|index| index.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What is no number or flag stays a text, for the reader of the body to refuse.
fn typed(name: &str, text: &str) -> Value {
    let number = || text.trim().parse::<Number>().ok().map(Value::Number);
    let typed = match text.trim() {
        _ if NUMBERS.contains(&name) => number(),
        "true" | "True" if FLAGS.contains(&name) => Some(Value::Bool(true)),
        "false" | "False" if FLAGS.contains(&name) => Some(Value::Bool(false)),
        _ => None,
    };
    typed.unwrap_or_else(|| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(parts: &[(&str, &[u8])]) -> Result<Value> {
        let part = |(name, content): &(&str, &[u8])| FormPart {
            name: (*name).to_owned(),
            file_name: None,
            content_type: None,
            content: content.to_vec().into(),
        };
        body_of(parts.iter().map(part).collect())
    }

    #[test]
    fn a_form_says_what_a_json_body_would() {
        let found = body(&[
            ("image[]", b"abc"),
            ("prompt", b"a fish\r\nin the sea"),
            ("n", b"2"),
            ("guidance", b"2.5"),
            ("stream", b"true"),
            ("image[1]", b"\xff"),
            ("steps", b"many"),
            ("mask", b"\xff"),
        ]);
        let expected = json!({
            "prompt": "a fish\r\nin the sea", "n": 2, "guidance": 2.5, "stream": true, "steps": "many",
            "mask": "", "image": ["YWJj", "/w=="],
        });
        assert_eq!(found.unwrap(), expected);
    }

    #[test]
    fn a_field_that_is_no_text_or_comes_twice_is_named() {
        let Err(Error::InvalidFields(errors)) =
            body(&[("prompt", b"\xff"), ("n", b"1"), ("n", b"2")])
        else {
            panic!("both are wrong");
        };
        let found: Vec<_> = errors.iter().map(|e| (e.pointer.as_str(), e.code.as_str())).collect();
        assert_eq!(found, [("/prompt", "type"), ("/n", "duplicate")]);
    }
}
