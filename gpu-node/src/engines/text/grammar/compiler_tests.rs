//! What grammars promise, walked through with the tokens of a tiny vocabulary.

use std::path::Path;

use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::*;
use crate::engines::text::{
    request::Sampling,
    sampling::{Sampler, TokenMask},
    vocabulary::TokenStream,
};

/// More logits than tokens, as many models have.
const VOCAB_SIZE: usize = 600;

fn vocabulary(name: &str) -> Arc<Vocabulary> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny/vocabulary").join(name);
    Arc::new(Vocabulary::load(&folder).unwrap())
}

fn compiler(name: &str) -> (Arc<Vocabulary>, GrammarCompiler) {
    let vocabulary = vocabulary(name);
    let compiler = GrammarCompiler::new(Arc::clone(&vocabulary), VOCAB_SIZE).unwrap();
    (vocabulary, compiler)
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "zeta": {"type": "string", "maxLength": 12},
            "alpha": {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
            "kind": {"enum": ["red house", "<|im_end|>", "é"]}
        },
        "required": ["zeta", "alpha", "kind"],
        "additionalProperties": false
    })
}

/// Also `-0` and numbers too large for an `i64`.
fn is_whole(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// Lets a model that likes every token alike write an answer; `None` when `most` tokens did not suffice.
fn written(
    vocabulary: &Vocabulary,
    mut grammar: Grammar,
    seed: u64,
    most: usize,
) -> Option<String> {
    let mut sampler = Sampler::new(&Sampling { seed, ..Sampling::default() }, 0, &[]).unwrap();
    let mut stream = TokenStream::new(vocabulary);
    let mut text = String::new();
    for _ in 0..most {
        if grammar.is_finished() {
            break;
        }
        let mask = grammar.mask().unwrap();
        let token = sampler.choose(&mut vec![0.0; VOCAB_SIZE], Some(&mask)).unwrap().token;
        grammar.accept(token).unwrap();
        sampler.accept(token);
        if vocabulary.end_tokens().contains(&token) {
            assert!(grammar.is_accepting().unwrap());
            break;
        }
        text.push_str(&stream.push(vocabulary, token));
    }
    grammar.is_accepting().unwrap().then_some(text + &stream.finish())
}

#[test]
fn whatever_the_model_likes_the_answer_follows_the_schema() {
    for name in ["byte-level", "byte-fallback"] {
        let (vocabulary, compiler) = compiler(name);
        let mut whole = 0;
        for seed in 0..12 {
            let grammar = compiler.compile(&Constraint::JsonSchema(schema())).unwrap();
            let Some(text) = written(&vocabulary, grammar, seed, 300) else { continue };
            whole += 1;
            let value: Value = serde_json::from_str(&text).unwrap();
            let names: Vec<&String> = value.as_object().unwrap().keys().collect();
            assert_eq!(names, ["zeta", "alpha", "kind"], "{name}: {text}");
            assert!(value["zeta"].as_str().unwrap().chars().count() <= 12, "{text}");
            assert!(value["alpha"].as_array().unwrap().iter().all(is_whole), "{text}");
            assert!(["red house", "<|im_end|>", "é"].contains(&value["kind"].as_str().unwrap()));
        }
        assert!(whole >= 6, "{name}: only {whole} of 12 answers came to their end");
    }
}

#[test]
fn any_json_object_is_an_object() {
    let (vocabulary, compiler) = compiler("byte-level");
    let mut whole = 0;
    for seed in 0..20 {
        let grammar = compiler.compile(&Constraint::JsonObject).unwrap();
        if let Some(text) = written(&vocabulary, grammar, seed, 200) {
            whole += 1;
            // JSON's numbers have no bounds, those of `Value` have.
            assert!(serde_json::from_str::<IgnoredAny>(&text).is_ok(), "{text}");
            assert!(text.starts_with('{') && text.ends_with('}'), "{text}");
        }
    }
    assert!(whole > 0);
}

#[test]
fn a_regular_expression_matches_the_whole_answer() {
    let (vocabulary, compiler) = compiler("byte-level");
    for (pattern, seed) in [("^[A-Z]{2}-[0-9]{3}$", 1), ("(oui|non|peut-être)", 2), (r"a/b\$", 3)]
    {
        let grammar = compiler.compile(&Constraint::Regex(pattern.into())).unwrap();
        let text = written(&vocabulary, grammar, seed, 50).unwrap();
        let fits = match seed {
            1 => text.len() == 6 && text.as_bytes()[2] == b'-',
            2 => ["oui", "non", "peut-être"].contains(&text.as_str()),
            _ => text == "a/b$",
        };
        assert!(fits, "{pattern}: {text:?}");
    }
}

#[test]
fn a_cut_off_answer_is_known_to_be_no_whole_one() {
    let (vocabulary, compiler) = compiler("byte-level");
    let mut grammar = compiler.compile(&Constraint::JsonSchema(schema())).unwrap();
    for token in vocabulary.encode(r#"{"zeta": "a""#).unwrap() {
        assert!(!grammar.is_accepting().unwrap());
        grammar.accept(token).unwrap();
    }
    assert!(!grammar.is_accepting().unwrap() && !grammar.is_finished());
    for token in vocabulary.encode(r#", "alpha": [], "kind": "é"}"#).unwrap() {
        grammar.accept(token).unwrap();
    }
    assert!(grammar.is_accepting().unwrap() && grammar.is_finished());
    assert_eq!(grammar.mask().unwrap(), {
        let mut words = vec![0_u32; VOCAB_SIZE.div_ceil(32)];
        vocabulary.end_tokens().iter().for_each(|&end| words[end as usize / 32] |= 1 << (end % 32));
        TokenMask::from_words(words)
    });
}

#[test]
fn tokens_without_a_choice_are_forced() {
    let (vocabulary, compiler) = compiler("byte-level");
    let mut grammar = compiler.compile(&Constraint::Regex("(red house|red mouse)".into())).unwrap();
    let forced = grammar.forced_tokens();
    let bytes: Vec<u8> =
        forced.iter().flat_map(|&token| vocabulary.bytes(token).to_vec()).collect();
    assert!(!forced.is_empty() && "red ".as_bytes().starts_with(&bytes), "{bytes:?}");
    forced.iter().for_each(|&token| grammar.accept(token).unwrap());
    assert!(!grammar.is_finished());
}

#[test]
fn guesses_are_checked_and_taken_back() {
    let (vocabulary, compiler) = compiler("byte-level");
    let mut grammar = compiler.compile(&Constraint::Regex("[a-z]{4} [0-9]+".into())).unwrap();
    let guess = vocabulary.encode("abcd 12x").unwrap();
    let valid = vocabulary.encode("abcd 12").unwrap();
    let before = grammar.mask().unwrap();
    assert_eq!(grammar.validate(&guess).unwrap(), valid.len());
    assert_eq!(grammar.mask().unwrap(), before);
    valid.iter().for_each(|&token| grammar.accept(token).unwrap());
    assert!(grammar.is_accepting().unwrap());
    grammar.rollback(valid.len()).unwrap();
    assert_eq!(grammar.mask().unwrap(), before);
    assert_eq!(grammar.validate(&valid).unwrap(), valid.len());
}

#[test]
fn rolling_back_a_finished_grammar_opens_it_again() {
    let (vocabulary, compiler) = compiler("byte-level");
    let mut grammar = compiler.compile(&Constraint::Regex("yes|no".into())).unwrap();
    let tokens = vocabulary.encode("yes").unwrap();
    tokens.iter().for_each(|&token| grammar.accept(token).unwrap());
    assert!(grammar.is_finished());
    grammar.rollback(tokens.len()).unwrap();
    assert!(!grammar.is_finished());
    vocabulary.encode("no").unwrap().iter().for_each(|&token| grammar.accept(token).unwrap());
    assert!(grammar.is_finished());
}

#[test]
fn continuations_go_their_own_ways() {
    let (vocabulary, compiler) = compiler("byte-level");
    let mut first = compiler.compile(&Constraint::Regex("ab|cd".into())).unwrap();
    let mut second = first.fork();
    first.accept(vocabulary.token("a").unwrap()).unwrap();
    second.accept(vocabulary.token("c").unwrap()).unwrap();
    assert!(first.mask().unwrap().allows(vocabulary.token("b").unwrap()));
    assert!(second.mask().unwrap().allows(vocabulary.token("d").unwrap()));
}

#[test]
fn a_kept_grammar_starts_from_the_beginning() {
    let (vocabulary, compiler) = compiler("byte-level");
    let constraint = Constraint::Regex("ab".into());
    for _ in 0..2 {
        let mut grammar = compiler.compile(&constraint).unwrap();
        assert!(!grammar.is_finished());
        vocabulary.encode("ab").unwrap().iter().for_each(|&token| grammar.accept(token).unwrap());
        assert!(grammar.is_finished());
    }
}

#[test]
fn logits_without_a_token_are_never_chosen() {
    let (vocabulary, compiler) = compiler("byte-level");
    let mut grammar = compiler.compile(&Constraint::Regex("(.|\n)*".into())).unwrap();
    let mask = grammar.mask().unwrap();
    for token in 0..VOCAB_SIZE as u32 {
        let is_text = !vocabulary.bytes(token).is_empty() && !vocabulary.is_control(token);
        if mask.allows(token) {
            assert!(is_text || vocabulary.end_tokens().contains(&token), "{token}");
        }
    }
}

#[test]
fn a_token_that_was_not_allowed_is_an_error() {
    let (vocabulary, compiler) = compiler("byte-level");
    let mut grammar = compiler.compile(&Constraint::Regex("ab".into())).unwrap();
    assert!(grammar.accept(vocabulary.token("z").unwrap()).is_err());
    assert!(grammar.mask().is_err());
}

#[test]
fn faults_of_a_constraint_are_named() {
    let (_, compiler) = compiler("byte-level");
    let mut deep = json!({"type": "string"});
    for _ in 0..120 {
        deep = json!({"type": "array", "items": deep});
    }
    for (constraint, word) in [
        (Constraint::JsonSchema(json!({"type": "object", "not": {}})), "not"),
        (Constraint::JsonSchema(json!({"type": "strin"})), "strin"),
        (Constraint::JsonSchema(json!({"$ref": "#/$defs/absent"})), "absent"),
        (Constraint::JsonSchema(json!({"type": "array", "uniqueItems": true})), "uniqueItems"),
        (Constraint::JsonSchema(json!(true)), "object"),
        (Constraint::JsonSchema(json!({"type": "string", "pattern": "("})), "("),
        (Constraint::JsonSchema(deep), "deeper"),
        (Constraint::JsonSchema(json!({"description": "x".repeat(300_000)})), "larger"),
        (Constraint::JsonSchema(json!({"minimum": 3, "maximum": 1, "type": "integer"})), "nsatisf"),
        (Constraint::JsonSchema(json!({"x-guidance": {"lenient": true}, "not": {}})), "not"),
        (Constraint::Regex("(".into()), "regular expression"),
        (Constraint::Lark("start: nothing_here".into()), "nothing_here"),
    ] {
        match compiler.compile(&constraint) {
            Err(EngineError::InvalidInput(fault)) => {
                assert!(fault.contains(word), "{word}: {fault}");
                assert!(!fault.contains("panic") && !fault.contains("backtrace"), "{fault}");
            }
            other => panic!("{word}: {other:?}"),
        }
    }
}

#[test]
fn constraints_made_to_cost_much_end_soon() {
    let (_, compiler) = compiler("byte-level");
    for constraint in [
        Constraint::JsonSchema(json!({"type": "string", "maxLength": 1_000_000_000})),
        Constraint::JsonSchema(json!({"type": "array", "items": {}, "minItems": 100_000_000})),
        Constraint::JsonSchema(json!({"type": "string", "pattern": "((a{1,999}){1,999}){1,999}b"})),
        Constraint::JsonSchema(json!({"$ref": "#"})),
        Constraint::JsonSchema(json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}]})),
        Constraint::Regex("(((((a{0,100}){0,100}){0,100}){0,100}){0,100})x".into()),
        Constraint::Regex("(a|aa|aaa|aaaa)*{50}".into()),
    ] {
        if let Ok(mut grammar) = compiler.compile(&constraint) {
            let _ = grammar.mask();
        }
    }
}

#[test]
fn what_cannot_be_followed_is_refused_before_the_first_token() {
    let (_, compiler) = compiler("byte-level");
    let constraint = Constraint::JsonSchema(json!({"$ref": "#"}));
    let Err(EngineError::InvalidInput(fault)) = compiler.compile(&constraint) else {
        panic!("{constraint:?} was taken");
    };
    assert!(fault.contains("cannot be used"), "{fault}");
}

#[test]
fn recursive_schemas_work() {
    let (vocabulary, compiler) = compiler("byte-level");
    let schema = json!({
        "$defs": {"node": {
            "type": "object",
            "properties": {"v": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
            "required": ["v", "next"],
            "additionalProperties": false
        }},
        "$ref": "#/$defs/node"
    });
    let mut grammar = compiler.compile(&Constraint::JsonSchema(schema)).unwrap();
    let text = r#"{"v": 1, "next": {"v": 2, "next": null}}"#;
    vocabulary.encode(text).unwrap().iter().for_each(|&token| grammar.accept(token).unwrap());
    assert!(grammar.is_finished());
}
