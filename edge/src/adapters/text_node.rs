//! Text from a node, over OpenAI's protocol: `POST /v1/chat/completions`, streamed.

use async_trait::async_trait;
use serde::Deserialize;
use shared::node::text::{ChatRequest, ErrorAnswer, ErrorDetail};
use worker::send::SendFuture;

use super::{
    byte_stream::ByteStream,
    http_client::{Answer, Call},
    sse::{SseEvent, SseParser},
};
use crate::ports::{
    fleet::{NodeFailure, NodeRef},
    text::{TextNodes, TextPiece, TextStream, TokenUsage},
};

/// Longer than the caller's own patience, which counts.
const TIMEOUT_MS: u32 = 60_000;

/// The code of a 404 by a node that is well but does not have the model; any other 404 is no node's.
const NO_MODEL: &str = "model_not_found";

/// When a node that is full or leaving doesn't say for how long.
const RETRY_AFTER_S: u32 = 5;

/// Nodes over HTTP.
pub struct HttpTextNodes {
    pub token: String,
}

#[async_trait]
impl TextNodes for HttpTextNodes {
    async fn open(
        &self,
        node: &NodeRef,
        request: &ChatRequest,
    ) -> Result<Box<dyn TextStream>, NodeFailure> {
        let call = Call::new("POST", format!("{}/v1/chat/completions", node.url), TIMEOUT_MS)
            .header("authorization", format!("Bearer {}", self.token))
            .header("accept", "text/event-stream")
            .json(request)
            .streaming();
        SendFuture::new(async move {
            let answer = call.send().await?;
            if answer.is_success() {
                let bytes = ByteStream::open(&answer)?;
                let stream = FetchedText { bytes, parser: SseParser::default(), is_done: false };
                return Ok(Box::new(stream) as Box<dyn TextStream>);
            }
            let text = answer.text().await.unwrap_or_default();
            Err(failure_of(&answer, &text))
        })
        .await
    }
}

fn failure_of(answer: &Answer, text: &str) -> NodeFailure {
    failure(answer.status(), answer.retry_after_s(), text)
}

fn failure(status: u16, retry_after_s: Option<u32>, text: &str) -> NodeFailure {
    let said = serde_json::from_str::<ErrorAnswer>(text).ok().map(|answer| answer.error);
    match status {
        429 | 503 => NodeFailure::Full { retry_after_s: retry_after_s.unwrap_or(RETRY_AFTER_S) },
        404 if said.as_ref().and_then(|e| e.code.as_deref()) == Some(NO_MODEL) => {
            NodeFailure::Unknown
        }
        400 | 409 | 413 | 415 | 422 => NodeFailure::Refused {
            code: said.as_ref().and_then(|e| e.code.clone()).unwrap_or_default(),
            detail: said.map_or_else(|| format!("the node answered {status}"), |e| e.message),
        },
        _ => NodeFailure::unreachable(format!("it answered {status}")),
    }
}

struct FetchedText {
    bytes: ByteStream,
    parser: SseParser,
    is_done: bool,
}

#[async_trait]
impl TextStream for FetchedText {
    async fn next(&mut self) -> Result<Option<TextPiece>, NodeFailure> {
        if self.is_done {
            return Ok(None);
        }
        match self.bytes.next(TIMEOUT_MS).await? {
            Some(chunk) => {
                let events = self.parser.push(&chunk);
                self.is_done = events.iter().any(|event| event.data == DONE);
                piece_of(&events).map(Some)
            }
            None => Ok(None),
        }
    }
}

const DONE: &str = "[DONE]";

/// What of a chunk is read; the rest of it is not even parsed into anything.
#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Tokens>,
    error: Option<ErrorDetail>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Delta {
    content: Option<String>,
    /// What it thinks before it answers: nobody's text, but a sign of life.
    reasoning_content: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    prompt_tokens: u64,
    completion_tokens: u64,
}

