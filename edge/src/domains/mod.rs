//! What the edge is for, one module per domain: `routes()`, handlers, services.

pub mod admin;
pub mod audit;
pub mod credits;
pub mod cron;
pub mod docs;
pub mod fleet;
pub mod health;
pub mod jobs;
pub mod metrics;
pub mod outbox;
pub mod pages;
pub mod scenes;
