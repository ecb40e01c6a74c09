//! Bearer tokens: how edge and node recognise each other.

use subtle::ConstantTimeEq;

/// The token of an `Authorization` header. The bare form without a scheme is accepted, as RunPod's clients send it.
pub fn bearer(header: &str) -> Option<&str> {
    let mut words = header.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(scheme), Some(token), None) if scheme.eq_ignore_ascii_case("bearer") => Some(token),
        (Some(token), None, None) if !token.eq_ignore_ascii_case("bearer") => Some(token),
        _ => None,
    }
}

/// Whether a token is one of those allowed, in time that does not tell which nor how nearly.
pub fn is_allowed(token: &str, allowed: &[String]) -> bool {
    allowed
        .iter()
        .filter(|candidate| !candidate.is_empty())
        .fold(subtle::Choice::from(0), |found, candidate| {
            found | token.as_bytes().ct_eq(candidate.as_bytes())
        })
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms_and_refuses_other_schemes() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("abc"), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("Bearer "), None);
    }

    #[test]
    fn an_unset_token_allows_nobody() {
        let allowed = ["first".to_owned(), String::new()];
        assert!(is_allowed("first", &allowed));
        assert!(!is_allowed("", &allowed));
        assert!(!is_allowed("firs", &allowed));
        assert!(!is_allowed("first", &[]));
    }
}
