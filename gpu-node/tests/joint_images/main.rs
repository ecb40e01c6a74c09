//! Several jobs in one pass of a tiny model: each gets what it gets alone, whatever becomes of the others.
#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that is wrong")]

mod families;
mod lane;
mod leaving;
mod support;
