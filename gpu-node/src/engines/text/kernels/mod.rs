//! What runs on rows of f32 on the CPU, for decoders and for the encoders of embeddings.
//!
//! Every sum has a fixed order, so a row's result never depends on the rows computed with it.

mod attention;
mod cache;
mod dense;
mod lanes;
mod linear;
mod rows;

pub(crate) use self::{
    attention::{Attention, Place},
    cache::{BLOCK_TOKENS, BlockShape, LayerCache},
    dense::DenseMatrix,
    linear::Linear,
    rows::{Angles, LayerNorm, RmsNorm, add, gate, gelu_all},
};
