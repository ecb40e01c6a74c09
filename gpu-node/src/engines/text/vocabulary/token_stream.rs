//! Tokens to text as they come: never half a character.

use super::Vocabulary;

/// Turns the tokens of one text into pieces of text.
#[derive(Debug, Clone)]
pub struct TokenStream {
    /// The start of a character whose other bytes are still to come.
    pending: Vec<u8>,
    drops_space: bool,
}

impl TokenStream {
    /// For a text of its own, such as an answer in a chat: where the vocabulary writes a space before each first
    /// word, that one is left out.
    pub fn new(vocabulary: &Vocabulary) -> Self {
        Self { pending: Vec::new(), drops_space: vocabulary.drops_first_space() }
    }

    /// For a text that goes on after another: each space counts.
    pub fn continuing() -> Self {
        Self { pending: Vec::new(), drops_space: false }
    }

    /// The text that this token completes, often a word, sometimes nothing. Control tokens have none.
    pub fn push(&mut self, vocabulary: &Vocabulary, token: u32) -> String {
        let mut bytes = vocabulary.spoken_bytes(token);
        if bytes.is_empty() {
            return String::new();
        }
        if std::mem::take(&mut self.drops_space) {
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
        }
        self.pending.extend_from_slice(bytes);
        let whole = self.pending.len() - unfinished(&self.pending);
        let rest = self.pending.split_off(whole);
        let text = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending = rest;
        text
    }

    /// What is left when no more tokens come: a replacement character for a character that was not finished.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

/// How many bytes at the end may still become a character.
fn unfinished(bytes: &[u8]) -> usize {
    match bytes.utf8_chunks().last() {
        Some(chunk) if !chunk.invalid().is_empty() => {
            let tail = chunk.invalid();
            let may_become =
                std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none());
            if may_become { tail.len() } else { 0 }
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_character_that_can_still_be_finished_waits() {
        for (bytes, expected) in [
            (&b"abc"[..], 0),
            ("é".as_bytes(), 0),
            (&[b'a', 0xe2], 1),
            (&[b'a', 0xe2, 0x82], 2),
            (&[0xf0, 0x9f, 0x98], 3),
            (&[0xff], 0),
            (&[0xe2, 0x28], 0),
            (&[0xe2, b'a', 0xc3], 1),
            (&[], 0),
        ] {
            assert_eq!(unfinished(bytes), expected, "{bytes:x?}");
        }
    }
}
