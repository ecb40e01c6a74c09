//! Tool calls in a stream of text: what is said, which tool is called, and its arguments as they come.

use super::{
    Tool, ToolDialect,
    json_scanner::{CallScanner, Progress},
};

/// A part of an answer in which tools may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolPiece {
    /// More of what the model says.
    Text(String),
    /// A call begins; calls are numbered from 0.
    Call { index: usize, name: String },
    /// More of the arguments of that call, a piece of a JSON text.
    Arguments { index: usize, text: String },
}

#[derive(Debug, Clone)]
enum State {
    /// Nothing but spaces so far.
    Start,
    Text,
    Call(Box<CallScanner>),
    /// After a call.
    Between,
}

/// Reads an answer piece by piece.
#[derive(Debug, Clone)]
pub struct ToolCallParser {
    dialect: ToolDialect,
    names: Vec<String>,
    state: State,
    /// Text that is not understood yet.
    held: String,
    /// What a call that turns out to be none must be preceded by.
    opening: String,
    /// Whether the open call was announced.
    is_announced: bool,
    /// Whether any of its arguments came; clients parse what comes, and nothing is no JSON.
    has_arguments: bool,
    calls: usize,
}

impl ToolCallParser {
    /// Reads calls of these tools.
    pub fn new(dialect: ToolDialect, tools: &[Tool]) -> Self {
        Self {
            dialect,
            names: tools.iter().map(|tool| tool.name.clone()).collect(),
            state: State::Start,
            held: String::new(),
            opening: String::new(),
            is_announced: false,
            has_arguments: false,
            calls: 0,
        }
    }

    /// How many calls were announced.
    pub fn calls(&self) -> usize {
        self.calls
    }

    /// Reads on; pieces of one kind that follow each other are one.
    pub fn push(&mut self, text: &str) -> Vec<ToolPiece> {
        self.held.push_str(text);
        let mut pieces = Vec::new();
        while self.step(&mut pieces) {}
        joined(pieces)
    }

    /// What is left when the answer is over: text that only looked like a call's beginning.
    pub fn finish(&mut self) -> Vec<ToolPiece> {
        let mut pieces = Vec::new();
        match std::mem::replace(&mut self.state, State::Text) {
            State::Call(scanner) if !self.is_announced => {
                let opening = std::mem::take(&mut self.opening);
                say(&mut pieces, opening + scanner.raw());
            }
            State::Call(_) | State::Between => self.held.clear(),
            State::Start | State::Text => {}
        }
        say(&mut pieces, std::mem::take(&mut self.held));
        joined(pieces)
    }

    /// Takes one step; `false` when more text is needed.
    fn step(&mut self, pieces: &mut Vec<ToolPiece>) -> bool {
        match &mut self.state {
            State::Start => self.begin(),
            State::Text => self.read_text(pieces),
            State::Call(_) => self.read_call(pieces),
            State::Between => self.read_between(),
        }
    }

    /// Llama writes a call as the whole answer, so the first character decides.
    fn begin(&mut self) -> bool {
        if self.dialect != ToolDialect::Llama {
            self.state = State::Text;
            return true;
        }
        let trimmed = self.held.trim_start();
        let opening = self.dialect.opening();
        if trimmed.is_empty() || (trimmed.len() < opening.len() && opening.starts_with(trimmed)) {
            return false;
        }
        let skipped = if trimmed.starts_with(opening) {
            self.held.len() - trimmed.len() + opening.len()
        } else if trimmed.starts_with('{') {
            0
        } else {
            self.state = State::Text;
            return true;
        };
        self.opening = self.held.drain(..skipped).collect();
        self.start_call();
        true
    }

    fn start_call(&mut self) {
        self.is_announced = false;
        self.state = State::Call(Box::new(CallScanner::new(self.dialect.arguments_name())));
    }

    fn read_text(&mut self, pieces: &mut Vec<ToolPiece>) -> bool {
        let opening = self.dialect.opening();
        if self.dialect != ToolDialect::Llama
            && let Some(at) = self.held.find(opening)
        {
            // The line break between what is said and a call belongs to neither.
            say(pieces, self.held[..at].trim_end().to_owned());
            self.opening =
                self.held[self.held[..at].trim_end().len()..at + opening.len()].to_owned();
            self.held.drain(..at + opening.len());
            if self.dialect == ToolDialect::Mistral {
                self.state = State::Between;
            } else {
                self.start_call();
            }
            return true;
        }
        let longest = self.held.len().min(opening.len() - 1);
        let begun = (1..=longest).rev().find(|&length| self.held.ends_with(&opening[..length]));
        let whole =
            self.held.len() - begun.filter(|_| self.dialect != ToolDialect::Llama).unwrap_or(0);
        let said = self.held[..whole].trim_end().len();
        say(pieces, self.held.drain(..said).collect());
        false
    }

