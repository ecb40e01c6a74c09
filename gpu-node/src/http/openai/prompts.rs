//! Prompts and inputs as completions and embeddings take them: a text, tokens, or several of either.

use super::fields::{Fields, Item};
use crate::text::Prompt;

/// Reads one or up to `max` of them.
pub(super) fn read_prompts(fields: &mut Fields<'_, '_>, name: &str, max: usize) -> Vec<Prompt> {
    fields.require(name);
    let Some(mut item) = fields.item(name) else { return Vec::new() };
    let prompts = match item.value.as_array() {
        None => item.text().map(|text| vec![Prompt::Text(text.to_owned())]).unwrap_or_default(),
        Some(list) if list.first().is_some_and(serde_json::Value::is_number) => {
            vec![Prompt::Tokens(item.tokens())]
        }
        Some(_) => item.each(read_prompt),
    };
    if item.value.as_array().is_some_and(Vec::is_empty) {
        item.reject("empty", "must not be empty");
    }
    if prompts.len() > max {
        item.reject("too_long", format!("must have at most {max} entries"));
    }
    prompts
}

fn read_prompt(item: &mut Item<'_, '_>) -> Option<Prompt> {
    if item.value.is_array() {
        return Some(Prompt::Tokens(item.tokens()));
    }
    item.text().map(|text| Prompt::Text(text.to_owned()))
}
