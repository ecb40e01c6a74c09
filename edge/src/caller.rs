//! Who is asking.

use shared::ids::UserId;

/// A person with a verified token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub user_id: UserId,
    /// Of an issuer whose tokens the database can't read: `token` is then one that the edge wrote.
    pub is_foreign: bool,
    pub email: Option<String>,
    /// From `app_metadata.role` of the token, never from `user_metadata`.
    pub role: Option<String>,
    /// The caller's own token: their reads and writes go to the database with it.
    pub token: AccessToken,
}

/// A bearer token that never prints.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    text: String,
    is_ours: bool,
}

impl AccessToken {
    pub fn new(token: impl Into<String>) -> Self {
        Self { text: token.into(), is_ours: false }
    }

    /// One that the edge wrote for somebody: if it is refused, that is no fault of theirs.
    pub fn written(token: impl Into<String>) -> Self {
        Self { text: token.into(), is_ours: true }
    }

    /// Whether the edge wrote it.
    pub fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// The token itself, for an `Authorization` header and nothing else.
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessToken(***)")
    }
}
