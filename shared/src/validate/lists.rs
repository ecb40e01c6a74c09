//! Lists and free-form objects in a body: every wrong item is reported at its own place.

use std::str::FromStr;

use serde_json::{Map, Value};

use super::{Fields, FromBody, is_control};

/// How many items, and how long each.
#[derive(Debug, Clone, Copy)]
pub struct ListLimits {
    pub min: usize,
    pub max: usize,
    pub item_max_chars: usize,
}

impl<'a> Fields<'a> {
    /// A required list of `min` to `max` values of any kind.
    pub fn values(&mut self, name: &'static str, min: usize, max: usize) -> &'a [Value] {
        let Some(value) = self.required(name) else { return &[] };
        let Some(items) = value.as_array() else {
            self.reject(name, "type", "must be a list");
            return &[];
        };
        if !(min..=max).contains(&items.len()) {
            self.reject(name, "range", format!("must have {min} to {max} items"));
            return &[];
        }
        items
    }

    /// A required list of one-line texts, each trimmed.
    pub fn texts(&mut self, name: &'static str, limits: ListLimits) -> Vec<String> {
        let items = self.values(name, limits.min, limits.max);
        let max_chars = limits.item_max_chars;
        let mut texts = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let place = format!("{name}/{index}");
            let Some(text) = item.as_str().map(str::trim) else {
                self.reject_at(&place, "type", "must be a string");
                continue;
            };
            if text.is_empty() {
                self.reject_at(&place, "empty", "must not be empty");
            }
            if text.chars().count() > max_chars {
                let rule = format!("must have at most {max_chars} characters");
                self.reject_at(&place, "too_long", rule);
            }
            if text.chars().any(is_control) {
                let rule = "must not contain control characters";
                self.reject_at(&place, "control_character", rule);
            }
            texts.push(text.to_owned());
        }
        texts
    }

    /// Like [`Fields::texts`], when it may be left out.
    pub fn optional_texts(&mut self, name: &'static str, limits: ListLimits) -> Vec<String> {
        if self.value(name).is_some() { self.texts(name, limits) } else { Vec::new() }
    }

    /// A required list of words from a fixed choice, none of them twice.
    pub fn choices<T: FromStr + PartialEq>(
        &mut self,
        name: &'static str,
        (min, max): (usize, usize),
        rule: &str,
    ) -> Vec<T> {
        let items = self.values(name, min, max);
        let mut chosen: Vec<T> = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match item.as_str().and_then(|word| word.parse().ok()) {
                Some(choice) if chosen.contains(&choice) => {
                    self.reject_at(&format!("{name}/{index}"), "choice", "stands there twice");
                }
                Some(choice) => chosen.push(choice),
                None => self.reject_at(&format!("{name}/{index}"), "choice", rule),
            }
        }
        chosen
    }

    /// Like [`Fields::choices`], when it may be left out.
    pub fn optional_choices<T: FromStr + PartialEq>(
        &mut self,
        name: &'static str,
        count: (usize, usize),
        rule: &str,
    ) -> Vec<T> {
        if self.value(name).is_some() { self.choices(name, count, rule) } else { Vec::new() }
    }

    /// An optional list of objects, each read with its pointers below its own place.
    pub fn optional_objects<T: FromBody>(&mut self, name: &'static str, max: usize) -> Vec<T> {
        if self.value(name).is_none() {
            return Vec::new();
        }
        let items = self.values(name, 0, max);
        let mut parsed = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let Some(object) = item.as_object() else {
                self.reject_at(&format!("{name}/{index}"), "type", "must be an object");
                continue;
            };
            let prefix = format!("{}/{name}/{index}", self.prefix);
            let mut inner = Fields::new(object, prefix, self.errors);
            parsed.push(T::from_fields(&mut inner));
            inner.finish();
        }
        parsed
    }

    /// A required object of at most `max` members whose names are the caller's own.
    pub fn members(&mut self, name: &'static str, max: usize) -> Map<String, Value> {
        let Some(value) = self.required(name) else { return Map::new() };
        match value.as_object() {
            Some(members) if members.len() <= max => members.clone(),
            Some(_) => {
                self.reject(name, "range", format!("must have at most {max} members"));
                Map::new()
            }
            None => {
                self.reject(name, "type", "must be an object");
                Map::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{api::creator_tools::CreateContentIdeas, validate::parse_body};

    #[test]
    fn every_wrong_item_is_named_at_its_place() {
        let body = json!({
            "creatorProfile": {
                "id": "p", "niche": ["ok", "", 7], "contentTypes": ["photo", "photo", "opera"],
                "audiencePreferences": "all",
                "performanceHistory": {
                    "topPerformingContent": [], "engagementPatterns": [],
                    "revenueByCategory": {"photo": "much"},
                },
                "currentGoals": ["x".repeat(121)], "constraints": {"equipment": []},
            },
            "options": {"count": 21, "creativity": "wild", "targetPlatforms": ["tv"], "extra": 1},
        });
        let errors = parse_body::<CreateContentIdeas>(&body).unwrap_err();
        let found: Vec<_> =
            errors.iter().map(|error| (error.pointer.as_str(), error.code.as_str())).collect();
        assert_eq!(
            found,
            [
                ("/creatorProfile/niche/1", "empty"),
                ("/creatorProfile/niche/2", "type"),
                ("/creatorProfile/contentTypes/1", "choice"),
                ("/creatorProfile/contentTypes/2", "choice"),
                ("/creatorProfile/audiencePreferences", "type"),
                ("/creatorProfile/performanceHistory/revenueByCategory", "type"),
                ("/creatorProfile/performanceHistory/engagementPatterns", "type"),
                ("/creatorProfile/currentGoals/0", "too_long"),
                ("/creatorProfile/constraints/location", "missing"),
                ("/creatorProfile/constraints/timeAvailability", "missing"),
                ("/options/count", "range"),
                ("/options/creativity", "format"),
                ("/options/targetPlatforms/0", "choice"),
                ("/options/extra", "unknown"),
            ]
        );
    }
}
