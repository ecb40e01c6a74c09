//! Work that computes for a while, kept away from the threads that serve requests.

use crate::error::{Error, Result};

/// Runs it where it keeps no other request waiting.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let finished = tokio::task::spawn_blocking(work).await;
    finished.map_err(|error| Error::Internal { cause: error.to_string() })
}
