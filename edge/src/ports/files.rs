//! Files in storage that pass through the edge, small enough to be held: pictures that a run starts from.

use async_trait::async_trait;

use crate::error::Result;

/// Storage, as the service. Paths begin with the bucket.
#[async_trait]
pub trait Files: Send + Sync {
    /// Stores a file, replacing what is there.
    async fn put(&self, path: &str, content_type: &str, bytes: Vec<u8>) -> Result<()>;
    /// The bytes of a file; `None` if there is none.
    async fn get(&self, path: &str) -> Result<Option<Vec<u8>>>;
    /// An address under which anybody can read the file for so long.
    async fn sign(&self, path: &str, lifetime_s: u64) -> Result<String>;
}
