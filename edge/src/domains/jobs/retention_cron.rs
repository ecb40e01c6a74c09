//! Deletes what is past its retention, once an hour.

use crate::{error::Result, ports::stores::JobStore};

const MS_PER_MINUTE: u64 = 60_000;

/// Whether this minute is the one of the hour.
pub fn is_due(now_ms: u64) -> bool {
    (now_ms / MS_PER_MINUTE).is_multiple_of(60)
}

/// Deletes old rows and reports how many of which table.
pub async fn delete_old_rows(jobs: &dyn JobStore) -> Result<()> {
    for (table, deleted) in jobs.delete_old_rows().await? {
        tracing::info!(table, deleted, "old rows were deleted");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_due_in_the_first_minute_of_each_hour() {
        let hour_ms = 60 * MS_PER_MINUTE;
        assert!(is_due(7 * hour_ms + 59_999));
        assert!(!is_due(7 * hour_ms + 60_000));
        assert!(!is_due(8 * hour_ms - 1));
    }
}
