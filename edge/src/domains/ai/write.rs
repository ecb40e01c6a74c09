//! One text from one node: if the node fails before anyone has seen a word of it, from another one.

use std::{future::Future, pin::pin};

use futures_util::future::{Either, select};
use shared::node::text::ChatRequest;

use super::text_ports::TextPorts;
use crate::ports::{
    fleet::{NodeFailure, NodeRef},
    system::Clock,
    text::{TextFailure, TextPiece, TextStream, TokenUsage},
};

/// Nodes asked for one text.
const NODES_MAX: usize = 3;

/// Until the first word or thought: a long prompt in a full batch.
const FIRST_WORD_MS: u64 = 30_000;

/// Between two words or thoughts.
const SILENCE_MS: u64 = 20_000;

/// For the whole of it.
const WHOLE_MS: u64 = 5 * 60 * 1000;

/// How far a run is, over all its calls. What is counted here is right even if the run breaks off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    pub usage: TokenUsage,
    /// Nodes that were left for another one.
    pub switches: u64,
    /// When the first word came, in milliseconds since 1970.
    pub first_word_ms: Option<u64>,
}

/// A text, to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    pub text: String,
    pub finish_reason: String,
}

/// Called with each piece of text; `false` when nobody wants any more.
pub type OnText<'a> = &'a mut (dyn FnMut(&str) -> bool + Send);

/// Why a node was left.
enum Left {
    Full {
        retry_after_s: u32,
    },
    /// It is well, but does not have the model (any more).
    Lacking,
    /// It said nothing, or nothing anyone has seen.
    Unheard,
    /// No other node would do better, or it is too late for one.
    ForGood(TextFailure),
}

/// Has the text written. With `shows_words`, what came cannot be taken back: only a node that fails before its first
/// word is replaced.
pub async fn write_text(
    ports: &TextPorts<'_>,
    request: &ChatRequest,
    shows_words: bool,
    progress: &mut Progress,
    on_text: OnText<'_>,
) -> Result<Written, TextFailure> {
    let mut tried: Vec<String> = Vec::new();
    let mut full_for_s: Option<u32> = None;
    let mut is_unheard = false;
    while tried.len() < NODES_MAX {
        let Some(node) = ports.fleet.pick_text(&request.model, &tried).await? else { break };
        progress.switches += u64::from(!tried.is_empty());
        let call = Call { ports, node: &node, request, shows_words };
        let written = call.write(progress, on_text).await;
        let verdict = match &written {
            Ok(_) | Err(Left::ForGood(TextFailure::Abandoned | TextFailure::TooLong)) => Some(true),
            Err(Left::ForGood(TextFailure::Refused { .. })) => Some(true),
            Err(Left::Full { .. } | Left::Lacking) => None,
            Err(Left::Unheard | Left::ForGood(_)) => Some(false),
        };
        if let Err(error) = ports.fleet.end_text(&node.node_id, verdict).await {
            tracing::debug!(node = %node.node_id, %error, "the fleet was not told");
        }
        match written {
            Ok(written) => return Ok(written),
            Err(Left::ForGood(failure)) => return Err(failure),
            Err(Left::Full { retry_after_s }) => {
                full_for_s = Some(full_for_s.map_or(retry_after_s, |s| s.min(retry_after_s)));
            }
            Err(Left::Lacking) => {}
            Err(Left::Unheard) => is_unheard = true,
        }
        tried.push(node.node_id);
    }
    Err(match full_for_s {
        Some(retry_after_s) => TextFailure::Full { retry_after_s },
        None if is_unheard => TextFailure::Unreachable,
        None => TextFailure::NoNode,
    })
}

struct Call<'a> {
    ports: &'a TextPorts<'a>,
    node: &'a NodeRef,
    request: &'a ChatRequest,
    shows_words: bool,
}

