//! A grammar on its way through one answer.

use llguidance::Matcher;

use crate::engines::{EngineError, text::sampling::TokenMask};

/// The state of a grammar after the tokens accepted so far.
pub struct Grammar {
    matcher: Matcher,
}

impl std::fmt::Debug for Grammar {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Grammar").field("is_finished", &self.is_finished()).finish()
    }
}

impl Grammar {
    pub(super) fn new(matcher: Matcher) -> Self {
        Self { matcher }
    }

    /// The tokens that may come next. Once the grammar is finished, only those that end a text.
    pub fn mask(&mut self) -> Result<TokenMask, EngineError> {
        match self.matcher.compute_mask_or_eos() {
            Ok(mask) => Ok(TokenMask::from_words(mask.into())),
            // Every token so far was allowed, so it is the grammar that asks for too much.
            Err(error) => Err(EngineError::InvalidInput(format!(
                "the grammar is too complex to be followed: {}",
                first_line(&error)
            ))),
        }
    }

    /// Goes on by a token that the mask allowed.
    pub fn accept(&mut self, token: u32) -> Result<(), EngineError> {
        if self.is_finished() {
            // An end token after the end.
            return Ok(());
        }
        self.matcher.consume_token(token).map_err(|error| self.failed(&error))
    }

    /// Tokens that must come next whatever the model thinks; empty where it has a choice. They are not accepted yet.
    pub fn forced_tokens(&mut self) -> Vec<u32> {
        if self.is_finished() { Vec::new() } else { self.matcher.compute_ff_tokens() }
    }

    /// Whether nothing can follow: the answer is over, even if the model would go on.
    pub fn is_finished(&self) -> bool {
        self.matcher.is_stopped()
    }

    /// Whether the answer may end here and be valid. If it is not when `max_tokens` is reached, it was cut off.
    pub fn is_accepting(&mut self) -> Result<bool, EngineError> {
        if self.is_finished() {
            return Ok(self.matcher.stop_reason().is_ok());
        }
        self.matcher.is_accepting().map_err(|error| self.failed(&error))
    }

    /// How many of these tokens could follow one after the other; the state stays as it is.
    pub fn validate(&mut self, tokens: &[u32]) -> Result<usize, EngineError> {
        self.matcher.validate_tokens(tokens).map_err(|error| self.failed(&error))
    }

    /// Takes back the last so many accepted tokens.
    pub fn rollback(&mut self, tokens: usize) -> Result<(), EngineError> {
        self.matcher.rollback(tokens).map_err(|error| self.failed(&error))
    }

    /// A copy that goes its own way, for another continuation of the same prompt.
    pub fn fork(&self) -> Self {
        Self { matcher: self.matcher.deep_clone() }
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> EngineError {
        EngineError::Failed(format!("the answer left its grammar: {}", first_line(error)))
    }
}

/// What follows is a trace, for nobody outside.
fn first_line(error: &dyn std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
