//! What a token must claim before its holder is believed to be anyone.

use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;
use shared::ids::UserId;
use uuid::Uuid;

use crate::caller::{AccessToken, Caller};

/// Between our clock and the issuer's.
const LEEWAY_S: i64 = 30;

/// Supabase gives it to people; `anon` and `service_role` keys are no people.
const ROLE: &str = "authenticated";

/// The claims that are read, beside the times, which jwt-compact reads.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    aud: Audience,
    sub: String,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    app_metadata: Option<AppMetadata>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Written by the issuer alone, unlike `user_metadata`, which its owner may change.
#[derive(Deserialize)]
struct AppMetadata {
    #[serde(default)]
    role: Option<Value>,
}

/// Header fields beyond those that jwt-compact reads.
#[derive(Deserialize)]
pub(super) struct Extra {
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

impl Extra {
    /// RFC 7515: what is critical and not understood makes the token invalid.
    pub(super) fn is_critical(&self) -> bool {
        self.crit.is_some()
    }
}

/// The checks of the times and the audience.
pub(super) trait Check {
    fn check(&self, audience: &str, now_s: u64) -> Result<(), &'static str>;
    /// Up to when the token may be taken for verified, leeway included.
    fn expires_s(&self) -> u64;
}

impl Check for jwt_compact::Claims<Claims> {
    fn check(&self, audience: &str, now_s: u64) -> Result<(), &'static str> {
        let is_for_us = match &self.custom.aud {
            Audience::One(one) => one == audience,
            Audience::Several(several) => several.iter().any(|one| one == audience),
        };
        if !is_for_us {
            return Err("for another audience");
        }
        if self.expiration.is_none() {
            return Err("without an end");
        }
        if now_s > self.expires_s() {
            return Err("expired");
        }
        // Compared as numbers: chrono panics when a far-off date meets a leeway.
        let starts_s = self.not_before.map_or(i64::MIN, |time| time.timestamp());
        let now_s = i64::try_from(now_s).unwrap_or(i64::MAX);
        if starts_s > now_s.saturating_add(LEEWAY_S) {
            return Err("not valid yet");
        }
        if self.custom.role.as_deref() != Some(ROLE) {
            return Err("not a person's");
        }
        Ok(())
    }

    fn expires_s(&self) -> u64 {
        let expires_s = self.expiration.map_or(0, |time| time.timestamp());
        u64::try_from(expires_s.saturating_add(LEEWAY_S)).unwrap_or(0)
    }
}

impl Claims {
    /// The person, once everything was checked.
    pub(super) fn caller(self, token: &str) -> Result<Caller, &'static str> {
        let user_id = Uuid::parse_str(&self.sub).map_err(|_| "without a user")?;
        let role = self.app_metadata.and_then(|metadata| metadata.role);
        Ok(Caller {
            user_id: UserId(user_id),
            email: self.email.filter(|email| !email.is_empty()),
            role: role.and_then(|role| role.as_str().map(str::to_owned)),
            token: AccessToken::new(token),
        })
    }
}
