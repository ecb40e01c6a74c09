//! What the handlers may use, put together once at start and shared by all requests.

use std::sync::Arc;

use shared::tokens::{bearer, is_allowed};

use crate::{jobs::Jobs, scheduler::Metrics};

/// The node behind the door.
#[derive(Clone)]
pub struct AppState {
    pub jobs: Arc<Jobs>,
    pub metrics: Arc<Metrics>,
    pub access: Access,
}

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
                header.and_then(bearer).is_some_and(|token| is_allowed(token, tokens))
            }
        }
    }
}
