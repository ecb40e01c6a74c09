//! One continuation's way of choosing tokens, and what it remembers of them.

use super::{Logprobs, TokenMask, cuts, log_probabilities, penalties::Penalties, random::uniform};
use crate::engines::{EngineError, text::request::Sampling};

/// The next token, and how likely it was where that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    pub token: u32,
    pub logprobs: Option<Logprobs>,
}

/// Chooses the tokens of one continuation, one place after the other.
#[derive(Debug, Clone)]
pub struct Sampler {
    sampling: Sampling,
    choice: u64,
    /// Tokens accepted so far; the random number of a place depends on it.
    position: u64,
    penalties: Penalties,
    candidates: Vec<cuts::Candidate>,
    raw: Vec<f32>,
}

impl Sampler {
    /// The sampler of continuation `choice` of a prompt; refuses settings that mean nothing.
    pub fn new(sampling: &Sampling, choice: usize, prompt: &[u32]) -> Result<Self, EngineError> {
        check(sampling)?;
        Ok(Self {
            sampling: sampling.clone(),
            choice: choice as u64,
            position: 0,
            penalties: Penalties::new(sampling, prompt),
            candidates: Vec::new(),
            raw: Vec::new(),
        })
    }

    /// Chooses from a row of logits, which it changes; the choice counts once `accept` is told of it.
    pub fn choose(
        &mut self,
        logits: &mut [f32],
        allowed: Option<&TokenMask>,
    ) -> Result<Chosen, EngineError> {
        if logits.iter().any(|&logit| logit.is_nan() || logit == f32::INFINITY) {
            return Err(EngineError::Failed(
                "the model computed logits that are not numbers".into(),
            ));
        }
        if self.sampling.logprobs.is_some() {
            self.raw.clear();
            self.raw.extend_from_slice(logits);
        }
        if let Some(mask) = allowed {
            mask.apply(logits);
        }
        for &(token, bias) in &self.sampling.logit_bias {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit += bias;
            }
        }
        self.penalties.apply(logits);
        let token = self
            .pick(logits)
            .ok_or_else(|| EngineError::Failed("no token is allowed to come next".into()))?;
        let logprobs = self.sampling.logprobs.map(|top| log_probabilities(&self.raw, token, top));
        Ok(Chosen { token, logprobs })
    }

    /// Notes that the continuation goes on with this token, chosen or forced.
    pub fn accept(&mut self, token: u32) {
        self.penalties.count(token);
        self.position += 1;
    }

    fn pick(&mut self, logits: &[f32]) -> Option<u32> {
        if self.sampling.temperature == 0.0 {
            return likeliest(logits);
        }
        let total = cuts::keep(logits, &self.sampling, &mut self.candidates);
        let point = uniform(self.sampling.seed, self.choice, self.position);
        cuts::draw(&self.candidates, total, point)
    }
}

/// The token with the highest logit, the first of equal ones.
fn likeliest(logits: &[f32]) -> Option<u32> {
    let mut best = None;
    let mut highest = f32::NEG_INFINITY;
    for (id, &logit) in (0_u32..).zip(logits) {
        if logit > highest {
            highest = logit;
            best = Some(id);
        }
    }
    best
}

/// Refuses what no draw can be made with.
fn check(sampling: &Sampling) -> Result<(), EngineError> {
    let rules = [
        (
            sampling.temperature >= 0.0 && sampling.temperature.is_finite(),
            "temperature must be 0 or more",
        ),
        ((0.0..=1.0).contains(&sampling.top_p), "top_p must be from 0 to 1"),
        (sampling.top_k != Some(0), "top_k must be 1 or more"),
        ((0.0..=1.0).contains(&sampling.min_p), "min_p must be from 0 to 1"),
        (
            sampling.repetition_penalty > 0.0 && sampling.repetition_penalty.is_finite(),
            "repetition_penalty must be more than 0",
        ),
        (
            sampling.presence_penalty.is_finite() && sampling.frequency_penalty.is_finite(),
            "presence_penalty and frequency_penalty must be numbers",
        ),
        (
            sampling.logit_bias.iter().all(|(_, bias)| bias.is_finite()),
            "each logit_bias must be a number",
        ),
    ];
    match rules.into_iter().find(|(holds, _)| !holds) {
        Some((_, fault)) => Err(EngineError::InvalidInput(fault.into())),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "sampler_tests.rs"]
mod tests;
