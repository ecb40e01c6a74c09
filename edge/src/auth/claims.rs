//! What a token must claim before its holder is believed to be anyone.

use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;
use sha2::{Digest, Sha256};
use shared::ids::UserId;
use uuid::Uuid;

use crate::{
    caller::{AccessToken, Caller},
    config::IssuerConfig,
};

/// Between our clock and the issuer's.
const LEEWAY_S: i64 = 30;

/// Supabase gives it to people; `anon` and `service_role` keys are no people.
const ROLE: &str = "authenticated";

/// The claims that are read, beside the times, which jwt-compact reads.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    #[serde(default)]
    aud: Option<Audience>,
    /// The origin it was made for; Clerk's.
    #[serde(default)]
    azp: Option<String>,
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
    fn check(&self, issuer: &IssuerConfig, now_s: u64) -> Result<(), &'static str>;
    /// Up to when the token may be taken for verified, leeway included.
    fn expires_s(&self) -> u64;
}

impl Check for jwt_compact::Claims<Claims> {
    fn check(&self, issuer: &IssuerConfig, now_s: u64) -> Result<(), &'static str> {
        let names = |audience: &String| match &self.custom.aud {
            Some(Audience::One(one)) => one == audience,
            Some(Audience::Several(several)) => several.contains(audience),
            None => false,
        };
        if !issuer.audience.as_ref().is_none_or(names) {
            return Err("for another audience");
        }
        let parties = &issuer.authorized_parties;
        if !parties.is_empty() && !self.custom.azp.as_ref().is_some_and(|azp| parties.contains(azp))
        {
            return Err("for another party");
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
        if !issuer.is_foreign && self.custom.role.as_deref() != Some(ROLE) {
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
    pub(super) fn caller(self, issuer: &IssuerConfig, token: &str) -> Result<Caller, &'static str> {
        let user_id = match issuer.is_foreign {
            true if self.sub.is_empty() => return Err("without a user"),
            true => foreign_person(&issuer.issuer, &self.sub),
            false => UserId(Uuid::parse_str(&self.sub).map_err(|_| "without a user")?),
        };
        let role = self.app_metadata.and_then(|metadata| metadata.role);
        Ok(Caller {
            user_id,
            is_foreign: issuer.is_foreign,
            email: self.email.filter(|email| !email.is_empty()),
            role: role.and_then(|role| role.as_str().map(str::to_owned)),
            token: AccessToken::new(token),
        })
    }
}

/// Whom a foreign issuer means: an id of our own that follows from its name for them, and that no other issuer's can be.
pub fn foreign_person(issuer: &str, subject: &str) -> UserId {
    let digest: [u8; 32] = Sha256::digest(format!("{issuer}\n{subject}")).into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    UserId::from_random(bytes)
}
