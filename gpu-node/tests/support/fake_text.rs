//! A text model that says what its prompt tells it to, with bytes for tokens, and an embedding model that counts letters.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use gpu_node::{
    engines::embeddings::EmbeddingInput,
    engines::text::request::{
        Constraint, FinishReason, TextEvent, TextInput, TokenLogprob, TokenScore,
    },
    scheduler::{Failure, LaneControl, LaneStatus, LoadState, Refused},
    text::{
        AnswerPart, ChatOrder, ChatTokens, EmbeddingRun, EmbeddingRunner, Language, LanguageError,
        LazyLanguage, LazyVocabulary, ReadAnswer, RunEvent, TextRun, TextRunner, Tokenize,
        ToolChoice,
    },
};
use tokio::sync::{mpsc, oneshot, watch};

/// Tokens that the fake models read.
pub const CONTEXT_TOKENS: usize = 400;

/// What the fake models of one node were asked, and what happened to it.
#[derive(Default)]
pub struct TextScript {
    inputs: Mutex<Vec<TextInput>>,
    is_full: AtomicUsize,
    running: watch::Sender<usize>,
    /// Requests that may run at once; 0 is any number.
    places: AtomicUsize,
}

impl TextScript {
    /// Every request so far.
    pub fn inputs(&self) -> Vec<TextInput> {
        self.inputs.lock().unwrap().clone()
    }

    /// The last request, its prompt as text.
    pub fn last(&self) -> (String, TextInput) {
        let input = self.inputs.lock().unwrap().last().cloned().expect("nothing was asked");
        (prompt_text(&input), input)
    }

    /// Only so many run at once from now on.
    pub fn limit(&self, places: usize) {
        self.places.store(places, Ordering::SeqCst);
    }

    /// The next requests find no place.
    pub fn refuse(&self, count: usize) {
        self.is_full.store(count, Ordering::SeqCst);
    }

    /// Waits until so many requests run.
    pub async fn until_running(&self, count: usize) {
        let minute = Duration::from_secs(60);
        let mut running = self.running.subscribe();
        let waited = tokio::time::timeout(minute, running.wait_for(|running| *running == count));
        waited.await.expect("it did not come to that").unwrap();
    }
}

/// The vocabulary of bytes.
pub fn fake_language() -> LazyLanguage {
    LazyLanguage::new(Box::new(|| Ok(Arc::new(Bytes))))
}

/// The same for embeddings.
pub fn fake_vocabulary() -> LazyVocabulary {
    LazyVocabulary::new(Box::new(|| Ok(Arc::new(Bytes))))
}

/// A vocabulary whose files are gone.
pub fn lost_language() -> LazyLanguage {
    LazyLanguage::new(Box::new(|| Err("tokenizer.json is not there".to_owned())))
}

struct Bytes;

impl Tokenize for Bytes {
    fn context_tokens(&self) -> usize {
        CONTEXT_TOKENS
    }

    fn vocab_size(&self) -> usize {
        256
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, LanguageError> {
        Ok(text.bytes().map(u32::from).collect())
    }
}

impl Language for Bytes {
    fn end_tokens(&self) -> Vec<u32> {
        vec![0]
    }

