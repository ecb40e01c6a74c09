//! What a model's folder says about its tokens beside the tokenizer itself.

use std::path::Path;

use serde_json::Value;
use tokenizers::Tokenizer;

use crate::engines::EngineError;

/// Files that may name the tokens which end an answer; all of them are believed.
const END_TOKEN_FILES: [&str; 2] = ["generation_config.json", "config.json"];

/// Special tokens a chat template may ask for by name.
const TEMPLATE_TOKENS: [&str; 4] = ["bos_token", "eos_token", "unk_token", "pad_token"];

/// A JSON file of the folder; `None` when it is not there.
pub(super) fn read_json(folder: &Path, name: &str) -> Result<Option<Value>, EngineError> {
    let path = folder.join(name);
    if !path.is_file() {
        return Ok(None);
    }
    let failed = |error: &dyn std::fmt::Display| EngineError::Failed(format!("{name}: {error}"));
    let text = std::fs::read_to_string(&path).map_err(|error| failed(&error))?;
    serde_json::from_str(&text).map(Some).map_err(|error| failed(&error))
}

/// The tokens after which a text is over.
pub(super) fn end_tokens(folder: &Path, tokenizer: &Tokenizer) -> Result<Vec<u32>, EngineError> {
    let mut found = Vec::new();
    for file in END_TOKEN_FILES {
        let Some(settings) = read_json(folder, file)? else { continue };
        let ids = &settings["eos_token_id"];
        let ids = ids.as_array().map_or(std::slice::from_ref(ids), Vec::as_slice);
        found.extend(ids.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok()));
    }
    let named = template_tokens(folder)?.into_iter().find(|(name, _)| name == "eos_token");
    found.extend(named.and_then(|(_, text)| tokenizer.token_to_id(&text)));
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The texts of the special tokens that `tokenizer_config.json` or `special_tokens_map.json` names.
pub(super) fn template_tokens(folder: &Path) -> Result<Vec<(String, String)>, EngineError> {
    let mut found: Vec<(String, String)> = Vec::new();
    for file in ["tokenizer_config.json", "special_tokens_map.json"] {
        let Some(settings) = read_json(folder, file)? else { continue };
        for name in TEMPLATE_TOKENS {
            let value = &settings[name];
            let text = value.as_str().or_else(|| value["content"].as_str());
            if let Some(text) = text.filter(|_| found.iter().all(|(known, _)| known != name)) {
                found.push((name.to_owned(), text.to_owned()));
            }
        }
    }
    Ok(found)
}
