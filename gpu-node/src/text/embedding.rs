//! Texts into vectors: tokens are cut and counted here, and a lane computes.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{
    answer::OpenAnswers,
    language::Tokenize,
    order::Prompt,
    service::{prompt_tokens, refused, wrong},
};
use crate::{
    blocking::blocking,
    engines::embeddings::EmbeddingInput,
    error::{Error, Result},
    scheduler::{EmbeddingLane, Failure, LaneControl, Refused},
};

/// Where the vectors of one request arrive; dropping it cancels the request.
pub struct EmbeddingRun {
    pub vectors: oneshot::Receiver<std::result::Result<Vec<Vec<f32>>, Failure>>,
    /// Whatever must be dropped for the runner to stop.
    pub guard: Box<dyn Send>,
}

/// Runs requests of one embedding model.
pub trait EmbeddingRunner: LaneControl {
    /// Takes texts in or refuses them, without waiting.
    fn submit(&self, input: EmbeddingInput) -> std::result::Result<EmbeddingRun, Refused>;
}

/// Texts to be turned into vectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddingOrder {
    pub model: String,
    pub inputs: Vec<Prompt>,
    pub dimensions: Option<usize>,
}

/// A vector of length 1 per input, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    pub vectors: Vec<Vec<f32>>,
    pub tokens: usize,
}

/// Turns texts into vectors.
pub async fn embed(
    runner: &dyn EmbeddingRunner,
    vocabulary: Arc<dyn Tokenize>,
    open: &OpenAnswers,
    order: EmbeddingOrder,
) -> Result<Embeddings> {
    let EmbeddingOrder { inputs, dimensions, .. } = order;
    let texts = blocking(move || {
        let cut = |(index, input)| cut(&*vocabulary, index, input);
        inputs.iter().enumerate().map(cut).collect::<Result<Vec<_>>>()
    });
    let texts = texts.await??;
    let tokens = texts.iter().map(Vec::len).sum();
    let _open = open.open();
    let run = runner.submit(EmbeddingInput { texts, dimensions }).map_err(refused)?;
    let outcome = run.vectors.await.unwrap_or_else(|_| Err(Failure::panicked()));
    let vectors = outcome.map_err(|failure| match Error::from(failure) {
        // The texts were checked, so what is left to be wrong is the size.
        Error::RefusedByModel(text) if dimensions.is_some() => wrong("/dimensions", "range", text),
        other => other,
    })?;
    Ok(Embeddings { vectors, tokens })
}

fn cut(vocabulary: &dyn Tokenize, index: usize, input: &Prompt) -> Result<Vec<u32>> {
    let pointer = format!("/input/{index}");
    let tokens = prompt_tokens(vocabulary, input, &pointer)?;
    let (context_tokens, count) = (vocabulary.context_tokens(), tokens.len());
    if count > context_tokens {
        return Err(Error::ContextTooLong { context_tokens, prompt_tokens: count });
    }
    if tokens.is_empty() {
        return Err(wrong(&pointer, "empty", "must not be empty"));
    }
    Ok(tokens)
}

impl EmbeddingRunner for EmbeddingLane {
    fn submit(&self, input: EmbeddingInput) -> std::result::Result<EmbeddingRun, Refused> {
        let (sender, vectors) = oneshot::channel();
        let answer = Box::new(move |outcome| {
            // Whoever hung up hears nothing.
            let _ = sender.send(outcome);
        });
        let ticket = self.submit(input, answer)?;
        Ok(EmbeddingRun { vectors, guard: Box::new(ticket) })
    }
}
