//! Delivering the outbox, and `/api/admin/outbox`.

mod admin;
mod audit;
mod deliver;
