//! Compares accounts with the ledger, every ten minutes, and counts how many had to be corrected.

use shared::ids::UserId;
use uuid::Uuid;

use crate::{
    error::Result,
    ports::{gates::Account, stores::JobStore, system::Random},
};

/// The name under which corrections are counted.
const COUNTER: &str = "accounts_corrected";

const PAGE: u32 = 50;
/// One turn's worth: each account is a call, and the platform allows a thousand.
const PAGES_MAX: u32 = 8;

const MS_PER_MINUTE: u64 = 60_000;

/// Whether this minute is one of the six of the hour.
pub fn is_due(now_ms: u64) -> bool {
    now_ms / MS_PER_MINUTE % 10 == 5
}

/// Compares whoever did something of late; answers how many accounts were wrong. It begins at an id of chance and goes
/// round, so that all get their turn when there are more than one turn holds.
pub async fn compare_accounts(
    jobs: &dyn JobStore,
    account: &dyn Account,
    random: &dyn Random,
) -> Result<u64> {
    let start = UserId(Uuid::from_bytes(random.bytes()));
    let (mut after, mut is_round) = (start, false);
    let mut corrected = 0;
    for _ in 0..PAGES_MAX {
        let page = jobs.accounts(after, PAGE).await?;
        let next = page.last().map(|last| last.user_id);
        let is_last = (page.len() as u64) < u64::from(PAGE);
        for state in page {
            if is_round && state.user_id > start {
                break;
            }
            let user = state.user_id;
            match account.compare(user, state.ledger).await {
                Ok(0) => {}
                Ok(credits) => {
                    corrected += 1;
                    tracing::warn!(%user, credits, "an account had drifted from the ledger");
                }
                Err(error) => tracing::warn!(%user, %error, "an account was not compared"),
            }
        }
        match next.filter(|_| !is_last) {
            Some(last) if !is_round || last <= start => after = last,
            _ if is_round => break,
            _ => (after, is_round) = (UserId(Uuid::nil()), true),
        }
    }
    if corrected > 0 {
        jobs.add_to_counter(COUNTER, corrected).await?;
    }
    Ok(corrected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_due_every_ten_minutes_and_not_with_retention() {
        let due = (0..60).filter(|minute| is_due(minute * MS_PER_MINUTE));
        assert_eq!(due.collect::<Vec<_>>(), [5, 15, 25, 35, 45, 55]);
    }
}
