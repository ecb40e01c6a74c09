//! Jobs: accepting, running, ending and listing them.

pub mod accept;
pub mod ending;
pub mod follow;
pub mod generation_consumer;
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
