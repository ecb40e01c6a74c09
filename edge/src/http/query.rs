//! Reading a query string: every wrong or unknown parameter is reported, in one answer.

use std::{borrow::Cow, str::FromStr};

use shared::{errors::FieldError, limits::PAGE_MAX};

/// A query that can be read with all its errors collected.
pub trait FromQuery: Sized {
    /// Reads the parameters. After an error the value returned is never used.
    fn from_query(parameters: &mut Parameters<'_>) -> Self;
}

/// Reads a whole query, or says everything that is wrong with it.
pub fn parse_query<T: FromQuery>(query: &str) -> Result<T, Vec<FieldError>> {
    let pairs = form_urlencoded::parse(query.as_bytes()).collect();
    let mut parameters = Parameters { pairs, known: Vec::new(), errors: Vec::new() };
    let parsed = T::from_query(&mut parameters);
    parameters.reject_the_rest();
    if parameters.errors.is_empty() { Ok(parsed) } else { Err(parameters.errors) }
}

/// A cursor over the parameters of one query.
pub struct Parameters<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    known: Vec<&'static str>,
    errors: Vec<FieldError>,
}

impl Parameters<'_> {
    fn reject(&mut self, name: &str, code: &str, detail: impl Into<String>) {
        let escaped = name.replace('~', "~0").replace('/', "~1");
        self.errors.push(FieldError {
            pointer: format!("/{escaped}"),
            code: code.to_owned(),
            detail: detail.into(),
        });
    }

    /// The text of a parameter; given twice or empty, it is wrong.
    pub fn optional_text(&mut self, name: &'static str, max_chars: usize) -> Option<String> {
        self.known.push(name);
        let mut values = self.pairs.iter().filter(|(key, _)| key == name);
        let text = values.next()?.1.to_string();
        if values.next().is_some() {
            self.reject(name, "repeated", "must be given once");
        }
        if text.is_empty() {
            self.reject(name, "empty", "must not be empty");
        } else if text.chars().count() > max_chars {
            self.reject(name, "too_long", format!("must have at most {max_chars} characters"));
        } else {
            return Some(text);
        }
        None
    }

    /// An integer between `min` and `max`.
    pub fn optional_integer(&mut self, name: &'static str, min: u64, max: u64) -> Option<u64> {
        let text = self.optional_text(name, 20)?;
        let number = text.parse().ok().filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.reject(name, "range", format!("must be an integer between {min} and {max}"));
        }
        number
    }

    /// A value read by its own parser, such as an id or an enum.
    pub fn optional_parsed<T: FromStr>(&mut self, name: &'static str, rule: &str) -> Option<T> {
        let text = self.optional_text(name, 200)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.reject(name, "choice", rule);
        }
        parsed
    }

    fn reject_the_rest(&mut self) {
        let unknown: Vec<String> = self
            .pairs
            .iter()
            .filter(|(key, _)| !self.known.contains(&key.as_ref()))
            .map(|(key, _)| key.to_string())
            .collect();
        for name in unknown {
            self.reject(&name, "unknown", "is not a known parameter");
        }
    }
}

/// Items on a page when nobody says how many.
const PAGE_DEFAULT: u64 = 20;

/// A cursor is ours: no honest one is longer.
const CURSOR_MAX_CHARS: usize = 200;

/// The `limit` of a list.
pub fn page_limit(parameters: &mut Parameters<'_>) -> u64 {
    parameters.optional_integer("limit", 1, PAGE_MAX).unwrap_or(PAGE_DEFAULT)
}

/// The `cursor` of a list.
pub fn page_cursor(parameters: &mut Parameters<'_>) -> Option<String> {
    parameters.optional_text("cursor", CURSOR_MAX_CHARS)
}

/// No parameters at all are known to a route that takes none; they are ignored, as links often carry some.
impl FromQuery for () {
    fn from_query(parameters: &mut Parameters<'_>) -> Self {
        parameters.pairs.clear();
    }
}
