//! Answers that follow a schema, in a batch as alone, with forced tokens and guesses.

use serde_json::{Value, json};

use super::{
    super::fake_model::{input, settings},
    *,
};
use crate::engines::text::request::Constraint;

fn quiz(seed: u64) -> TextInput {
    let schema = json!({
        "type": "object",
        "properties": {
            "question": {"type": "string", "maxLength": 12},
            "answers": {"type": "array", "items": {"enum": ["red", "green"]}, "minItems": 2, "maxItems": 2},
            "correct": {"type": "integer", "minimum": 0, "maximum": 1}
        },
        "required": ["question", "answers", "correct"],
        "additionalProperties": false
    });
    let constraint = Some(Constraint::JsonSchema(schema));
    TextInput { constraint, max_tokens: 120, ..input("make a quiz of it: ", seed) }
}

fn assert_valid(told: &Told) {
    assert_eq!(told.ended.unwrap().0, FinishReason::Stop, "{}", told.text);
    let value: Value = serde_json::from_str(&told.text).unwrap();
    let answers = value["answers"].as_array().unwrap();
    assert!(answers.iter().all(|answer| answer == "red" || answer == "green"), "{value}");
    assert!(value["correct"].as_u64().unwrap() <= 1 && answers.len() == 2, "{value}");
    assert!(value["question"].as_str().unwrap().chars().count() <= 12, "{value}");
}

#[test]
fn every_answer_follows_the_schema_whoever_runs_beside_it() {
    let inputs: Vec<TextInput> = (0..10)
        .map(|seed| if seed % 3 == 0 { input("free text", seed) } else { quiz(seed) })
        .collect();
    let mut bench = Bench::new(settings(150), Taste::Wild);
    let answers = bench.run(&inputs);
    assert_same(&answers, &inputs, Taste::Wild);
    for (answer, input) in answers.iter().zip(&inputs) {
        if input.constraint.is_some() {
            assert_valid(&answer.choices[0]);
        }
    }
}

#[test]
fn what_the_schema_forces_is_read_and_not_asked_for() {
    let mut bench = Bench::new(settings(60), Taste::Wild);
    let answers = bench.run(&[quiz(1)]);
    let passes = bench.mood.passes.load(std::sync::atomic::Ordering::Relaxed);
    let written = answers[0].choices[0].ended.unwrap().1;
    assert!(passes * 2 < written, "{passes} passes for {written} tokens");
}

#[test]
fn guesses_do_not_change_a_structured_answer() {
    let settings = BatchSettings { guess_tokens: 6, ..settings(100) };
    for seed in 0..6 {
        let mut request = quiz(seed);
        request.prompt.extend(super::super::fake_model::tokens(
            r#"{"question":"aaaaaaaaaa","answers":["red","green"],"correct":0}"#,
        ));
        let taste = Taste::Repeating(63);
        let mut bench = Bench::new(settings.clone(), taste);
        let answers = bench.run(std::slice::from_ref(&request));
        assert_same(&answers, &[request], taste);
        assert_valid(&answers[0].choices[0]);
    }
}

#[test]
fn probabilities_of_a_structured_answer_name_every_token() {
    let mut request = quiz(3);
    request.sampling.logprobs = Some(0);
    let mut bench = Bench::new(settings(60), Taste::Wild);
    bench.admit(&request);
    let (mut text, mut named) = (String::new(), Vec::new());
    while !bench.batch.is_idle() {
        for event in bench.batch.step().events {
            if let News::Emitted(TextEvent::Piece { text: more, logprobs, .. }) = event.news {
                text.push_str(&more);
                named.extend(logprobs.into_iter().flat_map(|one| one.token.bytes));
            }
        }
    }
    assert_eq!(named, text.as_bytes());
    assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}");
}

#[test]
fn a_schema_that_cannot_be_kept_is_refused() {
    let mut bench = Bench::new(settings(60), Taste::Wild);
    let wrong = Constraint::JsonSchema(json!({"type": "no such type"}));
    let request = TextInput { constraint: Some(wrong), ..input("x", 1) };
    let error = bench.batch.admit(RequestId(1), request).unwrap_err();
    assert!(matches!(error, EngineError::InvalidInput(_)), "{error}");
    assert!(bench.batch.is_idle());
}

#[test]
fn a_structured_answer_that_is_cut_off_says_so() {
    let mut bench = Bench::new(settings(60), Taste::Wild);
    let answers = bench.run(&[TextInput { max_tokens: 20, ..quiz(1) }]);
    assert_eq!(answers[0].choices[0].ended, Some((FinishReason::Length, 20)));
}
