//! Why files do not come from a hub, in words that say what to do.

use std::{io, path::PathBuf, time::Duration};

use thiserror::Error;

use super::checksum::Mismatch;

/// Why a pull ended without the model.
#[derive(Debug, Error)]
pub enum HubError {
    #[error("HF_ENDPOINT must be an http:// or https:// address, not {0:?}")]
    Endpoint(String),
    #[error("{0} comes from no hub: its files are where its manifest says")]
    NotFromHub(String),
    #[error("{path} of {repository} is not in the cache, and offline nothing is asked of the hub")]
    Offline { repository: String, path: String },
    #[error(
        "the hub gives {repository} to nobody without a token ({detail}): set HF_TOKEN, and accept the terms at {page} if it asks for that"
    )]
    TokenNeeded { repository: String, page: String, detail: String },
    #[error(
        "the hub does not accept HF_TOKEN for {repository} ({detail}): make sure that it may read the repository, that the name is right, and that its terms are accepted at {page}"
    )]
    TokenRefused { repository: String, page: String, detail: String },
    #[error(
        "{repository} is for those who accepted its terms ({detail}): accept them at {page} with the account of HF_TOKEN"
    )]
    Gated { repository: String, page: String, detail: String },
    #[error("there is no {what} on the hub ({detail})")]
    NotThere { what: String, detail: String },
    #[error("{host} answered {status} for {path}{detail}")]
    Refused { host: String, status: u16, path: String, detail: String, wait: Option<Duration> },
    #[error("{host} cannot be reached: {reason}")]
    Unreachable { host: String, reason: String },
    /// The transfer ended before the file did.
    #[error("the transfer of {path} from {host} broke: {reason}")]
    Broken { host: String, path: String, reason: String },
    #[error("{path}: the hub's answer cannot be right: {reason}")]
    Unexpected { path: String, reason: String },
    #[error(
        "{path} has {} {}, it should be {}; what came was removed",
        .mismatch.kind, .mismatch.found, .mismatch.expected
    )]
    WrongContent { path: String, mismatch: Box<Wrong> },
    #[error("{path} has {kind} {found} on the hub, its manifest says {expected}")]
    NotAsListed { path: String, kind: &'static str, found: String, expected: String },
    #[error(
        "the disk is full: {path} has {have} of {bytes} bytes ({source}); they are kept, and the next pull goes on from there"
    )]
    DiskFull { path: PathBuf, have: u64, bytes: u64, source: io::Error },
    #[error("{path}: {source}")]
    Disk { path: PathBuf, source: io::Error },
    #[error("{error}, {attempts} times in a row; the next pull goes on where this one stopped")]
    GaveUp { attempts: u32, error: Box<HubError> },
    #[error("the pull was stopped; the next one goes on where it was")]
    Stopped,
}

/// What a file is, and what it was meant to be.
#[derive(Debug)]
pub struct Wrong {
    kind: &'static str,
    found: String,
    expected: String,
}

impl From<Mismatch> for Wrong {
    fn from(Mismatch { kind, found, expected }: Mismatch) -> Self {
        Self { kind, found, expected }
    }
}

impl HubError {
    /// Whether the same request may go well a moment later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => true,
            Self::Refused { status, .. } => matches!(status, 403 | 408 | 429 | 500..=599),
            _ => false,
        }
    }

    /// What the hub asks for before the next request.
    pub(super) fn wait(&self) -> Option<Duration> {
        if let Self::Refused { wait, .. } = self { *wait } else { None }
    }

    pub(super) fn disk(path: PathBuf, source: io::Error) -> Self {
        Self::Disk { path, source }
    }

    /// A write that failed with so many bytes of the file on the disk.
    pub(super) fn write(path: PathBuf, have: u64, bytes: u64, source: io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match source.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => {
                Self::DiskFull { path, have, bytes, source }
            }
            _ => Self::Disk { path, source },
        }
    }
}
