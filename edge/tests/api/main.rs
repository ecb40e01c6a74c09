//! The edge in process, on fakes: one test binary, whose folders mirror the URLs.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "the whole binary is a test: it fails by panicking, and exports nothing"
)]

mod ai_assistant;
mod auth;
mod content_ideas;
mod credits;
mod every_route_is_guarded;
mod http;
mod images;
mod jobs;
mod layers;
mod openapi;
mod operations;
mod outbox;
mod scenes;
mod support;