impl Call<'_> {
    async fn write(&self, progress: &mut Progress, on_text: OnText<'_>) -> Result<Written, Left> {
        let clock = self.ports.clock;
        let began_ms = clock.now_ms();
        let opening = self.ports.text_nodes.open(self.node, self.request);
        let mut stream = match within(clock, FIRST_WORD_MS, opening).await {
            Some(opened) => opened.map_err(|failure| self.left(failure))?,
            None => return Err(self.unheard("it did not answer")),
        };
        let mut written = Written::default();
        let mut counted = TokenUsage::default();
        let mut told = None;
        let ended = loop {
            let age_ms = clock.now_ms().saturating_sub(began_ms);
            let patience_ms = match counted.completion_tokens {
                0 => FIRST_WORD_MS.saturating_sub(age_ms),
                _ => SILENCE_MS,
            };
            if age_ms > WHOLE_MS {
                break Err(Left::ForGood(TextFailure::TooSlow));
            }
            match next(clock, patience_ms, stream.as_mut()).await {
                Ok(Some(piece)) => {
                    counted.completion_tokens += piece.tokens;
                    told = piece.usage.or(told);
                    let is_wanted = take(&mut written, piece, on_text);
                    if !written.text.is_empty() {
                        progress.first_word_ms.get_or_insert(clock.now_ms());
                    }
                    if !is_wanted {
                        break Err(Left::ForGood(TextFailure::Abandoned));
                    }
                }
                Ok(None) if written.finish_reason.is_empty() => {
                    break Err(self.broken("its stream ended early", &written));
                }
                Ok(None) => break Ok(written),
                Err(cause) => break Err(self.broken(&cause, &written)),
            }
        };
        let usage = told.unwrap_or(counted);
        progress.usage.prompt_tokens += usage.prompt_tokens;
        progress.usage.completion_tokens += usage.completion_tokens;
        ended
    }

    fn left(&self, failure: NodeFailure) -> Left {
        match failure {
            NodeFailure::Full { retry_after_s } => Left::Full { retry_after_s },
            NodeFailure::Refused { code, .. } if code == "context_length_exceeded" => {
                Left::ForGood(TextFailure::TooLong)
            }
            NodeFailure::Refused { code, detail } => {
                tracing::warn!(node = %self.node.node_id, code, detail, "a node refused a text");
                let detail = "The node refused the request.".to_owned();
                Left::ForGood(TextFailure::Refused { detail })
            }
            NodeFailure::Unknown => {
                tracing::warn!(node = %self.node.node_id, "a node does not have the model");
                Left::Lacking
            }
            NodeFailure::Unreachable { cause } => self.unheard(&cause),
        }
    }

    fn broken(&self, cause: &str, written: &Written) -> Left {
        if self.shows_words && !written.text.is_empty() {
            tracing::warn!(node = %self.node.node_id, cause, "a node broke off");
            return Left::ForGood(TextFailure::BrokeOff);
        }
        self.unheard(cause)
    }

    fn unheard(&self, cause: &str) -> Left {
        tracing::warn!(node = %self.node.node_id, cause, "a node was left for another one");
        Left::Unheard
    }
}

/// A text begins with a word: the blanks that some models put before it would pass for one.
fn take(written: &mut Written, piece: TextPiece, on_text: OnText<'_>) -> bool {
    if let Some(reason) = piece.finish_reason {
        written.finish_reason = reason;
    }
    let text = match written.text.is_empty() {
        true => piece.text.trim_start(),
        false => &piece.text,
    };
    written.text.push_str(text);
    text.is_empty() || on_text(text)
}

async fn next(
    clock: &dyn Clock,
    patience_ms: u64,
    stream: &mut dyn TextStream,
) -> Result<Option<TextPiece>, String> {
    match within(clock, patience_ms, stream.next()).await {
        Some(Ok(piece)) => Ok(piece),
        Some(Err(NodeFailure::Unreachable { cause })) => Err(cause),
        Some(Err(failure)) => Err(format!("{failure:?}")),
        None => Err("it fell silent".to_owned()),
    }
}

/// The future's result, unless it takes longer.
pub async fn within<F: Future>(clock: &dyn Clock, timeout_ms: u64, work: F) -> Option<F::Output> {
    match select(pin!(work), pin!(clock.sleep_ms(timeout_ms))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(((), _)) => None,
    }
}
