//! Reading a job's event stream.

use anyhow::Result;
use reqwest::Response;
use shared::api::jobs::JobEvent;

/// One event with its number.
#[derive(Debug, Clone)]
pub struct Numbered {
    pub id: String,
    pub event: JobEvent,
}

/// An open stream.
pub struct Events {
    response: Response,
    text: String,
}

impl Events {
    pub(crate) fn new(response: Response) -> Self {
        Self { response, text: String::new() }
    }

    /// The next event; `None` when the stream has ended.
    pub async fn next(&mut self) -> Result<Option<Numbered>> {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                if let Some(event) = read(&block)? {
                    return Ok(Some(event));
                }
            }
            match self.response.chunk().await? {
                Some(bytes) => self.text.push_str(&String::from_utf8_lossy(&bytes)),
                None => return Ok(None),
            }
        }
    }

    /// Everything up to the end event.
    pub async fn to_end(mut self) -> Result<Vec<Numbered>> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await? {
            let is_end = event.event.status.is_end();
            all.push(event);
            if is_end {
                break;
            }
        }
        Ok(all)
    }
}

/// A block without data is a comment that keeps the connection open.
fn read(block: &str) -> Result<Option<Numbered>> {
    let field = |name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    let Some(data) = field("data") else { return Ok(None) };
    let event = serde_json::from_str(data)?;
    Ok(Some(Numbered { id: field("id").unwrap_or_default().to_owned(), event }))
}
