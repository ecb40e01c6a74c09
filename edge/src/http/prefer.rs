//! `Prefer: wait=N` (RFC 7240): how long a caller would rather wait than be told to come back.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, request::Parts},
};
use shared::limits::WAIT_MAX_SECONDS;

/// The caller's preferences. What isn't understood is ignored, as the RFC asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prefer {
    /// 0 to 60.
    pub wait_s: Option<u64>,
}

impl Prefer {
    /// Reads every `Prefer` field; of a preference given twice the first counts.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let fields = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        let wait_s = fields.flat_map(|field| field.split(',')).find_map(wait_of);
        Self { wait_s: wait_s.flatten() }
    }

    /// How long to wait, in milliseconds; 0 when nobody asked.
    pub fn wait_ms(self) -> u64 {
        self.wait_s.unwrap_or(0).saturating_mul(1000)
    }

    /// The header that says that the wait was honoured; `None` when there was none.
    pub fn applied(self) -> Option<(HeaderName, HeaderValue)> {
        let value = HeaderValue::try_from(format!("wait={}", self.wait_s?)).ok()?;
        Some((HeaderName::from_static("preference-applied"), value))
    }
}

/// `Some` when this preference is `wait`, with its seconds when they make sense.
fn wait_of(preference: &str) -> Option<Option<u64>> {
    let (name, value) = preference.split(';').next()?.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("wait") {
        return None;
    }
    let text = value.trim();
    let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    Some(text.parse().ok().filter(|seconds| is_number && *seconds <= WAIT_MAX_SECONDS))
}

impl<S: Sync> FromRequestParts<S> for Prefer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::from_headers(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_wait_and_ignores_what_makes_no_sense() {
        let cases: [(&[&str], Option<u64>); 13] = [
            (&["wait=10"], Some(10)),
            (&["wait=0"], Some(0)),
            (&["respond-async, wait=60"], Some(60)),
            (&["respond-async", "Wait = 5 ; x=1"], Some(5)),
            (&["wait=\"7\""], Some(7)),
            (&["wait=3, wait=9"], Some(3)),
            (&["wait=61"], None),
            (&["wait=-1"], None),
            (&["wait=+1"], None),
            (&["wait=ten"], None),
            (&["wait="], None),
            (&["wait"], None),
            (&[], None),
        ];
        for (fields, wait_s) in cases {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append("prefer", HeaderValue::from_static(field));
            }
            assert_eq!(Prefer::from_headers(&headers).wait_s, wait_s, "{fields:?}");
        }
    }
}