/// Everything that one read brought, as one piece.
fn piece_of(events: &[SseEvent]) -> Result<TextPiece, NodeFailure> {
    let mut piece = TextPiece::default();
    for event in events.iter().filter(|event| event.data != DONE) {
        let chunk: Chunk = serde_json::from_str(&event.data).map_err(|error| {
            NodeFailure::unreachable(format!("a chunk that can't be read: {error}"))
        })?;
        if let Some(error) = chunk.error {
            return Err(NodeFailure::unreachable(error.message));
        }
        if let Some(choice) = chunk.choices.into_iter().next() {
            if let Some(text) = choice.delta.content.filter(|text| !text.is_empty()) {
                piece.text.push_str(&text);
                piece.tokens += 1;
            }
            if choice.delta.reasoning_content.is_some_and(|thought| !thought.is_empty()) {
                piece.tokens += 1;
            }
            piece.finish_reason = choice.finish_reason.or(piece.finish_reason);
        }
        if let Some(Tokens { prompt_tokens, completion_tokens }) = chunk.usage {
            piece.usage = Some(TokenUsage { prompt_tokens, completion_tokens });
        }
    }
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(data: &[&str]) -> Result<TextPiece, NodeFailure> {
        let event = |data: &&str| SseEvent { event: String::new(), data: (*data).to_owned() };
        piece_of(&data.iter().map(event).collect::<Vec<_>>())
    }

    #[test]
    fn several_chunks_of_one_read_are_one_piece() {
        let piece = read(&[
            r#"{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#,
            r#"{"id":"c","choices":[{"index":0,"delta":{"content":"Bon"},"finish_reason":null}],"usage":null}"#,
            r#"{"id":"c","choices":[{"index":0,"delta":{"content":"jour"},"finish_reason":null}],"usage":null}"#,
            r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#,
            r#"{"id":"c","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}"#,
            "[DONE]",
        ]);
        let expected = TextPiece {
            text: "Bonjour".to_owned(),
            tokens: 2,
            finish_reason: Some("stop".to_owned()),
            usage: Some(TokenUsage { prompt_tokens: 12, completion_tokens: 3 }),
        };
        assert_eq!(piece, Ok(expected));
    }

    #[test]
    fn thoughts_are_tokens_and_no_text() {
        let piece = read(&[
            r#"{"choices":[{"delta":{"role":"assistant","reasoning_content":""},"finish_reason":null}]}"#,
            r#"{"choices":[{"delta":{"reasoning_content":"The user"},"finish_reason":null}]}"#,
            r#"{"choices":[{"delta":{"reasoning_content":" greets"},"finish_reason":null}]}"#,
        ]);
        assert_eq!(piece, Ok(TextPiece { tokens: 2, ..TextPiece::default() }));
    }

    #[test]
    fn an_error_or_nonsense_in_a_stream_is_its_end() {
        let error = r#"{"error":{"message":"the engine failed","type":"server_error","param":null,"code":null}}"#;
        assert_eq!(read(&[error]), Err(NodeFailure::unreachable("the engine failed")));
        assert!(matches!(read(&["<html>"]), Err(NodeFailure::Unreachable { .. })));
    }

    #[test]
    fn a_refusal_keeps_its_code() {
        let body = r#"{"error":{"message":"too long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#;
        let refused = NodeFailure::Refused {
            code: "context_length_exceeded".to_owned(),
            detail: "too long".to_owned(),
        };
        assert_eq!(failure(400, None, body), refused);
        assert_eq!(failure(429, Some(2), body), NodeFailure::Full { retry_after_s: 2 });
        assert_eq!(failure(503, None, ""), NodeFailure::Full { retry_after_s: RETRY_AFTER_S });
        assert!(matches!(failure(404, None, body), NodeFailure::Unreachable { .. }));
        let lacking = body.replace("context_length_exceeded", NO_MODEL);
        assert_eq!(failure(404, None, &lacking), NodeFailure::Unknown);
        assert!(matches!(failure(500, None, ""), NodeFailure::Unreachable { .. }));
    }
}
