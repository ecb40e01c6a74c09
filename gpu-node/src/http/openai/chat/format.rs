//! What an answer must look like.

use serde_json::Value;

use super::{
    strict_schema::check_strict,
    tools::{NAME_RULE, is_name},
};
use crate::{engines::text::request::Constraint, http::openai::fields::Fields};

const KINDS: &[&str] = &["text", "json_object", "json_schema", "regex", "grammar"];

/// Reads `response_format`; `None` leaves the answer free.
pub(super) fn read_format(fields: &mut Fields<'_, '_>) -> Option<Constraint> {
    fields.object("response_format", read_kind).flatten()
}

fn read_kind(fields: &mut Fields<'_, '_>) -> Option<Constraint> {
    fields.require("type");
    let kind = fields.word("type", KINDS, "")?;
    for (field, owner) in
        [("json_schema", "json_schema"), ("pattern", "regex"), ("grammar", "grammar")]
    {
        if kind != owner && fields.has(field) {
            fields.reject(field, "conflict", format!("is only allowed with the type {owner}"));
        }
    }
    match kind {
        "json_object" => Some(Constraint::JsonObject),
        "regex" => Some(Constraint::Regex(fields.text("pattern"))),
        "grammar" => Some(Constraint::Lark(fields.text("grammar"))),
        "json_schema" => {
            fields.require("json_schema");
            fields.object("json_schema", read_schema)
        }
        _ => None,
    }
}

fn read_schema(fields: &mut Fields<'_, '_>) -> Constraint {
    let name = fields.text("name");
    if fields.has("name") && !is_name(&name) {
        fields.reject("name", "format", NAME_RULE);
    }
    let is_strict = fields.flag("strict").unwrap_or(false);
    let Some(mut item) = fields.item("schema") else { return Constraint::JsonObject };
    if !matches!(item.value, Value::Object(_) | Value::Bool(_)) {
        item.reject("type", "must be a JSON schema");
    } else if is_strict && let Err(reason) = check_strict(item.value) {
        item.reject("schema", format!("is not a strict schema: {reason}"));
    }
    Constraint::JsonSchema(item.value.clone())
}
