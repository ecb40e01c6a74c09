//! The tokens that a CLIP tokenizer never splits, from the files beside its vocabulary: which of them frame and fill
//! a prompt, and what a prompt that spells one out becomes.

use std::path::Path;

use candle_core::{Error, Result};
use serde_json::{Map, Value};
use tokenizers::{AddedToken, Tokenizer};

pub(super) struct SpecialTokens {
    pub(super) start: AddedToken,
    pub(super) end: AddedToken,
    pub(super) unknown: AddedToken,
    pub(super) padding: AddedToken,
    /// Further ones that the files list by id, in its order.
    listed: Vec<AddedToken>,
}

impl SpecialTokens {
    /// Reads `tokenizer_config.json` and, unless that lists its tokens itself, `special_tokens_map.json`, which then
    /// wins: some repositories name another padding in each.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut values = object(folder, "tokenizer_config.json")?;
        let listed = listed(&values);
        if !values.contains_key("added_tokens_decoder") {
            values.extend(object(folder, "special_tokens_map.json")?);
        }
        let named = |name: &str, fallback: &str| {
            let token = values.get(name).and_then(token);
            let mut token = token.unwrap_or_else(|| AddedToken::from(fallback, true));
            if let Some(listed) = listed.iter().find(|listed| listed.content == token.content) {
                token = listed.clone();
            }
            AddedToken { special: true, ..token }
        };
        Ok(Self {
            start: named("bos_token", "<|startoftext|>"),
            end: named("eos_token", "<|endoftext|>"),
            unknown: named("unk_token", "<|endoftext|>"),
            padding: named("pad_token", "<|endoftext|>"),
            listed,
        })
    }

    /// Makes the tokenizer find them in a prompt, those it does not know already. The order decides between two that
    /// are written alike.
    pub(super) fn add_to(&self, tokenizer: &mut Tokenizer) -> Result<()> {
        let known = tokenizer.get_added_vocabulary().get_vocab().clone();
        let named = [&self.start, &self.end, &self.unknown, &self.padding];
        let tokens = self.listed.iter().chain(named);
        let tokens = tokens.filter(|token| !known.contains_key(&token.content)).cloned();
        let added = tokenizer.add_tokens(tokens.collect::<Vec<_>>());
        added.map(drop).map_err(|error| Error::msg(format!("tokenizer: {error}")))
    }
}

/// The values of a file; none if there is no such file.
fn object(folder: &Path, name: &str) -> Result<Map<String, Value>> {
    let path = folder.join(name);
    if !path.is_file() {
        return Ok(Map::new());
    }
    let malformed =
        |reason: &dyn std::fmt::Display| Error::msg(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(&path).map_err(|error| malformed(&error))?;
    serde_json::from_str(&text).map_err(|error| malformed(&error))
}

/// A token written as a text or as an object.
fn token(value: &Value) -> Option<AddedToken> {
    if let Some(content) = value.as_str() {
        return Some(AddedToken::from(content, true));
    }
    let flag = |name: &str| value.get(name).and_then(Value::as_bool);
    let special = flag("special").unwrap_or(false);
    let token = AddedToken::from(value.get("content")?.as_str()?, special)
        .single_word(flag("single_word").unwrap_or(false))
        .lstrip(flag("lstrip").unwrap_or(false))
        .rstrip(flag("rstrip").unwrap_or(false))
        .normalized(flag("normalized").unwrap_or(!special));
    Some(token)
}

fn listed(values: &Map<String, Value>) -> Vec<AddedToken> {
    let Some(values) = values.get("added_tokens_decoder").and_then(Value::as_object) else {
        return Vec::new();
    };
    let mut listed: Vec<(u32, AddedToken)> =
        values.iter().filter_map(|(id, value)| Some((id.parse().ok()?, token(value)?))).collect();
    listed.sort_by_key(|(id, _)| *id);
    listed.into_iter().map(|(_, token)| token).collect()
}
