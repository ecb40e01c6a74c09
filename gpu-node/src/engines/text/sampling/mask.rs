//! Which tokens may come next, one bit each.

/// The tokens a grammar allows at one place; ids beyond its length are not allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenMask {
    words: Vec<u32>,
}

impl TokenMask {
    /// Bit `id % 32` of word `id / 32` says whether a token is allowed.
    pub fn from_words(words: Vec<u32>) -> Self {
        Self { words }
    }

    /// A mask that allows these tokens and no other.
    pub fn only(tokens: &[u32]) -> Self {
        let mut words = Vec::new();
        for &token in tokens {
            let word = token as usize / 32;
            if words.len() <= word {
                words.resize(word + 1, 0);
            }
            words[word] |= 1 << (token % 32);
        }
        Self { words }
    }

    /// Whether this token may come next.
    pub fn allows(&self, token: u32) -> bool {
        self.words.get(token as usize / 32).is_some_and(|word| word >> (token % 32) & 1 == 1)
    }

    /// Makes every other token impossible.
    pub fn apply(&self, logits: &mut [f32]) {
        let words = self.words.iter().copied().chain(std::iter::repeat(0));
        for (chunk, word) in logits.chunks_mut(32).zip(words) {
            match word {
                u32::MAX => {}
                0 => chunk.fill(f32::NEG_INFINITY),
                _ => {
                    for (bit, logit) in chunk.iter_mut().enumerate() {
                        if word >> bit & 1 == 0 {
                            *logit = f32::NEG_INFINITY;
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_allowed_tokens_keep_their_logit() {
        let mask = TokenMask::only(&[3, 31, 32, 70]);
        let mut logits = vec![1.0; 100];
        mask.apply(&mut logits);
        let kept: Vec<usize> = (0..100).filter(|&id| logits[id] == 1.0).collect();
        assert_eq!(kept, [3, 31, 32, 70]);
        assert!(logits.iter().all(|&logit| logit == 1.0 || logit == f32::NEG_INFINITY));
        assert!(mask.allows(70) && !mask.allows(69) && !mask.allows(1000));
    }

    #[test]
    fn a_mask_shorter_than_the_logits_forbids_the_rest() {
        let mut logits = vec![0.0; 40];
        TokenMask::from_words(vec![u32::MAX]).apply(&mut logits);
        assert!(logits[..32].iter().all(|&logit| logit == 0.0));
        assert!(logits[32..].iter().all(|&logit| logit == f32::NEG_INFINITY));
    }
}
