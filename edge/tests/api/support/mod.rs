//! What tests stand on: a fake for every port, and the app in process.

pub mod answer;
pub mod app;
pub mod artifacts;
pub mod clock;
pub mod database;
pub mod discord;
pub mod faults;
pub mod gates;
pub mod issuer;
pub mod keys;
pub mod nodes;
pub mod queues;
pub mod receiver;
pub mod runtime;
pub mod text_rooms;
pub mod web;
pub mod world;
pub mod writers;
