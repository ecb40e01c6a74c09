//! From a constraint to a grammar that walks along with the tokens.

use std::sync::{Arc, Mutex, PoisonError};

use llguidance::{Matcher, ParserFactory, api::TopLevelGrammar};
use serde_json::json;

use super::{Grammar, cache::GrammarCache, schema, trie::token_tree};
use crate::engines::{
    EngineError,
    text::{request::Constraint, vocabulary::Vocabulary},
};

/// Compiled grammars kept for requests that ask for the same.
const KEPT_GRAMMARS: usize = 32;
/// Longest regular expression or Lark grammar, in bytes.
const MAX_GRAMMAR_BYTES: usize = 512 * 1024;
/// How much of a compiler's complaint a caller is told.
const MAX_FAULT_CHARS: usize = 600;

/// Compiles constraints for one vocabulary.
pub struct GrammarCompiler {
    factory: ParserFactory,
    kept: Mutex<GrammarCache>,
}

impl std::fmt::Debug for GrammarCompiler {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("GrammarCompiler").finish_non_exhaustive()
    }
}

impl GrammarCompiler {
    /// For a model with `vocab_size` logits per row, which may be more than the vocabulary has tokens. Takes a
    /// moment with a large vocabulary.
    pub fn new(vocabulary: Arc<Vocabulary>, vocab_size: usize) -> Result<Self, EngineError> {
        let tree = token_tree(vocabulary, vocab_size)?;
        let mut factory = ParserFactory::new_simple(&tree)
            .map_err(|error| EngineError::Failed(format!("grammar: {error}")))?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Self { factory, kept: Mutex::new(GrammarCache::new(KEPT_GRAMMARS)) })
    }

    /// A grammar at its beginning; a constraint that cannot be kept to is the caller's mistake, and named.
    pub fn compile(&self, constraint: &Constraint) -> Result<Grammar, EngineError> {
        let key = key(constraint);
        if let Some(matcher) = self.kept().find(&key) {
            return Ok(Grammar::new(matcher));
        }
        let (grammar, kind) = match constraint {
            Constraint::JsonSchema(schema) => {
                (TopLevelGrammar::from_json_schema(schema::prepare(schema)?), "JSON schema")
            }
            Constraint::JsonObject => {
                let schema = schema::prepare(&json!({"type": "object"}))?;
                (TopLevelGrammar::from_json_schema(schema), "JSON schema")
            }
            Constraint::Regex(pattern) => {
                check_length(pattern, "regular expression")?;
                (TopLevelGrammar::from_regex(unanchored(pattern)), "regular expression")
            }
            Constraint::Lark(source) => {
                check_length(source, "grammar")?;
                (TopLevelGrammar::from_lark(source.clone()), "grammar")
            }
        };
        let parser = self.factory.create_parser(grammar).map_err(|error| fault(kind, &error))?;
        let mut matcher = Matcher::new(Ok(parser));
        // The first step shows whether it can be followed at all, and takes longest: better here than in a lane.
        matcher.compute_mask().map_err(|error| fault(kind, &error))?;
        self.kept().keep(key, matcher.deep_clone());
        Ok(Grammar::new(matcher))
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, GrammarCache> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What makes two constraints the same; the order of a schema's properties counts.
fn key(constraint: &Constraint) -> String {
    match constraint {
        Constraint::JsonSchema(schema) => format!("schema {schema}"),
        Constraint::JsonObject => "object".to_owned(),
        Constraint::Regex(pattern) => format!("regex {pattern}"),
        Constraint::Lark(source) => format!("lark {source}"),
    }
}

/// The pattern without anchors around it: it always matches the whole answer.
fn unanchored(pattern: &str) -> &str {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    match pattern.strip_suffix('$') {
        Some(rest) if rest.chars().rev().take_while(|&letter| letter == '\\').count() % 2 == 0 => {
            rest
        }
        _ => pattern,
    }
}

fn check_length(source: &str, kind: &str) -> Result<(), EngineError> {
    if source.len() > MAX_GRAMMAR_BYTES {
        return Err(EngineError::InvalidInput(format!(
            "the {kind} is longer than {MAX_GRAMMAR_BYTES} bytes"
        )));
    }
    Ok(())
}

fn fault(kind: &str, error: &dyn std::fmt::Display) -> EngineError {
    let text = error.to_string();
    // A panic's trace is for nobody outside.
    let text = text.split("<backtrace>").next().unwrap_or_default().trim();
    let text: String = text.chars().take(MAX_FAULT_CHARS).collect();
    EngineError::InvalidInput(format!("the {kind} cannot be used: {text}"))
}

#[cfg(test)]
#[path = "compiler_tests.rs"]
mod tests;
