//! Models from a hub: `models pull` and `serve` against a server that behaves like one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]
#![allow(unreachable_pub, reason = "the fake hub is a module of several tests")]

#[path = "../support/fake_hub.rs"]
mod fake_hub;

#[cfg(unix)]
mod cleaning;
#[cfg(unix)]
mod disk;
mod machine;
mod pulling;
mod refusals;
#[cfg(unix)]
mod serving;
mod sharing;
