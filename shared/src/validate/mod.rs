//! Reading a JSON body: every wrong, missing or unknown field is reported, in one answer.

mod lists;

use serde_json::{Map, Value};

pub use lists::ListLimits;

use crate::errors::FieldError;

/// A body that can be read from JSON with all its errors collected.
pub trait FromBody: Sized {
    /// Reads the fields. After an error the value returned is never used, so any default will do.
    fn from_fields(fields: &mut Fields<'_>) -> Self;
}

/// Reads a whole body, or says everything that is wrong with it.
pub fn parse_body<T: FromBody>(body: &Value) -> Result<T, Vec<FieldError>> {
    let Some(object) = body.as_object() else {
        return Err(vec![FieldError {
            pointer: String::new(),
            code: "type".to_owned(),
            detail: "must be a JSON object".to_owned(),
        }]);
    };
    let mut errors = Vec::new();
    let mut fields = Fields::new(object, String::new(), &mut errors);
    let parsed = T::from_fields(&mut fields);
    fields.finish();
    if errors.is_empty() { Ok(parsed) } else { Err(errors) }
}

/// A cursor over the fields of one JSON object.
pub struct Fields<'a> {
    object: &'a Map<String, Value>,
    prefix: String,
    known: Vec<&'static str>,
    errors: &'a mut Vec<FieldError>,
}

impl<'a> Fields<'a> {
    fn new(
        object: &'a Map<String, Value>,
        prefix: String,
        errors: &'a mut Vec<FieldError>,
    ) -> Self {
        Self { object, prefix, known: Vec::new(), errors }
    }

    /// Records that a field breaks a rule.
    pub fn reject(&mut self, name: &str, code: &str, detail: impl Into<String>) {
        let escaped = name.replace('~', "~0").replace('/', "~1");
        self.reject_at(&escaped, code, detail);
    }

    /// The same for a place below this object, such as `niche/2`, escaped already.
    fn reject_at(&mut self, place: &str, code: &str, detail: impl Into<String>) {
        self.errors.push(FieldError {
            pointer: format!("{}/{place}", self.prefix),
            code: code.to_owned(),
            detail: detail.into(),
        });
    }

