//! What the diffusion transformers share: patches, conditioning, and attention over words and picture together.

mod attention;
mod conditioning;
mod feed_forward;
mod patches;

use candle_core::{Result, Tensor};

pub(super) use attention::{AttentionSize, JointAttention, SelfAttention};
pub(super) use conditioning::{Modulation, TimeTextEmbedding};
pub(super) use feed_forward::FeedForward;
pub(super) use patches::{patches, picture_of_channel_first, picture_of_channel_last};

/// Of every norm in these models.
pub(super) const NORM_EPS: f64 = 1e-6;

/// `xs + gate · change`; the gate is `(batch, width)`.
pub(super) fn gated(xs: &Tensor, gate: &Tensor, change: &Tensor) -> Result<Tensor> {
    xs + change.broadcast_mul(&gate.unsqueeze(1)?)?
}
