//! The edge: a Cloudflare Worker between browsers, the database and the GPU nodes.

pub mod adapters;
pub mod app;
pub mod auth;
pub mod caller;
pub mod config;
pub mod domains;
pub mod error;
pub mod events;
pub mod gates;
pub mod http;
pub mod ports;
pub mod state;

use serde_json::Value;
use worker::{Env, MessageBatch, Result, ScheduleContext, ScheduledEvent, event};

use crate::{adapters::console, domains::cron, state::AppState};

#[event(start)]
fn start() {
    console::install();
}

// The benchmark's build has an entry of its own: `adapters/bench.rs`.
#[cfg(not(feature = "bench"))]
#[event(fetch)]
async fn fetch(
    request: web_sys::Request,
    env: Env,
    _: worker::Context,
) -> Result<web_sys::Response> {
    use crate::adapters::bridge;
    match AppState::of_isolate(&env) {
        Ok(state) => bridge::answer(request, |request| app::serve(state, request)).await,
        Err(error) => {
            tracing::error!(%error);
            bridge::misconfigured().await
        }
    }
}

#[event(queue)]
async fn queue(batch: MessageBatch<Value>, env: Env, _: worker::Context) -> Result<()> {
    match AppState::of_isolate(&env) {
        Ok(state) => events::consume(&state, &batch).await,
        Err(error) => {
            tracing::error!(%error);
            events::postpone(&batch);
        }
    }
    Ok(())
}

#[event(scheduled)]
async fn scheduled(_: ScheduledEvent, env: Env, _: ScheduleContext) {
    match AppState::of_isolate(&env) {
        Ok(state) => cron::run_minute(&state).await,
        Err(error) => tracing::error!(%error),
    }
}