    fn decode(&self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().map(|token| *token as u8).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn template_reads(&self, variable: &str) -> bool {
        variable == "enable_thinking"
    }

    fn end_of_thought(&self) -> Result<Vec<u32>, LanguageError> {
        self.encode("</think>")
    }

    fn encode_chat(&self, order: &ChatOrder) -> Result<ChatTokens, LanguageError> {
        let mut text = String::new();
        for (name, value) in &order.template_values {
            text.push_str(&format!("{name} = {value}\n"));
        }
        for tool in &order.tools {
            text.push_str(&format!("tool: {}\n", tool.name));
        }
        for message in &order.messages {
            let content = message.content.as_deref().unwrap_or("");
            if content == "be rude" {
                return Err(LanguageError::Refused("this model is polite".to_owned()));
            }
            text.push_str(&format!("{}: {content}\n", message.role.as_str()));
        }
        Ok(ChatTokens { tokens: self.encode(&text)?, begins_in_thought: false })
    }

    fn constrain(&self, order: &ChatOrder) -> Result<Option<Constraint>, LanguageError> {
        match order.tool_choice {
            ToolChoice::Required => Ok(Some(Constraint::Lark(order.callable.join(" | ")))),
            _ => Ok(order.format.clone()),
        }
    }

    fn reader(&self, _: &ChatOrder, _: bool) -> Box<dyn ReadAnswer> {
        Box::new(Reader { seen: String::new(), has_ended_call: true })
    }
}

/// `<think>…</think>` is a thought, `[call name]…[/call]` a call; each mark comes as a piece of its own.
struct Reader {
    seen: String,
    has_ended_call: bool,
}

impl ReadAnswer for Reader {
    fn read(&mut self, text: &str) -> Vec<AnswerPart> {
        if text.is_empty() {
            return Vec::new();
        }
        if let Some(name) = text.strip_prefix("[call ").and_then(|rest| rest.strip_suffix(']')) {
            self.has_ended_call = false;
            return vec![AnswerPart::ToolCall { name: name.to_owned() }];
        }
        match text {
            "<think>" | "</think>" => self.seen = text.to_owned(),
            "[/call]" => self.has_ended_call = true,
            _ if !self.has_ended_call => return vec![AnswerPart::Arguments(text.to_owned())],
            _ if self.seen == "<think>" => return vec![AnswerPart::Reasoning(text.to_owned())],
            _ => return vec![AnswerPart::Content(text.to_owned())],
        }
        Vec::new()
    }

    fn finish(&mut self) -> Vec<AnswerPart> {
        Vec::new()
    }
}

fn prompt_text(input: &TextInput) -> String {
    Bytes.decode(&input.prompt)
}

/// Does what the last line of its prompt says.
pub struct FakeTextRunner(pub Arc<TextScript>);

impl LaneControl for FakeTextRunner {
    fn status(&self) -> LaneStatus {
        LaneStatus { load: LoadState::Loaded, waiting: 0, is_running: self.running() > 0 }
    }

    fn running(&self) -> usize {
        *self.0.running.borrow()
    }

    fn places(&self) -> usize {
        8
    }

    fn preload(&self) {}

    fn close(&self) {
        self.0.refuse(usize::MAX);
    }

