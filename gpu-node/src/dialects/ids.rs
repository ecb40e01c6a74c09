//! One job, four spellings of its id: the node's UUID, RunPod's `<uuid>-u1` and `sync-<uuid>`, Replicate's 26 letters.

use shared::ids::JobId;
use uuid::Uuid;

use crate::jobs::{Dialect, Run};

const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// 128 bits in fives; the last letter has two bits to spare.
const REPLICATE_CHARS: usize = 26;

/// As RunPod's callers know it.
pub fn runpod_id(run: &Run) -> String {
    match run.origin.dialect {
        Dialect::RunPod { is_sync: true } => format!("sync-{}", run.order.id),
        _ => format!("{}-u1", run.order.id),
    }
}

/// As Replicate's callers know it: base32 of the UUID.
pub fn replicate_id(id: JobId) -> String {
    let bits = id.0.as_u128();
    let letter = |index: usize| {
        let five = match index {
            25 => bits << 2,
            _ => bits >> (123 - 5 * index),
        };
        char::from(LETTERS[(five & 31) as usize])
    };
    (0..REPLICATE_CHARS).map(letter).collect()
}

/// The job that any of the spellings means.
pub fn parse_id(text: &str) -> Option<JobId> {
    if text.len() == REPLICATE_CHARS {
        return parse_replicate(text);
    }
    let text = text.strip_prefix("sync-").unwrap_or(text);
    let (id, region) = text.split_at_checked(36)?;
    let is_region = region.is_empty() || (region.starts_with('-') && region.len() <= 4);
    if !is_region {
        return None;
    }
    Uuid::try_parse(id).ok().map(JobId)
}

fn parse_replicate(text: &str) -> Option<JobId> {
    let mut bits: u128 = 0;
    for (index, letter) in text.bytes().enumerate() {
        let five = LETTERS.iter().position(|known| *known == letter)? as u128;
        match index {
            25 if five & 3 != 0 => return None,
            25 => bits = bits << 3 | five >> 2,
            _ => bits = bits << 5 | five,
        }
    }
    Some(JobId(Uuid::from_u128(bits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_means_the_same_job() {
        let id: JobId = "79164ff4-d212-44bc-9fe3-389e199a5c15".parse().unwrap();
        let letters = replicate_id(id);
        assert_eq!(letters, "pele75gscjclzh7dhcpbtgs4cu");
        for text in [
            "79164ff4-d212-44bc-9fe3-389e199a5c15",
            "79164ff4-d212-44bc-9fe3-389e199a5c15-u1",
            "sync-79164ff4-d212-44bc-9fe3-389e199a5c15",
            "sync-79164ff4-d212-44bc-9fe3-389e199a5c15-e1",
            &letters,
        ] {
            assert_eq!(parse_id(text), Some(id), "{text}");
        }
    }

    #[test]
    fn the_smallest_and_the_largest_id_come_back() {
        for bits in [0, 1, u128::MAX, 1 << 127, 3] {
            let id = JobId(Uuid::from_u128(bits));
            assert_eq!(parse_id(&replicate_id(id)), Some(id), "{bits}");
        }
    }

    #[test]
    fn what_is_no_id_is_none() {
        for text in [
            "",
            "7",
            "79164ff4-d212-44bc-9fe3-389e199a5c15-something",
            "79164ff4-d212-44bc-9fe3-389e199a5c1g",
            "pelie75gscjcll7y4irhqzglqv",
            "PELE75GSCJCLZH7DHCPBTGS4CU",
            "é\u{e9}64ff4-d212-44bc-9fe3-389e199a5c15",
        ] {
            assert_eq!(parse_id(text), None, "{text}");
        }
    }
}
