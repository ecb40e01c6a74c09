//! The languages the product speaks: in which prompts are written and answers come.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One of them; French is what the five products' own people speak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Language {
    #[default]
    Fr,
    En,
    Es,
    It,
    De,
}

/// The rule for a field that holds one.
pub const LANGUAGE_RULE: &str = "must be fr, en, es, it or de";

impl Language {
    pub const ALL: [Self; 5] = [Self::Fr, Self::En, Self::Es, Self::It, Self::De];

    /// Its ISO 639-1 code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fr => "fr",
            Self::En => "en",
            Self::Es => "es",
            Self::It => "it",
            Self::De => "de",
        }
    }

    /// The one an `Accept-Language` field likes best, if it names any of ours.
    pub fn from_accept_language(field: &str) -> Option<Self> {
        let mut best: Option<(f32, Self)> = None;
        for range in field.split(',') {
            let mut parts = range.split(';');
            let tag = parts.next().unwrap_or_default().trim();
            let weight = parts.find_map(|part| part.trim().strip_prefix("q=")?.parse().ok());
            let weight: f32 = weight.unwrap_or(1.0);
            let primary = tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
            let Ok(language) = primary.parse() else { continue };
            if weight > best.map_or(0.0, |(weight, _)| weight) {
                best = Some((weight, language));
            }
        }
        best.map(|(_, language)| language)
    }
}

impl FromStr for Language {
    type Err = ();

    fn from_str(code: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|language| language.as_str() == code).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_language_that_is_liked_best() {
        let cases = [
            ("de", Some(Language::De)),
            ("de-AT, en;q=0.8", Some(Language::De)),
            ("ja, en;q=0.3, it;q=0.7", Some(Language::It)),
            ("en;q=0, fr;q=0.1", Some(Language::Fr)),
            ("*", None),
            ("", None),
            ("ja;q=x", None),
        ];
        for (field, expected) in cases {
            assert_eq!(Language::from_accept_language(field), expected, "{field}");
        }
    }
}
