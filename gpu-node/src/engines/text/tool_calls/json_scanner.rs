//! One call, `{"name": …, "arguments": {…}}`, read character by character: the name as soon as it is whole, the
//! arguments as they come.

/// Where the scanner is in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    More,
    /// The closing brace was read.
    Done,
    /// This is no call.
    Broken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expects {
    Key,
    Colon,
    Value,
    Comma,
}

/// Reads one call.
#[derive(Debug, Clone)]
pub(super) struct CallScanner {
    arguments_name: &'static str,
    raw: String,
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    expects: Expects,
    /// Where the string or value that is being read on the first level begins.
    start: usize,
    key: String,
    name: Option<String>,
    /// Where the arguments begin and, once read, end.
    arguments: Option<(usize, Option<usize>)>,
    sent: usize,
}

impl CallScanner {
    pub(super) fn new(arguments_name: &'static str) -> Self {
        Self {
            arguments_name,
            raw: String::new(),
            depth: 0,
            in_string: false,
            is_escaped: false,
            expects: Expects::Key,
            start: 0,
            key: String::new(),
            name: None,
            arguments: None,
            sent: 0,
        }
    }

    /// All that was read.
    pub(super) fn raw(&self) -> &str {
        &self.raw
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The part of the arguments that was not asked for yet; it is JSON text.
    pub(super) fn take_arguments(&mut self) -> String {
        let Some((start, end)) = self.arguments else { return String::new() };
        let is_object = self.raw[start..].starts_with('{');
        if is_object {
            let from = start.max(self.sent);
            let until = end.unwrap_or(self.raw.len());
            self.sent = until;
            return self.raw[from..until].to_owned();
        }
        let Some(end) = end.filter(|&end| self.sent < end) else { return String::new() };
        self.sent = end;
        // Some models write the arguments as a string that holds JSON, or write null.
        match serde_json::from_str::<serde_json::Value>(&self.raw[start..end]) {
            Ok(serde_json::Value::String(text)) => text,
            Ok(serde_json::Value::Null) => "{}".to_owned(),
            _ => self.raw[start..end].to_owned(),
        }
    }

    pub(super) fn push(&mut self, letter: char) -> Progress {
        let at = self.raw.len();
        if self.depth == 0 && letter != '{' {
            return if letter.is_whitespace() { Progress::More } else { Progress::Broken };
        }
        self.raw.push(letter);
        if self.in_string {
            self.inside_string(letter);
            return Progress::More;
        }
        match letter {
            '"' => {
                self.in_string = true;
                self.begin(at);
            }
            '{' | '[' => {
                if self.depth == 1 && self.expects != Expects::Value {
                    return Progress::Broken;
                }
                self.begin(at);
                self.depth += 1;
            }
            '}' | ']' => {
                self.depth -= 1;
                match self.depth {
                    0 => {
                        self.end_value(at);
                        return if letter == '}' { Progress::Done } else { Progress::Broken };
                    }
                    1 => self.end_value(at + 1),
                    _ => {}
                }
            }
            _ if self.depth > 1 || letter.is_whitespace() => {}
            ':' if self.expects == Expects::Colon => self.expects = Expects::Value,
            ',' => {
                self.end_value(at);
                self.expects = Expects::Key;
            }
            _ if self.expects == Expects::Value => self.begin(at),
            _ if self.expects == Expects::Comma => {}
            _ => return Progress::Broken,
        }
        Progress::More
    }

    fn inside_string(&mut self, letter: char) {
        if std::mem::take(&mut self.is_escaped) {
            return;
        }
        match letter {
            '\\' => self.is_escaped = true,
            '"' => {
                self.in_string = false;
                if self.depth == 1 {
                    if self.expects == Expects::Key {
                        let text = serde_json::from_str(&self.raw[self.start..]);
                        self.key = text.unwrap_or_default();
                        self.expects = Expects::Colon;
                    } else {
                        self.end_value(self.raw.len());
                    }
                }
            }
            _ => {}
        }
    }

    /// A string or value on the first level begins.
    fn begin(&mut self, at: usize) {
        if self.depth != 1 {
            return;
        }
        self.start = at;
        if self.expects == Expects::Value {
            self.expects = Expects::Comma;
            if self.key == self.arguments_name && self.arguments.is_none() {
                self.arguments = Some((at, None));
            }
        }
    }

    fn end_value(&mut self, end: usize) {
        if self.expects != Expects::Comma || self.key.is_empty() {
            return;
        }
        if self.key == "name" {
            self.name = serde_json::from_str(&self.raw[self.start..end]).ok();
        } else if let Some((_, place @ None)) = &mut self.arguments
            && self.key == self.arguments_name
        {
            *place = Some(end);
        }
        self.key.clear();
    }
}
