//! Reads a body by its table of parameters: what is unknown or refused is named, and so is everything else that is wrong.

use serde_json::{Map, Value};
use shared::errors::FieldError;

use super::parameters::{Parameter, Treatment, find};

/// What was found in a body.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub errors: Vec<FieldError>,
    /// Parameters that were sent and do nothing.
    pub without_effect: Vec<&'static str>,
    /// Parameters that the parser looked at.
    pub read: Vec<&'static str>,
}

/// Reads a whole body, or says everything that is wrong with it.
pub(super) fn read_body<T>(
    body: &Value,
    table: &'static [Parameter],
    read: impl FnOnce(&mut Fields<'_, '_>) -> T,
) -> (Option<T>, Report) {
    let mut report = Report::default();
    let place = Place { table, pointer: String::new(), pattern: String::new() };
    let order = Fields::open(body, place, &mut report, read);
    (order, report)
}

/// Where a value stands: by its own path, and by the path that the table has for it.
#[derive(Debug, Clone)]
struct Place {
    table: &'static [Parameter],
    pointer: String,
    pattern: String,
}

impl Place {
    fn field(&self, name: &str) -> Self {
        let dot = if self.pattern.is_empty() { "" } else { "." };
        let escaped = name.replace('~', "~0").replace('/', "~1");
        Self {
            table: self.table,
            pointer: format!("{}/{escaped}", self.pointer),
            pattern: format!("{}{dot}{name}", self.pattern),
        }
    }

    fn item(&self, index: usize) -> Self {
        Self {
            table: self.table,
            pointer: format!("{}/{index}", self.pointer),
            pattern: format!("{}[]", self.pattern),
        }
    }

    fn parameter(&self) -> Option<&'static Parameter> {
        find(self.table, &self.pattern)
    }
}

/// One value, and where it stands.
pub struct Item<'a, 'r> {
    pub value: &'a Value,
    place: Place,
    report: &'r mut Report,
}

impl<'a> Item<'a, '_> {
    /// Records that it breaks a rule.
    pub fn reject(&mut self, code: &str, detail: impl Into<String>) {
        reject(self.report, &self.place, code, detail);
    }

    /// It as a text.
    pub fn text(&mut self) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.reject("type", "must be a string");
        }
        text
    }

    /// It as an object.
    pub fn object<T>(&mut self, read: impl FnOnce(&mut Fields<'a, '_>) -> T) -> Option<T> {
        Fields::open(self.value, self.place.clone(), self.report, read)
    }

    /// It as a list, item by item.
    pub fn each<T>(&mut self, mut read: impl FnMut(&mut Item<'a, '_>) -> Option<T>) -> Vec<T> {
        let Some(list) = self.value.as_array() else {
            self.reject("type", "must be a list");
            return Vec::new();
        };
        let mut items = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            let mut item = Item { value, place: self.place.item(index), report: &mut *self.report };
            items.extend(read(&mut item));
        }
        items
    }

    /// It as a list of token ids.
    pub fn tokens(&mut self) -> Vec<u32> {
        self.each(|item| {
            let id = item.value.as_u64().and_then(|id| u32::try_from(id).ok());
            if id.is_none() {
                item.reject("type", "must be a token id");
            }
            id
        })
    }
}

/// The fields of one object.
pub struct Fields<'a, 'r> {
    object: &'a Map<String, Value>,
    place: Place,
    report: &'r mut Report,
}

impl<'a, 'r> Fields<'a, 'r> {
    fn open<T>(
        value: &'a Value,
        place: Place,
        report: &'r mut Report,
        read: impl FnOnce(&mut Fields<'a, 'r>) -> T,
    ) -> Option<T> {
        let Some(object) = value.as_object() else {
            reject(report, &place, "type", "must be an object");
            return None;
        };
        for (name, value) in object {
            let field = place.field(name);
            match field.parameter().map(|parameter| (parameter.name, parameter.treatment)) {
                None => reject(report, &field, "unknown", "is not a known parameter"),
                Some(_) if value.is_null() => {}
                Some((_, Treatment::Refused(reason))) => {
                    reject(report, &field, "unsupported", format!("is not offered: {reason}"));
                }
                Some((name, Treatment::NoEffect(_))) if !report.without_effect.contains(&name) => {
                    report.without_effect.push(name);
                }
                Some(_) => {}
            }
        }
        Some(read(&mut Self { object, place, report }))
    }

