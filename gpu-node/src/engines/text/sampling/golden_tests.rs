//! Which tokens stay, and how likely they are, against the reference's logits warpers.

use std::path::Path;

use serde_json::Value;

use super::{cuts, log_probabilities, penalties::Penalties};
use crate::engines::text::request::Sampling;

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

fn cases() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny/vocabulary/golden");
    let text = std::fs::read_to_string(path.join("sampling.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_same_tokens_stay_with_the_same_probability() {
    for case in cases() {
        let settings = &case["settings"];
        let number =
            |name: &str, otherwise: f64| settings[name].as_f64().unwrap_or(otherwise) as f32;
        let sampling = Sampling {
            temperature: number("temperature", 1.0),
            top_p: number("top_p", 1.0),
            top_k: settings["top_k"].as_u64().map(|count| count as usize),
            min_p: number("min_p", 0.0),
            repetition_penalty: number("repetition_penalty", 1.0),
            ..Sampling::default()
        };
        let mut logits = numbers(&case["logits"]);
        let mut penalties = Penalties::new(&sampling, &ids(&case["prompt"]));
        ids(&case["answer"]).into_iter().for_each(|token| penalties.count(token));
        penalties.apply(&mut logits);
        let mut candidates = Vec::new();
        let total = cuts::keep(&logits, &sampling, &mut candidates);
        let kept: Vec<u32> = candidates.iter().map(|candidate| candidate.id).collect();
        assert_eq!(kept, ids(&case["kept"]), "{settings}");
        for (candidate, expected) in candidates.iter().zip(numbers(&case["probabilities"])) {
            let found = f64::from(candidate.weight) / total;
            assert!((found - f64::from(expected)).abs() < 1e-6, "{settings}: {found} {expected}");
        }
    }
}

#[test]
fn log_probabilities_are_the_reference_s() {
    for case in cases() {
        let logits = numbers(&case["logits"]);
        let expected = numbers(&case["log_softmax"]);
        for token in [0, 17, 63] {
            let found = log_probabilities(&logits, token, 5);
            assert!((found.chosen - expected[token as usize]).abs() < 1e-5);
            let best = expected.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert!((found.top[0].1 - best).abs() < 1e-5);
            assert!(found.top.windows(2).all(|pair| pair[0].1 >= pair[1].1));
        }
    }
}
