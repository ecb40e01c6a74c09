//! Products with compressed matrices on the CPU, in the formats of GGML.
//!
//! Inputs are rounded to bytes, 32 at a time; a block of weights and a block of inputs meet in exact integers, and
//! their scales turn the sum into a float. So the result is the same on every processor and in any batch.

mod format;
mod lanes;
mod layout;
mod matrix;
mod multiply;
mod packing;
mod rounded;
#[cfg(test)]
mod tests;

pub use format::Format;
pub use lanes::Instructions;
pub use matrix::PackedMatrix;
