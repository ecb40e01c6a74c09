//! What the edge is for, one module per domain: `routes()`, handlers, services.

pub mod account_cron;
pub mod admin;
pub mod ai;
pub mod ai_assistant;
pub mod audit;
pub mod content_ideas;
pub mod credits;
pub mod cron;
pub mod docs;
pub mod fleet;
pub mod health;
pub mod images;
pub mod jobs;
pub mod metrics;
pub mod outbox;
pub mod pages;
pub mod scenes;
