//! What makes a token less likely because it was there before.

use std::collections::{HashMap, HashSet};

use crate::engines::text::request::Sampling;

/// The tokens that were seen, as far as the penalties ask for them.
#[derive(Debug, Clone)]
pub(super) struct Penalties {
    presence: f32,
    frequency: f32,
    repetition: f32,
    /// Empty when nothing depends on the prompt.
    prompt: HashSet<u32>,
    /// How often each token is in the answer.
    answer: HashMap<u32, u32>,
}

impl Penalties {
    pub(super) fn new(sampling: &Sampling, prompt: &[u32]) -> Self {
        let reads_prompt = sampling.repetition_penalty != 1.0;
        Self {
            presence: sampling.presence_penalty,
            frequency: sampling.frequency_penalty,
            repetition: sampling.repetition_penalty,
            prompt: if reads_prompt { prompt.iter().copied().collect() } else { HashSet::new() },
            answer: HashMap::new(),
        }
    }

    pub(super) fn count(&mut self, token: u32) {
        *self.answer.entry(token).or_default() += 1;
    }

    pub(super) fn apply(&self, logits: &mut [f32]) {
        if self.repetition != 1.0 {
            let only_in_prompt =
                self.prompt.iter().filter(|token| !self.answer.contains_key(token));
            for &token in self.answer.keys().chain(only_in_prompt) {
                if let Some(logit) = logits.get_mut(token as usize) {
                    *logit = if *logit > 0.0 {
                        *logit / self.repetition
                    } else {
                        *logit * self.repetition
                    };
                }
            }
        }
        if self.presence != 0.0 || self.frequency != 0.0 {
            for (&token, &count) in &self.answer {
                if let Some(logit) = logits.get_mut(token as usize) {
                    *logit -= self.presence + self.frequency * count as f32;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn penalised(sampling: Sampling, prompt: &[u32], answer: &[u32]) -> Vec<f32> {
        let mut penalties = Penalties::new(&sampling, prompt);
        answer.iter().for_each(|&token| penalties.count(token));
        let mut logits = vec![2.0, -2.0, 4.0, -4.0, 1.0];
        penalties.apply(&mut logits);
        logits
    }

    #[test]
    fn repetition_counts_prompt_and_answer_once_each() {
        let sampling = Sampling { repetition_penalty: 2.0, ..Sampling::default() };
        assert_eq!(penalised(sampling, &[0, 1, 0], &[0, 3, 3]), [1.0, -4.0, 4.0, -8.0, 1.0]);
    }

    #[test]
    fn presence_and_frequency_count_the_answer_only() {
        let sampling =
            Sampling { presence_penalty: 0.5, frequency_penalty: 0.25, ..Sampling::default() };
        assert_eq!(penalised(sampling, &[0, 1], &[2, 3, 3]), [2.0, -2.0, 3.25, -5.0, 1.0]);
    }

    #[test]
    fn a_token_the_logits_do_not_have_changes_nothing() {
        let sampling =
            Sampling { repetition_penalty: 2.0, presence_penalty: 1.0, ..Sampling::default() };
        assert_eq!(penalised(sampling, &[99], &[98]), [2.0, -2.0, 4.0, -4.0, 1.0]);
    }
}
