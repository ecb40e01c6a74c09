//! Health, metrics, nodes, settings and the site's files.

mod files;
mod health;
mod metrics;
mod nodes;
mod settings;