    /// Records that a field breaks a rule.
    pub fn reject(&mut self, name: &str, code: &str, detail: impl Into<String>) {
        reject(self.report, &self.place.field(name), code, detail);
    }

    /// The field; `null` counts as absent.
    pub fn item(&mut self, name: &str) -> Option<Item<'a, '_>> {
        let place = self.place.field(name);
        self.report.read.extend(place.parameter().map(|parameter| parameter.name));
        let value = self.object.get(name).filter(|value| !value.is_null())?;
        Some(Item { value, place, report: &mut *self.report })
    }

    /// The field, whatever it is.
    pub fn value(&mut self, name: &str) -> Option<&'a Value> {
        self.item(name).map(|item| item.value)
    }

    /// Whether the field is there.
    pub fn has(&self, name: &str) -> bool {
        self.object.get(name).is_some_and(|value| !value.is_null())
    }

    /// A text that must be there.
    pub fn text(&mut self, name: &str) -> String {
        self.require(name);
        self.optional_text(name).unwrap_or_default()
    }

    /// A text that may be left out.
    pub fn optional_text(&mut self, name: &str) -> Option<String> {
        self.item(name)?.text().map(str::to_owned)
    }

    /// Complains when the field is not there.
    pub fn require(&mut self, name: &str) {
        if !self.has(name) {
            self.reject(name, "missing", "is required");
        }
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        let mut item = self.item(name)?;
        let flag = item.value.as_bool();
        if flag.is_none() {
            item.reject("type", "must be true or false");
        }
        flag
    }

    /// An integer between `min` and `max`.
    pub fn integer(&mut self, name: &str, min: i64, max: i64) -> Option<i64> {
        let mut item = self.item(name)?;
        match item.value.as_i64() {
            Some(number) if (min..=max).contains(&number) => return Some(number),
            Some(_) => item.reject("range", format!("must be between {min} and {max}")),
            None => item.reject("type", format!("must be an integer between {min} and {max}")),
        }
        None
    }

    /// A size between `min` and `max`.
    pub fn count(&mut self, name: &str, min: u32, max: u32) -> Option<usize> {
        self.integer(name, min.into(), max.into()).map(|count| count as usize)
    }

    /// A number between `min` and `max`.
    pub fn number(&mut self, name: &str, min: f64, max: f64) -> Option<f32> {
        self.real(name, min, max).map(|number| number as f32)
    }

    /// The same with all its digits.
    pub fn real(&mut self, name: &str, min: f64, max: f64) -> Option<f64> {
        let mut item = self.item(name)?;
        match item.value.as_f64() {
            Some(number) if (min..=max).contains(&number) => return Some(number),
            Some(_) => item.reject("range", format!("must be between {min} and {max}")),
            None => item.reject("type", "must be a number"),
        }
        None
    }

    /// One of some words; what another one means is said by `otherwise`.
    pub fn word(
        &mut self,
        name: &str,
        words: &[&'static str],
        otherwise: &str,
    ) -> Option<&'static str> {
        let mut item = self.item(name)?;
        let text = item.text()?;
        let word = words.iter().find(|word| **word == text).copied();
        if word.is_none() {
            let listed =
                words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
            let separator = if otherwise.is_empty() { "" } else { ": " };
            item.reject("choice", format!("must be {listed}{separator}{otherwise}"));
        }
        word
    }

    /// An object that may be left out.
    pub fn object<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Fields<'a, '_>) -> T,
    ) -> Option<T> {
        self.item(name)?.object(read)
    }

    /// A list that may be left out.
    pub fn each<T>(
        &mut self,
        name: &str,
        read: impl FnMut(&mut Item<'a, '_>) -> Option<T>,
    ) -> Vec<T> {
        self.item(name).map(|mut item| item.each(read)).unwrap_or_default()
    }
}

fn reject(report: &mut Report, place: &Place, code: &str, detail: impl Into<String>) {
    report.errors.push(FieldError {
        pointer: place.pointer.clone(),
        code: code.to_owned(),
        detail: detail.into(),
    });
}
