//! What a JSON schema must be before it is compiled, and how its answers are written.

use llguidance::JsonCompileOptions;
use serde_json::Value;

use crate::engines::EngineError;

/// Largest schema in bytes of JSON.
const MAX_SCHEMA_BYTES: usize = 256 * 1024;
/// Deepest nesting of objects and arrays in a schema.
const MAX_SCHEMA_DEPTH: usize = 100;
/// Between two parts of an answer: a space, or a line break and its indent. Bounded, or a model could write spaces
/// until its tokens run out.
const WHITESPACE: &str = r" |\r?\n[ \t]{0,40}";

/// The schema with our own options: those in the request would switch checks off.
pub(in crate::engines::text) fn prepare(schema: &Value) -> Result<Value, EngineError> {
    let Value::Object(_) = schema else {
        return Err(EngineError::InvalidInput("the JSON schema must be an object".into()));
    };
    if depth_exceeds(schema, MAX_SCHEMA_DEPTH) {
        return Err(EngineError::InvalidInput(format!(
            "the JSON schema is nested deeper than {MAX_SCHEMA_DEPTH} levels"
        )));
    }
    if schema.to_string().len() > MAX_SCHEMA_BYTES {
        return Err(EngineError::InvalidInput(format!(
            "the JSON schema is larger than {MAX_SCHEMA_BYTES} bytes"
        )));
    }
    let options = JsonCompileOptions {
        whitespace_pattern: Some(WHITESPACE.to_owned()),
        ..JsonCompileOptions::default()
    };
    let mut schema = schema.clone();
    options.apply_to(&mut schema);
    Ok(schema)
}

fn depth_exceeds(value: &Value, levels: usize) -> bool {
    let Some(levels) = levels.checked_sub(1) else { return true };
    match value {
        Value::Array(items) => items.iter().any(|item| depth_exceeds(item, levels)),
        Value::Object(members) => members.values().any(|member| depth_exceeds(member, levels)),
        _ => false,
    }
}
