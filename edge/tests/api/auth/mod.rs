//! Whose tokens are believed.

mod foreign;
mod key_sets;
mod roles;
mod tokens;
