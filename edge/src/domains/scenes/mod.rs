//! Grimoire's scenes.

pub mod service;
