//! OpenAI's own demands on a schema with `strict: true`, checked so that what runs here also runs there.

use serde_json::{Map, Value};

const DEPTH_MAX: usize = 10;
const PROPERTIES_MAX: usize = 5_000;
const UNSUPPORTED: &[&str] = &[
    "allOf",
    "not",
    "dependentRequired",
    "dependentSchemas",
    "if",
    "then",
    "else",
    "patternProperties",
    "unevaluatedProperties",
];

/// Says the first thing that keeps the schema from being strict, and where.
pub(super) fn check_strict(schema: &Value) -> Result<(), String> {
    let Some(root) = schema.as_object() else {
        return Err("it must be an object".to_owned());
    };
    if root.contains_key("anyOf") {
        return Err("at its root, `anyOf` is not permitted".to_owned());
    }
    if root.get("type").and_then(Value::as_str) != Some("object") && !root.contains_key("$ref") {
        return Err("at its root, `type` must be \"object\"".to_owned());
    }
    let mut check = Check { properties: 0 };
    check.schema(root, &mut Vec::new(), 0)
}

struct Check {
    properties: usize,
}

impl Check {
    fn schema(
        &mut self,
        schema: &Map<String, Value>,
        path: &mut Vec<String>,
        depth: usize,
    ) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(at(path, &format!("objects nest deeper than {DEPTH_MAX} levels")));
        }
        if let Some(keyword) = UNSUPPORTED.iter().find(|keyword| schema.contains_key(**keyword)) {
            return Err(at(path, &format!("`{keyword}` is not permitted")));
        }
        if is_object(schema) {
            self.object(schema, path)?;
        }
        self.parts(schema, path, depth)
    }

    fn object(&mut self, schema: &Map<String, Value>, path: &[String]) -> Result<(), String> {
        if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
            return Err(at(path, "`additionalProperties` is required and must be false"));
        }
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let names = schema.get("properties").and_then(Value::as_object);
        for name in names.iter().flat_map(|names| names.keys()) {
            self.properties += 1;
            if !required.contains(&name.as_str()) {
                return Err(at(
                    path,
                    &format!("`required` must list every property, {name:?} too"),
                ));
            }
        }
        if self.properties > PROPERTIES_MAX {
            return Err(format!("it has more than {PROPERTIES_MAX} properties"));
        }
        Ok(())
    }

    fn parts(
        &mut self,
        schema: &Map<String, Value>,
        path: &mut Vec<String>,
        depth: usize,
    ) -> Result<(), String> {
        for keyword in ["properties", "$defs", "definitions"] {
            for (name, part) in schema.get(keyword).and_then(Value::as_object).into_iter().flatten()
            {
                self.part(part, path, &[keyword, name], depth + 1)?;
            }
        }
        if let Some(items) = schema.get("items") {
            self.part(items, path, &["items"], depth + 1)?;
        }
        for (index, part) in
            schema.get("anyOf").and_then(Value::as_array).into_iter().flatten().enumerate()
        {
            self.part(part, path, &["anyOf", &index.to_string()], depth)?;
        }
        Ok(())
    }

    fn part(
        &mut self,
        part: &Value,
        path: &mut Vec<String>,
        steps: &[&str],
        depth: usize,
    ) -> Result<(), String> {
        let length = path.len();
        path.extend(steps.iter().map(|step| (*step).to_owned()));
        let checked = match part.as_object() {
            Some(part) => self.schema(part, path, depth),
            None => Err(at(path, "it must be an object")),
        };
        path.truncate(length);
        checked
    }
}

fn is_object(schema: &Map<String, Value>) -> bool {
    let is_named = match schema.get("type") {
        Some(Value::String(name)) => name == "object",
        Some(Value::Array(names)) => names.iter().any(|name| name == "object"),
        _ => false,
    };
    is_named || schema.contains_key("properties")
}

fn at(path: &[String], rule: &str) -> String {
    if path.is_empty() {
        format!("at its root, {rule}")
    } else {
        format!("at {}, {rule}", path.join("."))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reason(schema: Value) -> String {
        check_strict(&schema).unwrap_err()
    }

    #[test]
    fn a_closed_schema_with_everything_required_is_strict() {
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["name", "fish"],
            "properties": {
                "name": { "type": ["string", "null"] },
                "fish": { "type": "array", "items": { "$ref": "#/$defs/fish" } },
            },
            "$defs": { "fish": { "anyOf": [
                { "type": "object", "properties": {}, "required": [], "additionalProperties": false },
                { "type": "null" },
            ] } },
        });
        assert_eq!(check_strict(&schema), Ok(()));
    }

    #[test]
    fn what_is_open_or_optional_is_named_with_its_place() {
        let open = json!({ "type": "object", "properties": {} });
        assert!(reason(open).starts_with("at its root, `additionalProperties`"));
        let optional = json!({
            "type": "object", "additionalProperties": false, "required": [],
            "properties": { "name": { "type": "string" } },
        });
        assert!(reason(optional).contains("\"name\" too"));
        let deep = json!({
            "type": "object", "additionalProperties": false, "required": ["fish"],
            "properties": { "fish": { "type": "array", "items": { "type": "object" } } },
        });
        assert!(reason(deep).starts_with("at properties.fish.items, `additionalProperties`"));
    }

    #[test]
    fn a_root_that_is_no_object_is_refused() {
        assert!(reason(json!({ "type": "string" })).contains("must be \"object\""));
        assert!(reason(json!({ "anyOf": [] })).contains("`anyOf`"));
        assert!(reason(json!(true)).contains("must be an object"));
    }

    #[test]
    fn keywords_openai_does_not_take_are_named() {
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["name"],
            "properties": { "name": { "allOf": [] } },
        });
        assert_eq!(reason(schema), "at properties.name, `allOf` is not permitted");
    }

    #[test]
    fn a_schema_that_nests_without_end_is_refused() {
        let mut schema = json!({ "type": "string" });
        for _ in 0..12 {
            schema = json!({
                "type": "object", "additionalProperties": false, "required": ["inner"],
                "properties": { "inner": schema },
            });
        }
        assert!(reason(schema).ends_with("objects nest deeper than 10 levels"));
    }
}
