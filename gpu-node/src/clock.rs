//! The time as other machines know it.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time now.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
