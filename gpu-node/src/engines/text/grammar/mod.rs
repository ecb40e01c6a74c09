//! Answers that follow a JSON schema, a regular expression or a grammar: which tokens may come next, at each place.
//!
//! A grammar's answer is valid once it may end. Where `max_tokens` cuts it off before, `is_accepting` says so.

mod cache;
mod compiler;
mod matcher;
mod schema;
mod trie;

pub use compiler::GrammarCompiler;
pub use matcher::Grammar;
pub(in crate::engines::text) use schema::prepare as json_options;