    fn read_call(&mut self, pieces: &mut Vec<ToolPiece>) -> bool {
        let State::Call(scanner) = &mut self.state else { return false };
        let mut progress = Progress::More;
        let mut read = 0;
        for letter in self.held.chars() {
            progress = scanner.push(letter);
            read += letter.len_utf8();
            if progress != Progress::More {
                break;
            }
        }
        let last = self.held[..read].chars().next_back();
        self.held.drain(..read);

        let is_known = |name: &str| self.names.iter().any(|known| known == name);
        // A Llama answer in JSON is a call only if it names a tool.
        let name =
            scanner.name().filter(|name| self.dialect != ToolDialect::Llama || is_known(name));
        if let Some(name) = name.filter(|_| progress != Progress::Broken || self.is_announced) {
            if !self.is_announced {
                (self.is_announced, self.has_arguments) = (true, false);
                pieces.push(ToolPiece::Call { index: self.calls, name: name.to_owned() });
                self.calls += 1;
            }
            let text = scanner.take_arguments();
            if !text.is_empty() {
                self.has_arguments = true;
                pieces.push(ToolPiece::Arguments { index: self.calls - 1, text });
            }
        }
        match progress {
            Progress::More => false,
            Progress::Done if self.is_announced => {
                if !self.has_arguments {
                    let text = "{}".to_owned();
                    pieces.push(ToolPiece::Arguments { index: self.calls - 1, text });
                }
                self.opening.clear();
                self.state = State::Between;
                true
            }
            Progress::Done | Progress::Broken => {
                if !self.is_announced {
                    let mut text = std::mem::take(&mut self.opening) + scanner.raw();
                    // A character that cannot begin a call is not kept by the scanner.
                    if progress == Progress::Broken
                        && let Some(last) = last.filter(|&last| !text.ends_with(last))
                    {
                        text.push(last);
                    }
                    say(pieces, text);
                }
                self.state = State::Text;
                true
            }
        }
    }

    /// Skips what stands between two calls, and goes back to text when no call follows.
    fn read_between(&mut self) -> bool {
        let rest = self.held.trim_start();
        let closing = "</tool_call>";
        let (skipped, next) = match self.dialect {
            ToolDialect::Hermes => {
                if let Some(after) = rest.strip_prefix(closing) {
                    (self.held.len() - after.len(), None)
                } else if closing.starts_with(rest) {
                    return false;
                } else {
                    // The text's beginning: a line break after a call is no part of it.
                    (self.held.len() - rest.len(), Some(State::Text))
                }
            }
            ToolDialect::Mistral => match rest.chars().next() {
                None => return false,
                Some('[' | ',') => (self.held.len() - rest.len() + 1, None),
                Some('{') => (self.held.len() - rest.len(), Some(State::Start)),
                Some(']') => (self.held.len() - rest.len() + 1, Some(State::Text)),
                Some(_) => (self.held.len() - rest.len(), Some(State::Text)),
            },
            ToolDialect::Llama => match rest.chars().next() {
                None => return false,
                Some(';' | ',') => (self.held.len() - rest.len() + 1, None),
                Some('{') => (self.held.len() - rest.len(), Some(State::Start)),
                Some(_) => (self.held.len() - rest.len(), Some(State::Text)),
            },
        };
        self.held.drain(..skipped);
        match next {
            Some(State::Start) => self.start_call(),
            Some(state) => self.state = state,
            None => {}
        }
        true
    }
}

fn say(pieces: &mut Vec<ToolPiece>, text: String) {
    if !text.is_empty() {
        pieces.push(ToolPiece::Text(text));
    }
}

/// Puts neighbours of one kind together.
fn joined(pieces: Vec<ToolPiece>) -> Vec<ToolPiece> {
    let mut whole: Vec<ToolPiece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match (whole.last_mut(), piece) {
            (Some(ToolPiece::Text(text)), ToolPiece::Text(more)) => text.push_str(&more),
            (_, piece) => whole.push(piece),
        }
    }
    whole
}

#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
