//! Jobs: one life cycle for every generation. `accept.rs` begins it, `run.rs` is its middle, `ending.rs` its end.

pub mod accept;
pub mod ending;
pub mod follow;
pub mod generation_consumer;
pub mod handlers;
pub mod input_picture;
pub mod job_ports;
pub mod lease;
pub mod node_order;
pub mod patience;
pub mod progress;
pub mod reaper_cron;
pub mod retention_cron;
pub mod run;
pub mod saving;
pub mod service;
pub mod wait;

use crate::{http::routes::Routes, routes};

/// The table of routes.
pub fn routes() -> Routes {
    routes![handlers::{
        list_jobs, remove_finished_jobs, find_job, watch_job, cancel_job,
    }]
}
