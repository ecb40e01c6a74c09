//! A rendered conversation, with what a user wrote kept apart from the template's own control tokens.
//!
//! Before rendering, a mark goes into every place of the users' texts where a control token's text is, or could
//! begin. The template moves texts around, and the marks with them. Afterwards the marks are taken out again; where
//! one lies inside a control token's text, that text came from a user and is encoded in two parts.

/// A noncharacter of Unicode: no text may contain it, so nothing is lost when it is taken out.
pub(super) const MARK: char = '\u{fdd0}';

/// A text for the tokenizer, and where it must be cut so that no control token is read into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatPrompt {
    text: String,
    cuts: Vec<usize>,
}

impl ChatPrompt {
    /// What the template rendered, without marks.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The parts to encode one by one; mostly one.
    pub(super) fn parts(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.cuts.iter().copied());
        let ends = self.cuts.iter().copied().chain([self.text.len()]);
        starts.zip(ends).map(|(start, end)| &self.text[start..end])
    }

    /// A text that is all a user's: no control token is read in it.
    pub(super) fn plain(text: &str, controls: &ControlTexts) -> Self {
        let cuts = controls
            .found_in(text)
            .map(|(start, length)| start + first_char(&text[start..start + length]))
            .collect();
        Self { text: text.to_owned(), cuts }
    }

    /// A rendered text with the marks that `ControlTexts::mark` made.
    pub(super) fn from_marked(rendered: &str, controls: &ControlTexts) -> Self {
        let mut text = String::with_capacity(rendered.len());
        let mut marks = Vec::new();
        for part in rendered.split(MARK) {
            text.push_str(part);
            marks.push(text.len());
        }
        marks.pop();
        if marks.is_empty() {
            return Self { text, cuts: Vec::new() };
        }
        let mut cuts: Vec<usize> = controls
            .found_in(&text)
            .flat_map(|(start, length)| {
                let first = marks.partition_point(|&mark| mark <= start);
                marks[first..].iter().copied().take_while(move |&mark| mark < start + length)
            })
            .collect();
        cuts.sort_unstable();
        cuts.dedup();
        Self { text, cuts }
    }
}

/// The texts of a vocabulary's control tokens.
#[derive(Debug, Clone, Default)]
pub(super) struct ControlTexts {
    texts: Vec<String>,
}

impl ControlTexts {
    pub(super) fn new(texts: impl IntoIterator<Item = String>) -> Self {
        Self { texts: texts.into_iter().filter(|text| !text.is_empty()).collect() }
    }

    /// Start and length of each control token's text, overlapping ones too.
    fn found_in<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (usize, usize)> + 'a {
        self.starts(text).filter_map(|start| {
            let rest = &text[start..];
            let longest = self.texts.iter().filter(|control| rest.starts_with(control.as_str()));
            longest.map(String::len).max().map(|length| (start, length))
        })
    }

    /// Where a control token's text could begin.
    fn starts<'a>(&'a self, text: &'a str) -> impl Iterator<Item = usize> + 'a {
        let mut firsts: Vec<char> =
            self.texts.iter().filter_map(|control| control.chars().next()).collect();
        firsts.sort_unstable();
        firsts.dedup();
        text.char_indices()
            .filter(move |(_, letter)| firsts.binary_search(letter).is_ok())
            .map(|(start, _)| start)
    }

    /// Puts a mark after the first character of whatever is a control token's text, or may become one together with
    /// the text that follows.
    pub(super) fn mark(&self, text: &str) -> String {
        let mut marked = String::with_capacity(text.len());
        let mut done = 0;
        let mut copy = |marked: &mut String, until: usize| {
            let part = &text[done..until];
            if part.contains(MARK) {
                marked.push_str(&part.replace(MARK, "\u{fffd}"));
            } else {
                marked.push_str(part);
            }
            done = until;
        };
        for start in self.starts(text) {
            let rest = &text[start..];
            let is_control = self.texts.iter().any(|control| {
                rest.starts_with(control.as_str())
                    || (rest.len() < control.len() && control.starts_with(rest))
            });
            if is_control {
                copy(&mut marked, start + first_char(rest));
                marked.push(MARK);
            }
        }
        copy(&mut marked, text.len());
        marked
    }
}

fn first_char(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controls() -> ControlTexts {
        ControlTexts::new(["<|start|>", "<|end|>", "<s>", "<<s>>"].map(str::to_owned))
    }

    fn parts(prompt: &ChatPrompt) -> Vec<&str> {
        prompt.parts().collect()
    }

    #[test]
    fn the_templates_own_control_tokens_stay_whole() {
        let prompt = ChatPrompt::from_marked("<|start|>user\nhello<|end|>", &controls());
        assert_eq!(parts(&prompt), ["<|start|>user\nhello<|end|>"]);
    }

    #[test]
    fn a_users_control_tokens_are_cut() {
        let user = controls().mark("a<|end|>b");
        let prompt = ChatPrompt::from_marked(&format!("<|start|>{user}<|end|>"), &controls());
        assert_eq!(prompt.text(), "<|start|>a<|end|>b<|end|>");
        assert_eq!(parts(&prompt), ["<|start|>a<", "|end|>b<|end|>"]);
    }

    #[test]
    fn two_texts_cannot_make_a_control_token_together() {
        let joined: String = ["x<|e", "nd|>"].map(|text| controls().mark(text)).concat();
        let prompt = ChatPrompt::from_marked(&format!("<|start|>{joined}<|end|>"), &controls());
        assert_eq!(parts(&prompt), ["<|start|>x<", "|end|><|end|>"]);
    }

    #[test]
    fn a_text_that_ends_like_a_beginning_is_left_whole() {
        let user = controls().mark("2 <");
        let prompt = ChatPrompt::from_marked(&format!("<|start|>{user}<|end|>"), &controls());
        assert_eq!(parts(&prompt), ["<|start|>2 <<|end|>"]);
    }

    #[test]
    fn overlapping_control_tokens_are_all_cut() {
        let prompt = ChatPrompt::plain("<<s>>", &controls());
        assert_eq!(parts(&prompt), ["<", "<", "s>>"]);
    }

    #[test]
    fn the_mark_itself_cannot_be_smuggled_in() {
        let user = controls().mark("<|en\u{fdd0}d|>");
        assert_eq!(user, "<|en\u{fffd}d|>");
    }

    #[test]
    fn no_control_token_survives_whatever_a_user_writes() {
        let pieces = ["<", "|", "end", "|>", "<s>", "<|start|>", "x", "é"];
        let mut state = 5_u32;
        for _ in 0..500 {
            let mut text = String::new();
            for _ in 0..8 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                text.push_str(pieces[(state >> 20) as usize % pieces.len()]);
            }
            let middle = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
            let marked =
                format!("{}{}", controls().mark(&text[..middle]), controls().mark(&text[middle..]));
            let prompt = ChatPrompt::from_marked(&format!("{marked}<|end|>"), &controls());
            let whole: usize = prompt.parts().map(|part| controls().found_in(part).count()).sum();
            assert_eq!(whole, 1, "{:?}", parts(&prompt));
            assert_eq!(prompt.text(), format!("{text}<|end|>"));
            let plain = ChatPrompt::plain(&text, &controls());
            assert!(plain.parts().all(|part| controls().found_in(part).next().is_none()), "{text}");
        }
    }
}
