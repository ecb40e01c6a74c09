//! Texts that end an answer, found across pieces and cut off.

/// Looks for stop texts in a text that comes in pieces.
///
/// The match that is complete first counts, so the result does not depend on how the text was cut into pieces.
#[derive(Debug, Clone)]
pub struct StopMatcher {
    stops: Vec<String>,
    /// Text that may be the beginning of a stop text.
    held: String,
    has_stopped: bool,
}

impl StopMatcher {
    /// Empty stop texts are ignored.
    pub fn new(stops: &[String]) -> Self {
        let stops = stops.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        Self { stops, held: String::new(), has_stopped: false }
    }

    /// The text that is certainly no part of a stop text; nothing comes after `has_stopped`.
    pub fn push(&mut self, piece: &str) -> String {
        if self.has_stopped {
            return String::new();
        }
        self.held.push_str(piece);
        let first = self
            .stops
            .iter()
            .filter_map(|stop| self.held.find(stop.as_str()).map(|at| (at + stop.len(), at)))
            .min();
        if let Some((_, start)) = first {
            self.has_stopped = true;
            self.held.truncate(start);
            return std::mem::take(&mut self.held);
        }
        let kept = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - kept);
        std::mem::replace(&mut self.held, rest)
    }

    /// Whether a stop text was found.
    pub fn has_stopped(&self) -> bool {
        self.has_stopped
    }

    /// The text held back, when the answer ends without a stop text.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// The length of the longest end of `text` that is a beginning of `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let longest = text.len().min(stop.len().saturating_sub(1));
    (1..=longest)
        .rev()
        .find(|&length| stop.is_char_boundary(length) && text.ends_with(&stop[..length]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let stops: Vec<String> = stops.iter().map(|&stop| stop.to_owned()).collect();
        let mut matcher = StopMatcher::new(&stops);
        let mut text: String = pieces.iter().map(|piece| matcher.push(piece)).collect();
        let has_stopped = matcher.has_stopped();
        if !has_stopped {
            text.push_str(&matcher.finish());
        }
        (text, has_stopped)
    }

    #[test]
    fn a_stop_text_is_cut_off_across_pieces() {
        assert_eq!(run(&["\n\nUser:"], &["Hello\n", "\nUs", "er: no"]), ("Hello".into(), true));
    }

    #[test]
    fn what_only_looked_like_a_stop_text_comes_later() {
        let mut matcher = StopMatcher::new(&["END".to_owned()]);
        assert_eq!(matcher.push("the EN"), "the ");
        assert_eq!(matcher.push("Glish"), "ENGlish");
        assert_eq!(matcher.push(" E"), " ");
        assert_eq!(matcher.finish(), "E");
    }

    #[test]
    fn no_stop_texts_hold_nothing_back() {
        assert_eq!(run(&[], &["a", "b"]), ("ab".into(), false));
        assert_eq!(run(&[""], &["a", "b"]), ("ab".into(), false));
    }

    #[test]
    fn characters_of_several_bytes_are_not_cut() {
        assert_eq!(run(&["é!"], &["caf", "é", "?"]), ("café?".into(), false));
        assert_eq!(run(&["é!"], &["caf", "é", "!"]), ("caf".into(), true));
    }

    #[test]
    fn nothing_comes_after_a_stop_text() {
        assert_eq!(run(&["b"], &["abc", "def"]), ("a".into(), true));
    }

    #[test]
    fn the_result_does_not_depend_on_the_pieces() {
        let stops = ["abc", "b", "ca", "aab", "éa"];
        let letters = ["a", "b", "c", "é"];
        let mut state = 9_u32;
        for _ in 0..400 {
            let mut next = |below: u32| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 20) % below
            };
            let stop_count = 1 + next(3) as usize;
            let chosen: Vec<&str> = (0..stop_count).map(|_| stops[next(5) as usize]).collect();
            let text: Vec<&str> = (0..12).map(|_| letters[next(4) as usize]).collect();
            let whole = run(&chosen, &[&text.concat()]);
            assert_eq!(run(&chosen, &text), whole, "{chosen:?} {text:?}");
            let halves: Vec<String> = text.chunks(5).map(<[&str]>::concat).collect();
            let halves: Vec<&str> = halves.iter().map(String::as_str).collect();
            assert_eq!(run(&chosen, &halves), whole, "{chosen:?} {text:?}");
        }
    }
}
