//! Temperature, top-k, min-p and top-p: which tokens stay, and with what weight.

use crate::engines::text::request::Sampling;

/// How far below the best a token is too unlikely ever to be drawn: e⁻⁴⁰ is less than the step of the random number.
const NEGLIGIBLE: f32 = -40.0;

/// Tokens looked at first for top-p; more are when their probability does not suffice.
const FIRST_SORTED: usize = 256;

/// A token that may be drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) id: u32,
    /// Its logit relative to the best and divided by the temperature; after `keep` its weight.
    pub(super) weight: f32,
}

/// Puts the tokens that stay into `candidates`, by id, and returns the sum of their weights.
pub(super) fn keep(logits: &[f32], sampling: &Sampling, candidates: &mut Vec<Candidate>) -> f64 {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // Equal to dropping every token whose probability is below min-p times the best one's.
    let floor = sampling.min_p.ln().max(NEGLIGIBLE);
    candidates.clear();
    candidates.extend((0_u32..).zip(logits).filter_map(|(id, &logit)| {
        let weight = (logit - highest) / sampling.temperature;
        (weight >= floor).then_some(Candidate { id, weight })
    }));
    if let Some(count) = sampling.top_k {
        keep_top_k(candidates, count);
    }
    let mut total = 0.0;
    for candidate in &mut *candidates {
        candidate.weight = candidate.weight.exp();
        total += f64::from(candidate.weight);
    }
    if sampling.top_p < 1.0 { keep_top_p(candidates, sampling.top_p, total) } else { total }
}

/// Keeps the `count` best, and those equal to the last of them.
fn keep_top_k(candidates: &mut Vec<Candidate>, count: usize) {
    if candidates.len() <= count {
        return;
    }
    let mut weights: Vec<f32> = candidates.iter().map(|candidate| candidate.weight).collect();
    let (_, &mut lowest, _) =
        weights.select_nth_unstable_by(count.saturating_sub(1), |a, b| b.total_cmp(a));
    candidates.retain(|candidate| candidate.weight >= lowest);
}

/// Keeps the smallest set of best tokens that has this much of the probability.
fn keep_top_p(candidates: &mut Vec<Candidate>, share: f32, total: f64) -> f64 {
    let enough = total * f64::from(share);
    let better = |a: &Candidate, b: &Candidate| b.weight.total_cmp(&a.weight).then(a.id.cmp(&b.id));
    let mut sum = 0.0;
    let mut kept = 0;
    let mut sorted = 0;
    while kept < candidates.len() && (kept == 0 || sum < enough) {
        if kept == sorted {
            // A whole sort of the vocabulary costs ten times what finding its best part does.
            let rest = &mut candidates[sorted..];
            let wanted = (sorted * 7).max(FIRST_SORTED).min(rest.len());
            if wanted < rest.len() {
                rest.select_nth_unstable_by(wanted, better);
            }
            rest[..wanted].sort_unstable_by(better);
            sorted += wanted;
        }
        sum += f64::from(candidates[kept].weight);
        kept += 1;
    }
    candidates.truncate(kept);
    candidates.sort_unstable_by_key(|candidate| candidate.id);
    sum
}

/// The token at `point` (0 to 1) of the kept weights, laid end to end by id: a small change of the logits moves the
/// borders a little and never reorders them.
pub(super) fn draw(candidates: &[Candidate], total: f64, point: f64) -> Option<u32> {
    let target = point * total;
    let mut sum = 0.0;
    for candidate in candidates {
        sum += f64::from(candidate.weight);
        if target < sum {
            return Some(candidate.id);
        }
    }
    candidates.last().map(|candidate| candidate.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(logits: &[f32], sampling: &Sampling) -> Vec<u32> {
        let mut candidates = Vec::new();
        keep(logits, sampling, &mut candidates);
        candidates.iter().map(|candidate| candidate.id).collect()
    }

    #[test]
    fn top_k_keeps_those_equal_to_the_last() {
        let sampling = Sampling { top_k: Some(2), ..Sampling::default() };
        assert_eq!(kept(&[1.0, 3.0, 2.0, 2.0, 0.0], &sampling), [1, 2, 3]);
    }

    #[test]
    fn top_p_keeps_at_least_the_best() {
        let sampling = Sampling { top_p: 0.0, ..Sampling::default() };
        assert_eq!(kept(&[1.0, 3.0, 3.0], &sampling), [1]);
    }

    #[test]
    fn top_p_of_a_flat_row_looks_beyond_the_first_part() {
        let logits = vec![0.0; 10_000];
        let sampling = Sampling { top_p: 0.5, ..Sampling::default() };
        let found = kept(&logits, &sampling);
        assert_eq!(found, (0..5000).collect::<Vec<u32>>());
    }

    #[test]
    fn top_p_agrees_with_a_full_sort() {
        for seed in 0..20_u32 {
            let logits: Vec<f32> = (0..3000_u32)
                .map(|id| {
                    let mixed = (id.wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(40_503)) >> 16;
                    (mixed % 997) as f32 / 150.0
                })
                .collect();
            let share = 0.05 + seed as f32 * 0.049;
            let mut order: Vec<usize> = (0..logits.len()).collect();
            order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
            let weight = |id: usize| f64::from((logits[id] - logits[order[0]]).exp());
            let total: f64 = order.iter().map(|&id| weight(id)).sum();
            let mut sum = 0.0;
            let mut expected: Vec<u32> = order
                .iter()
                .take_while(|&&id| {
                    let is_kept = sum < total * f64::from(share);
                    sum += weight(id);
                    is_kept
                })
                .map(|&id| id as u32)
                .collect();
            expected.sort_unstable();
            let sampling = Sampling { top_p: share, ..Sampling::default() };
            assert_eq!(kept(&logits, &sampling), expected, "share {share}");
        }
    }

    #[test]
    fn the_draw_covers_the_kept_tokens_from_end_to_end() {
        let candidates = [Candidate { id: 4, weight: 1.0 }, Candidate { id: 9, weight: 3.0 }];
        for (point, expected) in [(0.0, 4), (0.249, 4), (0.251, 9), (0.999, 9), (1.0, 9)] {
            assert_eq!(draw(&candidates, 4.0, point), Some(expected), "at {point}");
        }
        assert_eq!(draw(&[], 0.0, 0.5), None);
    }
}
