//! What the service must know of a model's language: its vocabulary, its chat template, how it writes tool calls.

use std::sync::{Arc, Mutex};

use thiserror::Error;

use super::order::ChatOrder;
use crate::{
    blocking::blocking,
    engines::text::request::Constraint,
    error::{Error, Result},
    scheduler::locked,
};

/// Files that cannot be read now may be whole again when somebody put them back.
const RETRY_AFTER_LOAD_MS: u64 = 10_000;

/// Why a model's language cannot express a request; the text is safe to show.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LanguageError {
    #[error("the model has no chat template: use /v1/completions")]
    NoTemplate,
    /// The template's own words, such as that roles must alternate.
    #[error("{0}")]
    Refused(String),
    #[error("the model's chat template knows no tools")]
    NoTools,
    /// Arguments of a tool that the engine cannot keep an answer to.
    #[error("{0}")]
    BadTools(String),
    /// A format that the engine cannot keep an answer to.
    #[error("{0}")]
    BadFormat(String),
    /// The model's own files are at fault.
    #[error("{0}")]
    Broken(String),
}

/// A conversation as tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatTokens {
    pub tokens: Vec<u32>,
    /// The template begins the answer with a thought.
    pub begins_in_thought: bool,
}

/// A model's vocabulary. Shared by all requests; every call is blocking and short.
pub trait Tokenize: Send + Sync {
    /// Positions the model was made for.
    fn context_tokens(&self) -> usize;

    /// Tokens there are; a bias on another one is a mistake.
    fn vocab_size(&self) -> usize;

    /// A plain text, with what the model wants around it: at its start, where it is to be continued.
    fn encode(&self, text: &str) -> std::result::Result<Vec<u32>, LanguageError>;
}

/// A text model's vocabulary and manners.
pub trait Language: Tokenize {
    /// The tokens that end an answer.
    fn end_tokens(&self) -> Vec<u32>;

    /// The text of some tokens.
    fn decode(&self, tokens: &[u32]) -> String;

    /// Whether the chat template reads the variable.
    fn template_reads(&self, variable: &str) -> bool;

    /// The tokens that end a thought which the template began.
    fn end_of_thought(&self) -> std::result::Result<Vec<u32>, LanguageError>;

    /// The conversation up to where the model goes on.
    fn encode_chat(&self, order: &ChatOrder) -> std::result::Result<ChatTokens, LanguageError>;

    /// What the answer must look like, tool calls included.
    fn constrain(
        &self,
        order: &ChatOrder,
    ) -> std::result::Result<Option<Constraint>, LanguageError>;

    /// Reads one answer to the order.
    fn reader(&self, order: &ChatOrder, begins_in_thought: bool) -> Box<dyn ReadAnswer>;
}

/// Reads something of a model from its files; the text of an error is safe to show.
pub type Load<T> = Box<dyn Fn() -> std::result::Result<Arc<T>, String> + Send + Sync>;

/// A text model's language, read when it is first needed, whether or not the weights are in memory.
pub type LazyLanguage = Lazy<dyn Language>;

/// An embedding model's vocabulary, read when it is first needed.
pub type LazyVocabulary = Lazy<dyn Tokenize>;

/// Something that is read when it is first needed.
pub struct Lazy<T: ?Sized>(Arc<Unread<T>>);

struct Unread<T: ?Sized> {
    load: Load<T>,
    loaded: Mutex<Option<Arc<T>>>,
}

impl<T: ?Sized + Send + Sync + 'static> Lazy<T> {
    /// Nothing is read yet.
    pub fn new(load: Load<T>) -> Self {
        Self(Arc::new(Unread { load, loaded: Mutex::new(None) }))
    }

    /// It; two who come first at once have it read once.
    pub async fn get(&self) -> Result<Arc<T>> {
        // Whoever reads it holds the lock; nobody waits for that here.
        let loaded = self.0.loaded.try_lock().ok().and_then(|loaded| loaded.clone());
        if let Some(loaded) = loaded {
            return Ok(loaded);
        }
        let lazy = self.0.clone();
        blocking(move || {
            let mut loaded = locked(&lazy.loaded);
            if let Some(loaded) = &*loaded {
                return Ok(loaded.clone());
            }
            let read = (lazy.load)().map_err(|detail| Error::Unavailable {
                detail: format!("the model's vocabulary cannot be read: {detail}"),
                retry_after_ms: RETRY_AFTER_LOAD_MS,
            })?;
            *loaded = Some(read.clone());
            Ok(read)
        })
        .await?
    }
}

/// Tells the parts of one answer apart while it is being written.
pub trait ReadAnswer: Send {
    /// What is certain now that this much more came.
    fn read(&mut self, text: &str) -> Vec<AnswerPart>;

    /// What is left when nothing more comes.
    fn finish(&mut self) -> Vec<AnswerPart>;
}

/// More of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerPart {
    Content(String),
    /// What the model thinks before it answers.
    Reasoning(String),
    /// A tool call begins.
    ToolCall {
        name: String,
    },
    /// More of the last call's arguments, as JSON text.
    Arguments(String),
}
