//! The bytes each token stands for, whichever of the two usual ways its vocabulary writes them.

use std::collections::HashMap;

use serde_json::Value;
use tokenizers::Tokenizer;

use crate::engines::EngineError;

/// SentencePiece's sign for a space.
const SPACE_SIGN: char = '\u{2581}';

/// How a vocabulary spells bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// GPT-2's: each byte is a printable character.
    ByteLevel,
    /// SentencePiece's: `▁` is a space, and `<0xE2>` a byte that no piece has.
    ByteFallback,
}

/// All tokens' bytes, one after the other.
#[derive(Debug)]
pub(super) struct Pieces {
    bytes: Vec<u8>,
    /// Token `i` is `bytes[starts[i]..starts[i + 1]]`.
    starts: Vec<usize>,
    pub(super) spelling: Spelling,
    /// Whether decoding a text from its beginning drops one leading space.
    pub(super) drops_first_space: bool,
}

impl Pieces {
    pub(super) fn of(tokenizer: &Tokenizer) -> Result<Self, EngineError> {
        let decoder = serde_json::to_value(tokenizer.get_decoder())
            .map_err(|error| EngineError::Failed(format!("tokenizer: {error}")))?;
        let steps = decoder_steps(&decoder);
        let has = |name: &str| steps.iter().any(|step| step["type"] == name);
        let spelling = if has("ByteLevel") {
            Spelling::ByteLevel
        } else if has("ByteFallback") || has("Metaspace") {
            Spelling::ByteFallback
        } else {
            return Err(EngineError::Failed(
                "tokenizer: neither byte-level nor with byte fallback, so its tokens have no bytes"
                    .into(),
            ));
        };
        let drops_first_space = steps.iter().any(|step| match step["type"].as_str() {
            Some("Strip") => step["content"] == " " && step["start"].as_u64().unwrap_or(0) > 0,
            Some("Metaspace") => step["prepend_scheme"] != "never",
            _ => false,
        });

        let vocabulary = tokenizer.get_vocab(true);
        let length = vocabulary.values().max().map_or(0, |&highest| highest as usize + 1);
        // Ids may have gaps, but a file that names one far away would have memory for all before it.
        if length > 4 * vocabulary.len() + 65_536 {
            let count = vocabulary.len();
            let reason = format!("tokenizer: {count} tokens with ids up to {length}");
            return Err(EngineError::Failed(reason));
        }
        let mut texts: Vec<Option<&str>> = vec![None; length];
        for (text, &id) in &vocabulary {
            texts[id as usize] = Some(text);
        }
        let added = tokenizer.get_added_tokens_decoder();
        let letters = byte_level_letters();
        let mut bytes = Vec::new();
        let mut starts = vec![0];
        for (id, text) in (0_u32..).zip(texts) {
            match text {
                Some(text) if added.contains_key(&id) => bytes.extend_from_slice(text.as_bytes()),
                Some(text) => match spelling {
                    Spelling::ByteLevel => spell_byte_level(text, &letters, &mut bytes),
                    Spelling::ByteFallback => spell_byte_fallback(text, &mut bytes),
                },
                None => {}
            }
            starts.push(bytes.len());
        }
        Ok(Self { bytes, starts, spelling, drops_first_space })
    }

    /// How many ids there are, unused ones included.
    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Empty for an id the vocabulary does not use.
    pub(super) fn bytes(&self, token: u32) -> &[u8] {
        let at = token as usize;
        match (self.starts.get(at), self.starts.get(at + 1)) {
            (Some(&start), Some(&end)) => &self.bytes[start..end],
            _ => &[],
        }
    }
}

/// The decoder's parts: itself, or those of a sequence.
fn decoder_steps(decoder: &Value) -> Vec<&Value> {
    match decoder["decoders"].as_array() {
        Some(steps) => steps.iter().flat_map(decoder_steps).collect(),
        None => vec![decoder],
    }
}

/// The printable character of each byte: itself where it is printable, else the next one from 256 on.
fn byte_level_letters() -> HashMap<char, u8> {
    let is_printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut others = '\u{100}'..;
    (0..=255_u8)
        .filter_map(|byte| {
            let letter = if is_printable(byte) { char::from(byte) } else { others.next()? };
            Some((letter, byte))
        })
        .collect()
}

fn spell_byte_level(text: &str, letters: &HashMap<char, u8>, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    for letter in text.chars() {
        let Some(&byte) = letters.get(&letter) else {
            // A token that was put into the vocabulary as plain text.
            bytes.truncate(start);
            bytes.extend_from_slice(text.as_bytes());
            return;
        };
        bytes.push(byte);
    }
}

fn spell_byte_fallback(text: &str, bytes: &mut Vec<u8>) {
    let hex = text.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    match hex.filter(|hex| hex.len() == 2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
        Some(byte) => bytes.push(byte),
        None => bytes.extend_from_slice(text.replace(SPACE_SIGN, " ").as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_letter() {
        let letters = byte_level_letters();
        assert_eq!(letters.len(), 256);
        assert_eq!((letters[&'A'], letters[&'Ġ'], letters[&'Ċ']), (b'A', b' ', b'\n'));
    }

    #[test]
    fn pieces_are_spelled_as_their_bytes() {
        let spelled = |text: &str| {
            let mut bytes = Vec::new();
            spell_byte_fallback(text, &mut bytes);
            bytes
        };
        assert_eq!(spelled("<0xE2>"), [0xe2]);
        assert_eq!(spelled("▁a▁"), b" a ");
        assert_eq!(spelled("<0xZZ>"), b"<0xZZ>");
        let mut bytes = b"x".to_vec();
        spell_byte_level("Ġé", &byte_level_letters(), &mut bytes);
        assert_eq!(bytes, [b'x', b' ', 0xe9]);
        spell_byte_level("a b", &byte_level_letters(), &mut bytes);
        assert_eq!(bytes, [&[b'x', b' ', 0xe9][..], b"a b"].concat());
    }
}
