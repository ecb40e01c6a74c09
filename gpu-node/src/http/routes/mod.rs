//! The handlers: unpack, call one function, wrap.

pub mod health;
pub mod jobs;
pub mod metrics;
