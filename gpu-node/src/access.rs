//! Who may call the node, and the texts that prove it.

use std::{convert::Infallible, fmt, str::FromStr, sync::Arc};

use shared::tokens::{bearer, is_allowed};

/// Who may call.
#[derive(Clone)]
pub enum Access {
    /// Everyone: only for trying things out on one's own machine.
    Open,
    /// Whoever has one of these tokens; two are valid at once while one replaces the other.
    Tokens(Arc<[String]>),
}

impl Access {
    /// Whether this `Authorization` header opens the door.
    pub fn allows(&self, header: Option<&str>) -> bool {
        match self {
            Self::Open => true,
            Self::Tokens(tokens) => {
                header.and_then(token_of).is_some_and(|token| is_allowed(token, tokens))
            }
        }
    }
}

/// The token of an `Authorization` header, also by the scheme that Replicate's clients had before `Bearer`.
fn token_of(header: &str) -> Option<&str> {
    bearer(header).or_else(|| match header.split_whitespace().collect::<Vec<&str>>()[..] {
        [scheme, token] if scheme.eq_ignore_ascii_case("token") => Some(token),
        _ => None,
    })
}

/// A text that must not be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself: for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl FromStr for Secret {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_by_either_scheme_or_bare() {
        let access = Access::Tokens([String::from("abc")].into());
        for header in ["Bearer abc", "Token abc", "token  abc", "abc"] {
            assert!(access.allows(Some(header)), "{header}");
        }
        for header in ["Token", "Token abd", "Token abc abc", "Basic abc"] {
            assert!(!access.allows(Some(header)), "{header}");
        }
        assert!(!access.allows(None));
    }
}
