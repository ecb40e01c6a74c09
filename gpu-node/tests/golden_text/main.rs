//! The tiny decoders against the reference library: every family, batched, paged, in pieces, and changed on purpose.
#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that is wrong")]

mod card;
mod families;
#[path = "../golden/mod.rs"]
mod golden;
mod rows;
mod support;
mod taps;
