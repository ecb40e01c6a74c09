//! Choosing the next token from a row of logits.
//!
//! The order is fixed: grammar mask, logit bias, penalties, temperature, top-k, min-p, top-p, draw. Nothing here
//! knows of batches: a row and the tokens before it decide alone what is chosen.

mod cuts;
mod logprobs;
mod mask;
mod penalties;
mod random;
mod sampler;

pub use logprobs::{Logprobs, log_probabilities};
pub use mask::TokenMask;
pub use sampler::{Chosen, Sampler};

#[cfg(test)]
mod golden_tests;
