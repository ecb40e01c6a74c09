//! Verified tokens by their hash, until they expire or five minutes have passed: then keys are looked up again, so that
//! a key that was withdrawn is found missing. Bounded: two generations, of which the older is dropped whole.

use std::collections::HashMap;

use crate::caller::Caller;

type Hash = [u8; 32];

/// How long a token is believed without looking at its key.
const KEPT_FOR_S: u64 = 5 * 60;

/// At most `capacity` tokens; one that is used often enough stays.
pub(super) struct TokenCache {
    half: usize,
    young: HashMap<Hash, Kept>,
    old: HashMap<Hash, Kept>,
}

struct Kept {
    caller: Caller,
    until_s: u64,
}

impl TokenCache {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self { half: (capacity / 2).max(1), young: HashMap::new(), old: HashMap::new() }
    }

    pub(super) fn find(&mut self, hash: &Hash, now_s: u64) -> Option<Caller> {
        if !self.young.contains_key(hash) {
            let kept = self.old.remove(hash)?;
            self.insert(*hash, kept);
        }
        let kept = self.young.get(hash)?;
        if now_s > kept.until_s {
            self.young.remove(hash);
            return None;
        }
        Some(kept.caller.clone())
    }

    pub(super) fn keep(&mut self, hash: Hash, caller: Caller, expires_s: u64, now_s: u64) {
        let until_s = expires_s.min(now_s.saturating_add(KEPT_FOR_S));
        self.insert(hash, Kept { caller, until_s });
    }

    /// Forgets every token: a key is gone that may have signed one of them.
    pub(super) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    fn insert(&mut self, hash: Hash, kept: Kept) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, kept);
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::UserId;
    use uuid::Uuid;

    use super::*;
    use crate::caller::AccessToken;

    fn caller(number: u128) -> Caller {
        let user_id = UserId(Uuid::from_u128(number));
        Caller { user_id, is_foreign: false, email: None, role: None, token: AccessToken::new("") }
    }

    fn hash(number: usize) -> Hash {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_le_bytes());
        hash
    }

    #[test]
    fn forgets_what_has_expired() {
        let mut cache = TokenCache::with_capacity(10);
        cache.keep(hash(1), caller(1), 100, 0);
        assert_eq!(cache.find(&hash(1), 100), Some(caller(1)));
        assert_eq!(cache.find(&hash(1), 101), None);
        assert_eq!(cache.find(&hash(1), 100), None);
    }

    #[test]
    fn forgets_after_five_minutes_and_when_told() {
        let mut cache = TokenCache::with_capacity(10);
        cache.keep(hash(1), caller(1), 100_000, 1_000);
        assert_eq!(cache.find(&hash(1), 1_300), Some(caller(1)));
        assert_eq!(cache.find(&hash(1), 1_301), None);
        cache.keep(hash(2), caller(2), 100_000, 1_000);
        cache.clear();
        assert_eq!(cache.find(&hash(2), 1_000), None);
    }

    #[test]
    fn stays_bounded_and_keeps_what_is_used() {
        let mut cache = TokenCache::with_capacity(100);
        cache.keep(hash(0), caller(0), 100, 0);
        for number in 1..10_000 {
            cache.keep(hash(number), caller(1), 100, 0);
            assert_eq!(cache.find(&hash(0), 1), Some(caller(0)));
            assert!(cache.young.len() + cache.old.len() <= 100);
        }
        assert_eq!(cache.find(&hash(1), 1), None);
    }
}
