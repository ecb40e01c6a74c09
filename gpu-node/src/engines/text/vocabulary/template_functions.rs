//! What Hugging Face's chat templates may call beyond Jinja itself.

use std::time::SystemTime;

use minijinja::{Environment, Error, ErrorKind, State, Value, syntax::SyntaxConfig, value::Kwargs};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::{prompt::MARK, python_json, strftime::strftime};

/// The name under which a request's time is among a template's variables.
pub(super) const NOW: &str = "__now";

/// Jinja as chat templates expect it: blocks eat their line, nothing is escaped, Python's methods work.
pub(super) fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.add_filter("tojson", to_json);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    Ok(environment)
}

/// Replaces `{% generation %}`, which only training reads, by a block that changes nothing.
pub(super) fn without_generation_marks(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let (before, block) = rest.split_at(start);
        let (block, after) = block.split_at(length + 2);
        let inner = &block[2..length];
        let name =
            inner.trim_matches(|letter: char| letter.is_whitespace() || "+-".contains(letter));
        text.push_str(before);
        match name {
            "generation" => text.push_str(&block.replace("generation", "if true")),
            "endgeneration" => text.push_str(&block.replace("endgeneration", "endif")),
            _ => text.push_str(block),
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

fn to_json(value: &Value, indent: Option<usize>, options: Kwargs) -> Result<Value, Error> {
    let invalid =
        |error: serde_json::Error| Error::new(ErrorKind::InvalidOperation, error.to_string());
    let indent = match indent {
        Some(indent) => Some(indent),
        None => options.get::<Option<usize>>("indent")?,
    };
    let mut style = python_json::Style::new(indent);
    if let Some([item, key]) = options.get::<Option<Vec<String>>>("separators")?.as_deref() {
        (style.item_separator, style.key_separator) = (item.clone(), key.clone());
    }
    style.sorts_keys = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    if options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false) {
        style.escapes_all_but = Some(MARK);
    }
    options.assert_all_used()?;
    let value = serde_json::to_value(value).map_err(invalid)?;
    Ok(Value::from(python_json::dumps(&value, &style)))
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

fn strftime_now(state: &State, format: String) -> Result<Value, Error> {
    let seconds = state
        .lookup(NOW)
        .and_then(|now| u64::try_from(now).ok())
        .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "the time is not known"))?;
    let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    strftime(time, &format).map(Value::from).ok_or_else(|| {
        Error::new(ErrorKind::InvalidOperation, format!("{format:?} is no date format"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_marks_vanish() {
        let source = "{%- generation -%}a{% endgeneration %}{{ 'generation' }}{% if x %}b{%- endif %}{% open";
        let expected =
            "{%- if true -%}a{% endif %}{{ 'generation' }}{% if x %}b{%- endif %}{% open";
        assert_eq!(without_generation_marks(source), expected);
    }
}
