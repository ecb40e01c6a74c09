//! Whose tokens are believed.

mod key_sets;
mod roles;
mod tokens;
