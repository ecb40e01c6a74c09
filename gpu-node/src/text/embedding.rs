//! Texts into vectors: tokens are cut and counted here, and a lane computes.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{
    answer::OpenAnswers,
    language::Language,
    order::Prompt,
    service::{blocking, prompt_tokens, refused, wrong},
};
use crate::{
    error::{Error, Result},
    scheduler::{Failure, LaneControl, Refused},
};

/// Where the vectors of one request arrive; dropping it cancels the request.
pub struct EmbeddingRun {
    pub vectors: oneshot::Receiver<std::result::Result<Vec<Vec<f32>>, Failure>>,
    /// Whatever must be dropped for the runner to stop.
    pub guard: Box<dyn Send>,
}

/// Runs requests of one embedding model.
pub trait EmbeddingRunner: LaneControl {
    /// Takes texts in as tokens, or refuses them, without waiting.
    fn submit(&self, inputs: Vec<Vec<u32>>) -> std::result::Result<EmbeddingRun, Refused>;

    /// Numbers in a vector.
    fn dimensions(&self) -> usize;

    /// Whether the first numbers of a vector make a good shorter one.
    fn can_shorten(&self) -> bool;
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
    language: Arc<dyn Language>,
    open: &OpenAnswers,
    order: EmbeddingOrder,
) -> Result<Embeddings> {
    let dimensions = checked_dimensions(runner, order.dimensions)?;
    let inputs = blocking(move || {
        let cut = |(index, input)| cut(&*language, index, input);
        order.inputs.iter().enumerate().map(cut).collect::<Result<Vec<_>>>()
    });
    let inputs = inputs.await??;
    let tokens = inputs.iter().map(Vec::len).sum();
    let _open = open.open();
    let run = runner.submit(inputs).map_err(refused)?;
    let outcome = run.vectors.await.unwrap_or_else(|_| Err(Failure::panicked()));
    let mut vectors = outcome.map_err(Error::from)?;
    for vector in &mut vectors {
        shorten(vector, dimensions);
    }
    Ok(Embeddings { vectors, tokens })
}

fn checked_dimensions(runner: &dyn EmbeddingRunner, asked: Option<usize>) -> Result<usize> {
    let own = runner.dimensions();
    match asked {
        None => Ok(own),
        Some(asked) if asked == own || (asked < own && runner.can_shorten()) => Ok(asked),
        Some(_) if runner.can_shorten() => {
            Err(wrong("/dimensions", "range", format!("must be between 1 and {own}")))
        }
        Some(_) => Err(wrong("/dimensions", "range", format!("must be {own} with this model"))),
    }
}

fn cut(language: &dyn Language, index: usize, input: &Prompt) -> Result<Vec<u32>> {
    let pointer = format!("/input/{index}");
    let tokens = prompt_tokens(language, input, &pointer)?;
    let (context_tokens, count) = (language.context_tokens(), tokens.len());
    if count > context_tokens {
        return Err(Error::ContextTooLong { context_tokens, prompt_tokens: count });
    }
    if tokens.is_empty() {
        return Err(wrong(&pointer, "empty", "must not be empty"));
    }
    Ok(tokens)
}

/// Keeps the first numbers and brings what is left back to length 1.
fn shorten(vector: &mut Vec<f32>, dimensions: usize) {
    if vector.len() <= dimensions {
        return;
    }
    vector.truncate(dimensions);
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|number| *number /= length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortened_vector_has_length_one() {
        let mut vector = vec![3.0, 4.0, 12.0];
        shorten(&mut vector, 2);
        assert_eq!(vector, [0.6, 0.8]);
        shorten(&mut vector, 5);
        assert_eq!(vector, [0.6, 0.8]);
    }
}
