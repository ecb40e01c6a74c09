//! What can go wrong at the edge, as situations. No HTTP here: `http/respond.rs` alone turns them into statuses.

use shared::errors::FieldError;
use thiserror::Error;

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// A situation. `detail` texts are safe to show; causes go to the log only.
#[derive(Debug, Clone, Error)]
pub enum Error {
    /// The body isn't what its content type says.
    #[error("malformed body: {detail}")]
    Malformed { detail: String },
    /// Fields that break rules, all of them.
    #[error("{} invalid fields", .0.len())]
    Invalid(Vec<FieldError>),
    /// No token, or one that proves nothing.
    #[error("unauthenticated: {reason}")]
    Unauthenticated { reason: &'static str },
    #[error("forbidden")]
    Forbidden,
    /// Absent, or not yours to know.
    #[error("not found")]
    NotFound,
    #[error("conflict: {detail}")]
    Conflict { detail: String },
    /// An idempotency key that was used with another body.
    #[error("idempotency key reused with another body")]
    KeyReused,
    #[error("no credit left")]
    NoCredit { balance: i64, reserved: i64 },
    #[error("body too large")]
    BodyTooLarge { max_bytes: usize },
    #[error("unsupported content type")]
    UnsupportedMediaType { expected: &'static str },
    /// This caller asks too often.
    #[error("rate limited: {policy}")]
    RateLimited { policy: &'static str, limit: u32, retry_after_s: u32 },
    /// A part behind us is full.
    #[error("overloaded: {what}")]
    Overloaded { what: &'static str, retry_after_s: u32 },
    /// A part behind us can't be reached.
    #[error("unavailable: {what}: {cause}")]
    Unavailable { what: &'static str, cause: String, retry_after_s: u32 },
    /// The job its caller waited for failed; it was not charged. `detail` is the job's own.
    #[error("the job failed: {detail}")]
    JobFailed { detail: String },
    /// A bug, or an answer nobody foresaw.
    #[error("internal: {cause}")]
    Internal { cause: String },
}

impl Error {
    /// A part that can't be reached now.
    pub fn unavailable(what: &'static str, cause: impl ToString) -> Self {
        Self::Unavailable { what, cause: cause.to_string(), retry_after_s: 5 }
    }

    /// A failure nobody foresaw.
    pub fn internal(cause: impl ToString) -> Self {
        Self::Internal { cause: cause.to_string() }
    }
}
