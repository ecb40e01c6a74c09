//! The public internet, where callers' own files lie.

use std::net::IpAddr;

use async_trait::async_trait;
use shared::address::Address;

use crate::error::Result;

/// What an address answered; a redirect is an answer like any other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub status: u16,
    pub location: Option<String>,
    /// Empty unless the status is a success.
    pub bytes: Vec<u8>,
}

/// Why nothing could be had there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchFailure {
    /// More than was to be read.
    TooLarge,
    TooSlow,
    Unreachable,
}

/// Fetches what callers point to. Whether an address may be asked is decided before.
#[async_trait]
pub trait Web: Send + Sync {
    /// One request, without credentials and without following redirects; the body is given up beyond `max_bytes`.
    async fn fetch(
        &self,
        address: &Address,
        max_bytes: usize,
        timeout_ms: u32,
    ) -> std::result::Result<Fetched, FetchFailure>;
    /// What a name resolves to; `None` where nobody can be asked.
    async fn resolve(&self, name: &str) -> Result<Option<Vec<IpAddr>>>;
}
