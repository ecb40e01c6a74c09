//! What a refusal of PostgREST means for us. Our functions raise `PT4xx`, which becomes the status.

use serde::Deserialize;

use crate::error::Error;

/// The shape of every PostgREST error.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Refusal {
    code: Option<String>,
    message: Option<String>,
    details: Option<String>,
}

/// What a call proved itself with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    PersonsToken,
    /// Written by the edge in a person's name.
    OurToken,
    OurKey,
}

/// The situation behind a status that isn't a success.
pub(super) fn error_of(proof: Proof, status: u16, body: &str) -> Error {
    let refusal: Refusal = serde_json::from_str(body).unwrap_or_default();
    let message = refusal.message.unwrap_or_default();
    let is_ours = refusal.code.as_deref().is_some_and(|code| code.starts_with("PT"));
    match status {
        // The edge's own keys being refused is no fault of the caller.
        401 | 403 if proof == Proof::OurKey => {
            Error::internal(format!("the database refuses our key: {message}"))
        }
        401 if proof == Proof::OurToken => {
            Error::internal(format!("the database refuses what we sign tokens with: {message}"))
        }
        401 => Error::Unauthenticated { reason: "the database refused the token" },
        402 => no_credit(refusal.details.as_deref().unwrap_or_default()),
        403 => Error::Forbidden,
        // A function that isn't there is a bug; a row that isn't is not.
        404 if is_ours => Error::NotFound,
        409 => Error::Conflict { detail: message },
        429 => Error::Overloaded { what: "database", retry_after_s: 5 },
        500..=599 | 408 => Error::unavailable("database", format!("status {status}: {message}")),
        _ => Error::internal(format!("the database answered {status}: {message}")),
    }
}

/// From `create_job`'s detail, `1 needed, 0 left`.
fn no_credit(details: &str) -> Error {
    let left = details.split(", ").nth(1).and_then(|part| part.split(' ').next());
    let balance = left.and_then(|number| number.parse().ok()).unwrap_or(0);
    Error::NoCredit { balance, reserved: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str) -> Error {
        let body = format!(
            r#"{{"code":"{code}","message":"why","details":"1 needed, 3 left","hint":null}}"#
        );
        error_of(Proof::PersonsToken, status, &body)
    }

    #[test]
    fn our_functions_refusals_become_situations() {
        assert!(matches!(refused(401, "PT401"), Error::Unauthenticated { .. }));
        assert!(matches!(refused(402, "PT402"), Error::NoCredit { balance: 3, reserved: 0 }));
        assert!(matches!(refused(403, "PT403"), Error::Forbidden));
        assert!(matches!(refused(404, "PT404"), Error::NotFound));
        assert!(matches!(refused(409, "PT409"), Error::Conflict { .. }));
    }

    #[test]
    fn a_missing_function_is_a_bug_and_not_a_missing_row() {
        assert!(matches!(refused(404, "PGRST202"), Error::Internal { .. }));
    }

    #[test]
    fn a_refused_key_of_ours_is_not_the_callers_fault() {
        assert!(matches!(error_of(Proof::OurKey, 401, ""), Error::Internal { .. }));
        assert!(matches!(error_of(Proof::OurKey, 403, "{}"), Error::Internal { .. }));
        assert!(matches!(error_of(Proof::OurToken, 401, ""), Error::Internal { .. }));
        assert!(matches!(error_of(Proof::OurToken, 403, "{}"), Error::Forbidden));
    }

    #[test]
    fn trouble_behind_us_may_pass_whatever_the_body_is() {
        for status in [408, 500, 502, 503, 504] {
            let error = error_of(Proof::PersonsToken, status, "<html>");
            assert!(matches!(error, Error::Unavailable { .. }), "{status}");
        }
    }
}
