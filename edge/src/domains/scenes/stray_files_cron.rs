//! Removes pictures that no row shows: of jobs that were cancelled or failed while they were being stored.

use crate::{
    error::Result,
    ports::stores::{JobStore, SceneStore},
};

/// The name under which removed files are counted.
const COUNTER: &str = "files_removed";

/// One turn's worth; what is more comes with the next.
const FILES_PER_TURN: u32 = 100;

const MS_PER_MINUTE: u64 = 60_000;

/// Whether this minute is the one of the hour.
pub fn is_due(now_ms: u64) -> bool {
    now_ms / MS_PER_MINUTE % 60 == 30
}

/// Removes what is there; answers how many. A file that can't be removed now is found again.
pub async fn remove_stray_files(jobs: &dyn JobStore, scenes: &dyn SceneStore) -> Result<u64> {
    let mut removed = 0;
    for path in scenes.stray_files(FILES_PER_TURN).await? {
        match scenes.remove_file(&path).await {
            Ok(()) => removed += 1,
            Err(error) => tracing::warn!(path, %error, "a stray file was not removed"),
        }
    }
    if removed > 0 {
        tracing::info!(removed, "stray files were removed");
        jobs.add_to_counter(COUNTER, removed).await?;
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_due_once_an_hour() {
        assert_eq!((0..120).filter(|minute| is_due(minute * MS_PER_MINUTE)).count(), 2);
    }
}
