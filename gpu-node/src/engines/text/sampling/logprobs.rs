//! How likely a token was: the natural logarithm of the softmax over the model's own logits, before any mask, bias,
//! penalty, temperature or cut.

/// The chosen token's log-probability, and the likeliest tokens beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Logprobs {
    pub chosen: f32,
    /// Best first; equal ones by id.
    pub top: Vec<(u32, f32)>,
}

/// Reads `token` and the `top` likeliest tokens off a row of logits as the model computed it.
pub fn log_probabilities(logits: &[f32], token: u32, top: usize) -> Logprobs {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from((logit - highest).exp())).sum();
    let normaliser = f64::from(highest) + sum.ln();
    let logprob = |logit: f32| (f64::from(logit) - normaliser) as f32;
    let chosen = logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
    Logprobs {
        chosen: logprob(chosen),
        top: likeliest(logits, top).into_iter().map(|(id, logit)| (id, logprob(logit))).collect(),
    }
}

/// The highest logits, best first; `count` is small, so inserting beats sorting the row.
fn likeliest(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut best: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
    for (id, &logit) in (0_u32..).zip(logits) {
        let is_full = best.len() >= count;
        if is_full && best.last().is_none_or(|&(_, lowest)| logit <= lowest) {
            continue;
        }
        let place = best.partition_point(|&(_, other)| other >= logit);
        best.insert(place, (id, logit));
        best.truncate(count);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_logits_share_the_probability() {
        let found = log_probabilities(&[5.0; 4], 2, 2);
        assert!((found.chosen - 0.25_f32.ln()).abs() < 1e-6);
        assert_eq!(found.top.iter().map(|&(id, _)| id).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn the_likeliest_come_best_first() {
        let found = log_probabilities(&[0.0, 3.0, -1.0, 3.0, 2.0], 2, 3);
        assert_eq!(found.top.iter().map(|&(id, _)| id).collect::<Vec<_>>(), [1, 3, 4]);
        let sum: f32 = [0.0_f32, 3.0, -1.0, 3.0, 2.0].iter().map(|logit| logit.exp()).sum();
        assert!((found.chosen - (-1.0 - sum.ln())).abs() < 1e-5);
        assert!(log_probabilities(&[0.0, 3.0], 0, 0).top.is_empty());
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let found = log_probabilities(&[1000.0, 999.0], 0, 1);
        assert!((found.chosen - -0.313_261_7).abs() < 1e-5);
    }
}
