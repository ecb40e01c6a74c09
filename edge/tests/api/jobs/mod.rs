//! `/api/jobs`, and what runs behind it.

mod accept;
mod cancel;
mod cleanup;
mod cron;
mod events;
mod list;
mod run;
mod survive;
