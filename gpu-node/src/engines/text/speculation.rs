//! Guessing the next tokens of a text that repeats itself: translations, quotes, code, questions about a text.
//!
//! The last few tokens are looked for earlier in prompt and answer; what followed there is the guess. The model then
//! checks all guessed tokens in one pass.

/// How a guess is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptLookup {
    /// Tokens compared at most; a longer match is a better guess.
    pub longest: usize,
    /// Tokens that must match at least.
    pub shortest: usize,
    /// Tokens guessed at most.
    pub guesses: usize,
}

impl Default for PromptLookup {
    fn default() -> Self {
        Self { longest: 4, shortest: 2, guesses: 8 }
    }
}

impl PromptLookup {
    /// What probably follows `tokens` (prompt and answer): what followed the latest longest match of their end.
    pub fn guess<'a>(&self, tokens: &'a [u32]) -> &'a [u32] {
        let mut best: Option<(usize, usize)> = None;
        // From the latest place backwards, so that of equal matches the latest stays.
        for end in (1..tokens.len()).rev() {
            let matched = tokens[..end]
                .iter()
                .rev()
                .zip(tokens.iter().rev())
                .take(self.longest)
                .take_while(|(earlier, last)| earlier == last)
                .count();
            if matched >= self.shortest.max(1) && best.is_none_or(|(longest, _)| matched > longest)
            {
                best = Some((matched, end));
                if matched >= self.longest {
                    break;
                }
            }
        }
        let Some((_, start)) = best else { return &[] };
        &tokens[start..(start + self.guesses).min(tokens.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOKUP: PromptLookup = PromptLookup { longest: 3, shortest: 2, guesses: 4 };

    #[test]
    fn a_repeated_end_is_continued_as_before() {
        assert_eq!(LOOKUP.guess(&[1, 2, 3, 4, 5, 6, 7, 9, 1, 2, 3]), [4, 5, 6, 7]);
    }

    #[test]
    fn a_longer_match_beats_a_later_one() {
        assert_eq!(LOOKUP.guess(&[1, 2, 3, 4, 9, 2, 3, 5, 1, 2, 3]), [4, 9, 2, 3]);
    }

    #[test]
    fn the_latest_of_equal_matches_counts() {
        assert_eq!(LOOKUP.guess(&[8, 2, 3, 4, 9, 2, 3, 5, 7, 2, 3]), [5, 7, 2, 3]);
    }

    #[test]
    fn a_single_token_is_no_match() {
        assert!(LOOKUP.guess(&[3, 4, 1, 3]).is_empty());
        assert!(LOOKUP.guess(&[]).is_empty());
        assert!(LOOKUP.guess(&[1]).is_empty());
    }

    #[test]
    fn a_run_of_one_token_goes_on() {
        assert_eq!(LOOKUP.guess(&[5, 5, 5, 5]), [5]);
    }

    #[test]
    fn a_guess_always_follows_a_match_of_the_end() {
        let mut state = 1_u32;
        for _ in 0..500 {
            let tokens: Vec<u32> = (0..40)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) % 4
                })
                .collect();
            let guess = LOOKUP.guess(&tokens);
            let follows = (LOOKUP.shortest..tokens.len()).any(|at| {
                tokens[at..].starts_with(guess)
                    && tokens[..at].ends_with(&tokens[tokens.len() - LOOKUP.shortest..])
            });
            assert!(guess.is_empty() || follows, "{tokens:?} -> {guess:?}");
        }
    }
}