    fn stop_running(&self) {}
}

impl TextRunner for FakeTextRunner {
    fn submit(&self, input: TextInput) -> Result<TextRun, Refused> {
        match self.0.is_full.load(Ordering::SeqCst) {
            0 => {}
            usize::MAX => return Err(Refused::Draining),
            count => {
                self.0.is_full.store(count - 1, Ordering::SeqCst);
                return Err(Refused::Full { retry_after_ms: 2_500 });
            }
        }
        let places = self.0.places.load(Ordering::SeqCst);
        if places > 0 && *self.0.running.borrow() >= places {
            return Err(Refused::Full { retry_after_ms: 2_500 });
        }
        self.0.inputs.lock().unwrap().push(input.clone());
        let (sender, events) = mpsc::unbounded_channel();
        let script = self.0.clone();
        script.running.send_modify(|running| *running += 1);
        tokio::spawn(async move {
            let outcome = speak(&input, &sender).await;
            // Whoever waits for the end must find the place free.
            script.running.send_modify(|running| *running -= 1);
            if let Some(outcome) = outcome {
                let _ = sender.send(RunEvent::Ended(outcome));
            }
        });
        Ok(TextRun { events, guard: Box::new(()) })
    }
}

type Sender = mpsc::UnboundedSender<RunEvent>;

fn failure(code: &'static str, is_retryable: bool) -> Failure {
    Failure { code, detail: "the card fell off".to_owned(), is_retryable }
}

/// `None` when nobody listens any more.
async fn speak(input: &TextInput, sender: &Sender) -> Option<Result<(), Failure>> {
    let prompt = prompt_text(input);
    let line = prompt.trim_end().lines().last().unwrap_or("");
    let wish = line.split_once(": ").map_or(line, |(_, wish)| wish);
    match wish {
        "fail" => return Some(Err(failure("engine_failed", true))),
        "load" => return Some(Err(failure("model_not_loaded", true))),
        "refuse" => return Some(Err(failure("invalid_input", false))),
        _ => {}
    }
    let started = TextEvent::Started { prompt_tokens: input.prompt.len(), cached_tokens: 3 };
    sender.send(RunEvent::Said(started)).ok()?;
    let pieces: Vec<String> = match wish.split_once(' ') {
        Some(("say", text)) => text.split_inclusive(' ').map(str::to_owned).collect(),
        _ => match wish {
            "think" => ["<think>", "hm, ", "so", "</think>", "Done."].map(str::to_owned).into(),
            "call" => ["[call weather]", "{\"city\":", "\"Paris\"}", "[/call]"]
                .into_iter()
                .chain(["[call time]", "{}", "[/call]"])
                .map(str::to_owned)
                .collect(),
            _ => vec!["yes".to_owned()],
        },
    };
    if wish == "break" {
        sender.send(RunEvent::Said(piece(input, 0, "half"))).ok()?;
        return Some(Err(failure("engine_failed", true)));
    }
    if wish == "go on for ever" {
        loop {
            sender.send(RunEvent::Said(piece(input, 0, "more "))).ok()?;
            tokio::task::yield_now().await;
        }
    }
    for choice in 0..input.choices {
        let (mut tokens, mut reason) = (0, FinishReason::Stop);
        for text in &pieces {
            if tokens == input.max_tokens {
                reason = FinishReason::Length;
                break;
            }
            tokens += 1;
            if input.stop.iter().any(|stop| text.contains(stop.as_str())) {
                break;
            }
            sender.send(RunEvent::Said(piece(input, choice, text))).ok()?;
        }
        sender.send(RunEvent::Said(TextEvent::Ended { choice, reason, tokens })).ok()?;
    }
    Some(Ok(()))
}

/// The first choice is the least likely.
fn piece(input: &TextInput, choice: usize, text: &str) -> TextEvent {
    let score = |logprob| TokenScore { id: 7, bytes: text.as_bytes().to_vec(), logprob };
    let logprob = -1.0 / (choice + 1) as f32;
    let logprobs = input.sampling.logprobs.map(|top| TokenLogprob {
        token: score(logprob),
        top: (0..top).map(|index| score(logprob - index as f32)).collect(),
    });
    TextEvent::Piece { choice, text: text.to_owned(), logprobs: logprobs.into_iter().collect() }
}

/// A vector of the counts of bytes by their last two bits, at length 1.
pub struct FakeEmbeddingRunner(pub Arc<TextScript>);

impl LaneControl for FakeEmbeddingRunner {
    fn status(&self) -> LaneStatus {
        LaneStatus { load: LoadState::Loaded, waiting: 0, is_running: false }
    }

    fn running(&self) -> usize {
        0
    }

    fn places(&self) -> usize {
        8
    }

    fn preload(&self) {}

    fn close(&self) {}

    fn stop_running(&self) {}
}

impl EmbeddingRunner for FakeEmbeddingRunner {
    fn submit(&self, input: EmbeddingInput) -> Result<EmbeddingRun, Refused> {
        let (sender, vectors) = oneshot::channel();
        let dimensions = input.dimensions.unwrap_or(4);
        let outcome = match dimensions {
            1..=4 => Ok(input.texts.iter().map(|tokens| count(tokens, dimensions)).collect()),
            _ => Err(failure("invalid_input", false)),
        };
        let _ = sender.send(outcome);
        Ok(EmbeddingRun { vectors, guard: Box::new(()) })
    }
}

fn count(tokens: &[u32], dimensions: usize) -> Vec<f32> {
    let mut counts = vec![0.0_f32; 4];
    for token in tokens {
        counts[*token as usize % 4] += 1.0;
    }
    counts.truncate(dimensions);
    let length = counts.iter().map(|count| count * count).sum::<f32>().sqrt();
    counts.iter().map(|count| count / length).collect()
}
