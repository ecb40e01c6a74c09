//! Reads server-sent events out of chunks of bytes, wherever those are cut.

/// A line longer than this is no event of ours.
const LINE_MAX_BYTES: usize = 1024 * 1024;

/// One event: its type and its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    pub event: String,
    pub data: String,
}

/// What was read so far and isn't an event yet.
#[derive(Debug, Default)]
pub struct SseParser {
    line: Vec<u8>,
    /// The last byte ended a line as a carriage return; a line feed right after belongs to it.
    after_return: bool,
    event: String,
    data: Option<String>,
}

impl SseParser {
    /// Takes a chunk; the events that it completes.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<SseEvent> {
        let mut events = Vec::new();
        for byte in chunk {
            let is_tail = std::mem::take(&mut self.after_return) && *byte == b'\n';
            match byte {
                b'\n' if is_tail => {}
                b'\n' | b'\r' => {
                    self.after_return = *byte == b'\r';
                    events.extend(self.end_line());
                }
                _ if self.line.len() >= LINE_MAX_BYTES => {}
                byte => self.line.push(*byte),
            }
        }
        events
    }

    fn end_line(&mut self) -> Option<SseEvent> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            let data = self.data.take()?;
            return Some(SseEvent { event, data });
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event = value.to_owned(),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": hello\n\nid: 1\nevent: progress\ndata: {\"step\":1}\n\n\
        event:queued\r\ndata:{\"é\":2}\r\ndata: more\r\n\r\nevent: lost\n\ndata: last\r\r";

    fn event(event: &str, data: &str) -> SseEvent {
        SseEvent { event: event.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn reads_the_same_events_wherever_the_chunks_are_cut() {
        let expected = [
            event("progress", "{\"step\":1}"),
            event("queued", "{\"é\":2}\nmore"),
            event("", "last"),
        ];
        for size in 1..STREAM.len() {
            let mut parser = SseParser::default();
            let events: Vec<_> =
                STREAM.as_bytes().chunks(size).flat_map(|chunk| parser.push(chunk)).collect();
            assert_eq!(events, expected, "chunks of {size} bytes");
        }
    }

    #[test]
    fn an_endless_line_takes_no_endless_memory() {
        let mut parser = SseParser::default();
        for _ in 0..20 {
            assert_eq!(parser.push(&[b'x'; 100_000]), []);
        }
        assert_eq!(parser.line.len(), LINE_MAX_BYTES);
    }
}
