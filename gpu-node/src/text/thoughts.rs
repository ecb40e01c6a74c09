//! Tells what a model thinks from what it says: thoughts stand between marks at the beginning of an answer.

/// The marks that models of our families write.
const MARKS: [(&str, &str); 2] = [("<think>", "</think>"), ("[THINK]", "[/THINK]")];

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spoken {
    Thought(String),
    Said(String),
}

enum State {
    /// Nothing but spaces, or half a mark.
    Start,
    /// Up to this mark.
    Thought(&'static str),
    /// Spaces between the thought and the answer are nobody's.
    Between,
    Said,
}

/// Reads one answer.
pub(super) struct ThoughtReader {
    state: State,
    /// Text that is not understood yet.
    held: String,
    /// More than spaces was thought.
    has_thought: bool,
}

/// The mark that begins a thought, if the vocabulary or the end of a prompt has one.
pub(super) fn mark_where(is_there: impl Fn(&str) -> bool) -> Option<(&'static str, &'static str)> {
    MARKS.into_iter().find(|(open, _)| is_there(open))
}

impl ThoughtReader {
    /// `within` is the mark that ends the thought the prompt began.
    pub(super) fn new(within: Option<&'static str>) -> Self {
        let state = within.map_or(State::Start, State::Thought);
        Self { state, held: String::new(), has_thought: false }
    }

    /// What is certain now that this much more came.
    pub(super) fn read(&mut self, text: &str) -> Vec<Spoken> {
        self.held.push_str(text);
        let mut spoken = Vec::new();
        while self.step(&mut spoken) {}
        spoken
    }

    /// What is left when nothing more comes.
    pub(super) fn finish(&mut self) -> Option<Spoken> {
        let held = std::mem::take(&mut self.held);
        match self.state {
            _ if held.is_empty() => None,
            State::Between => None,
            State::Thought(_) => Some(Spoken::Thought(held)),
            State::Start | State::Said => Some(Spoken::Said(held)),
        }
    }

    fn step(&mut self, spoken: &mut Vec<Spoken>) -> bool {
        match self.state {
            State::Start => self.begin(),
            State::Thought(close) => self.think(close, spoken),
            State::Between => {
                let kept = self.held.trim_start().len();
                self.held.drain(..self.held.len() - kept);
                if kept > 0 {
                    self.state = State::Said;
                }
                kept > 0
            }
            State::Said => {
                if !self.held.is_empty() {
                    spoken.push(Spoken::Said(std::mem::take(&mut self.held)));
                }
                false
            }
        }
    }

    fn begin(&mut self) -> bool {
        let text = self.held.trim_start();
        if let Some((open, close)) = mark_where(|open| text.starts_with(open)) {
            self.held = text[open.len()..].to_owned();
            self.state = State::Thought(close);
            return true;
        }
        if MARKS.iter().any(|(open, _)| open.starts_with(text)) {
            return false;
        }
        self.state = State::Said;
        true
    }

    fn think(&mut self, close: &str, spoken: &mut Vec<Spoken>) -> bool {
        if !self.has_thought {
            self.held = self.held.trim_start().to_owned();
            self.has_thought = !self.held.is_empty();
        }
        let (thought, is_over) = match self.held.find(close) {
            Some(at) => (at, true),
            None => (self.held.len() - held_back(&self.held, close), false),
        };
        if thought > 0 {
            spoken.push(Spoken::Thought(self.held[..thought].to_owned()));
        }
        self.held.drain(..thought);
        if is_over {
            self.held.drain(..close.len());
            self.state = State::Between;
        }
        is_over
    }
}

/// Bytes at the end of the text that may begin the mark.
fn held_back(text: &str, mark: &str) -> usize {
    let longest = text.len().min(mark.len() - 1);
    (1..=longest).rev().find(|length| text.ends_with(&mark[..*length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(within: Option<&'static str>, text: &str, size: usize) -> (String, String) {
        let mut reader = ThoughtReader::new(within);
        let (mut thought, mut said) = (String::new(), String::new());
        let letters: Vec<char> = text.chars().collect();
        let mut spoken: Vec<Spoken> = letters
            .chunks(size)
            .flat_map(|part| reader.read(&part.iter().collect::<String>()))
            .collect();
        spoken.extend(reader.finish());
        for part in spoken {
            match part {
                Spoken::Thought(text) => thought.push_str(&text),
                Spoken::Said(text) => said.push_str(&text),
            }
        }
        (thought, said)
    }

    #[test]
    fn thoughts_and_answers_are_told_apart_however_they_are_cut() {
        let cases = [
            (None, "<think>\nhm < so</think>\n\nYes.", ("hm < so", "Yes.")),
            (None, " \n<think>hm</think>Yes.", ("hm", "Yes.")),
            (None, "[THINK]hm[/THINK]Yes.", ("hm", "Yes.")),
            (None, "Yes <think>no</think>", ("", "Yes <think>no</think>")),
            (None, "<thinly sliced>", ("", "<thinly sliced>")),
            (None, "<think>never ends", ("never ends", "")),
            (Some("</think>"), "hm é</thin</think> Yes.", ("hm é</thin", "Yes.")),
            (None, " Yes.", ("", " Yes.")),
            (None, "<thi", ("", "<thi")),
        ];
        for (within, text, (thought, said)) in cases {
            for size in 1..=text.len() {
                assert_eq!(
                    read(within, text, size),
                    (thought.to_owned(), said.to_owned()),
                    "{text}"
                );
            }
        }
    }
}