    /// The raw value; `null` counts as absent.
    pub fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        self.object.get(name).filter(|value| !value.is_null())
    }

    fn required(&mut self, name: &'static str) -> Option<&'a Value> {
        let value = self.value(name);
        if value.is_none() {
            self.reject(name, "missing", "is required");
        }
        value
    }

    /// A required text of 1 to `max_chars` characters on one line, trimmed.
    pub fn text(&mut self, name: &'static str, max_chars: usize) -> String {
        match self.required(name) {
            Some(value) => self.check_text(name, value, max_chars),
            None => String::new(),
        }
    }

    /// Like [`Fields::text`], when it may be left out.
    pub fn optional_text(&mut self, name: &'static str, max_chars: usize) -> Option<String> {
        self.value(name).map(|value| self.check_text(name, value, max_chars))
    }

    fn check_text(&mut self, name: &str, value: &Value, max_chars: usize) -> String {
        let Some(text) = value.as_str() else {
            self.reject(name, "type", "must be a string");
            return String::new();
        };
        let text = text.trim();
        if text.is_empty() {
            self.reject(name, "empty", "must not be empty");
        }
        if text.chars().count() > max_chars {
            self.reject(name, "too_long", format!("must have at most {max_chars} characters"));
        }
        if text.chars().any(is_control) {
            self.reject(name, "control_character", "must not contain control characters");
        }
        text.to_owned()
    }

    /// A required text of 1 to `max_chars` characters that may have several lines, trimmed.
    pub fn paragraph(&mut self, name: &'static str, max_chars: usize) -> String {
        let Some(value) = self.required(name) else { return String::new() };
        let Some(text) = value.as_str() else {
            self.reject(name, "type", "must be a string");
            return String::new();
        };
        let text = text.trim();
        if text.is_empty() {
            self.reject(name, "empty", "must not be empty");
        }
        if text.chars().count() > max_chars {
            self.reject(name, "too_long", format!("must have at most {max_chars} characters"));
        }
        if text.chars().any(|c| is_control(c) && !matches!(c, '\n' | '\r' | '\t')) {
            self.reject(name, "control_character", "must not contain control characters");
        }
        text.to_owned()
    }

    /// A required finite number between `min` and `max`.
    pub fn number(&mut self, name: &'static str, min: f64, max: f64) -> f64 {
        match self.required(name) {
            Some(_) => self.optional_number(name, min, max).unwrap_or(min),
            None => min,
        }
    }

    /// An optional integer between `min` and `max`.
    pub fn optional_integer(&mut self, name: &'static str, min: u64, max: u64) -> Option<u64> {
        let value = self.value(name)?;
        match value.as_u64() {
            Some(number) if (min..=max).contains(&number) => Some(number),
            Some(_) => {
                self.reject(name, "range", format!("must be between {min} and {max}"));
                None
            }
            None => {
                self.reject(name, "type", format!("must be an integer between {min} and {max}"));
                None
            }
        }
    }

    /// An optional finite number between `min` and `max`.
    pub fn optional_number(&mut self, name: &'static str, min: f64, max: f64) -> Option<f64> {
        let value = self.value(name)?;
        match value.as_f64() {
            Some(number) if (min..=max).contains(&number) => Some(number),
            Some(_) => {
                self.reject(name, "range", format!("must be between {min} and {max}"));
                None
            }
            None => {
                self.reject(name, "type", "must be a number");
                None
            }
        }
    }

    /// An optional boolean.
    pub fn optional_flag(&mut self, name: &'static str) -> Option<bool> {
        let value = self.value(name)?;
        let flag = value.as_bool();
        if flag.is_none() {
            self.reject(name, "type", "must be true or false");
        }
        flag
    }

    /// A required value read by its own parser, such as an id or an enum.
    pub fn parsed<T: std::str::FromStr>(&mut self, name: &'static str, rule: &str) -> Option<T> {
        let value = self.required(name)?;
        self.check_parsed(name, value, rule)
    }

    /// Like [`Fields::parsed`], when it may be left out.
    pub fn optional_parsed<T: std::str::FromStr>(
        &mut self,
        name: &'static str,
        rule: &str,
    ) -> Option<T> {
        let value = self.value(name)?;
        self.check_parsed(name, value, rule)
    }

    fn check_parsed<T: std::str::FromStr>(
        &mut self,
        name: &str,
        value: &Value,
        rule: &str,
    ) -> Option<T> {
        let parsed = value.as_str().and_then(|text| text.parse().ok());
        if parsed.is_none() {
            self.reject(name, "format", rule);
        }
        parsed
    }

    /// A required object, read with its pointers below this one.
    pub fn object<T: FromBody>(&mut self, name: &'static str) -> Option<T> {
        let value = self.required(name)?;
        let Some(object) = value.as_object() else {
            self.reject(name, "type", "must be an object");
            return None;
        };
        let mut inner = Fields::new(object, format!("{}/{name}", self.prefix), self.errors);
        let parsed = T::from_fields(&mut inner);
        inner.finish();
        Some(parsed)
    }

    fn finish(mut self) {
        let unknown: Vec<&String> =
            self.object.keys().filter(|key| !self.known.contains(&key.as_str())).collect();
        for key in unknown {
            self.reject(key, "unknown", "is not a known field");
        }
    }
}

/// Control characters and the invisible ones that reorder or break lines of text.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::scenes::CreateScene;

    fn errors_of(body: Value) -> Vec<(String, String)> {
        parse_body::<CreateScene>(&body)
            .expect_err("the body must be refused")
            .into_iter()
            .map(|error| (error.pointer, error.code))
            .collect()
    }

    #[test]
    fn reports_every_wrong_field_at_once() {
        let long = "é".repeat(121);
        let found = errors_of(json!({
            "world": "", "era": long, "class": 7, "pose": "a\u{7}b", "colour/~x": "red"
        }));
        let expected = [
            ("/world", "empty"),
            ("/era", "too_long"),
            ("/class", "type"),
            ("/pose", "control_character"),
            ("/decor", "missing"),
            ("/colour~1~0x", "unknown"),
        ];
        assert_eq!(found, expected.map(|(p, c)| (p.to_owned(), c.to_owned())));
    }

    #[test]
    fn counts_characters_not_bytes_and_trims() {
        let body = json!({
            "world": "é".repeat(120), "era": " now ", "class": "mage", "pose": "assis", "decor": "lune"
        });
        let scene: CreateScene = parse_body(&body).unwrap();
        assert_eq!(scene.era, "now");
    }

    #[test]
    fn refuses_a_body_that_is_no_object() {
        assert_eq!(errors_of(json!([1])), [(String::new(), "type".to_owned())]);
    }

    #[test]
    fn refuses_text_that_reorders_itself() {
        let found = errors_of(json!({
            "world": "a\u{202E}b", "era": "x", "class": "x", "pose": "x", "decor": "x"
        }));
        assert_eq!(found, [("/world".to_owned(), "control_character".to_owned())]);
    }
}
