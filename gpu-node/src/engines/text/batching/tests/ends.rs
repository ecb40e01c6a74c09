//! How an answer ends, and what a request may not ask.

use super::{
    super::fake_model::{END, input, settings},
    *,
};
use crate::engines::text::request::Sampling;

fn ended(bench: &mut Bench, input: &TextInput) -> (String, FinishReason, usize) {
    let answers = bench.run(std::slice::from_ref(input));
    let told = &answers[0].choices[0];
    let (reason, tokens) = told.ended.unwrap();
    (told.text.clone(), reason, tokens)
}

/// The likeliest token each time, and never an end.
fn endless(prompt: &str) -> TextInput {
    let sampling =
        Sampling { temperature: 0.0, logit_bias: vec![(END, -100.0)], ..Sampling::default() };
    TextInput { sampling, ..input(prompt, 0) }
}

#[test]
fn max_tokens_cuts_an_answer_off() {
    let mut bench = Bench::new(settings(50), Taste::Wild);
    let (text, reason, tokens) =
        ended(&mut bench, &TextInput { max_tokens: 7, ..endless("go on") });
    assert_eq!((text.len(), reason, tokens), (7, FinishReason::Length, 7));
}

#[test]
fn the_context_cuts_an_answer_off() {
    let settings = BatchSettings { context_tokens: Some(30), ..settings(50) };
    let mut bench = Bench::new(settings, Taste::Wild);
    let (_, reason, tokens) =
        ended(&mut bench, &TextInput { max_tokens: 1000, ..endless("twenty tokens, this.") });
    assert_eq!((reason, tokens), (FinishReason::Length, 10));
}

#[test]
fn a_cache_smaller_than_the_context_is_the_context() {
    let mut bench = Bench::new(settings(5), Taste::Wild);
    assert_eq!(bench.batch.context_tokens(), 20);
    let (_, reason, tokens) =
        ended(&mut bench, &TextInput { max_tokens: 1000, ..endless("twelve chars") });
    assert_eq!((reason, tokens), (FinishReason::Length, 8));
}

#[test]
fn an_end_token_ends_the_text_and_is_no_part_of_it() {
    let mut bench = Bench::new(settings(50), Taste::Wild);
    let eager = Sampling { logit_bias: vec![(END, 100.0)], ..Sampling::default() };
    let (text, reason, tokens) =
        ended(&mut bench, &TextInput { sampling: eager, ..input("stop", 0) });
    assert_eq!((text.as_str(), reason, tokens), ("", FinishReason::Stop, 1));
}

#[test]
fn a_stop_text_ends_the_answer_before_it() {
    let mut bench = Bench::new(settings(50), Taste::Wild);
    let whole = ended(&mut bench, &endless("go on")).0;
    let stopped = TextInput { stop: vec![whole[6..9].to_owned()], ..endless("go on") };
    let (text, reason, tokens) = ended(&mut bench, &stopped);
    assert_eq!((text.as_str(), reason, tokens), (&whole[..6], FinishReason::Stop, 9));
}

#[test]
fn probabilities_come_with_their_tokens() {
    let mut bench = Bench::new(settings(50), Taste::Wild);
    let mut request = input("how likely", 4);
    request.sampling.logprobs = Some(2);
    request.max_tokens = 5;
    bench.admit(&request);
    let mut heard = Vec::new();
    while !bench.batch.is_idle() {
        for event in bench.batch.step().events {
            if let News::Emitted(TextEvent::Piece { text, logprobs, .. }) = event.news {
                heard.push((text, logprobs));
            }
        }
    }
    assert!(!heard.is_empty());
    for (text, logprobs) in heard {
        assert_eq!(logprobs.len(), 1);
        assert_eq!(logprobs[0].token.bytes, text.as_bytes());
        assert_eq!(logprobs[0].top.len(), 2);
        assert!(logprobs[0].top[0].logprob >= logprobs[0].token.logprob);
    }
}

#[test]
fn what_does_not_fit_is_refused_with_its_reason() {
    let mut bench = Bench::new(settings(5), Taste::Wild);
    let long = "x".repeat(20);
    for (request, reason) in [
        (input("", 0), "the prompt is empty"),
        (input(&long, 0), "the prompt has 20 tokens, this model reads 20 with the answer"),
        (TextInput { prompt: vec![1, 97], ..input("", 0) }, "the model has no token 97"),
    ] {
        let error = bench.batch.admit(RequestId(1), request).unwrap_err();
        assert!(matches!(error, EngineError::InvalidInput(_) | EngineError::TooLong(_)));
        assert_eq!(error.to_string(), reason);
        assert!(bench.batch.is_idle());
    }
}

#[test]
fn a_cache_without_room_for_a_block_is_refused() {
    let small = BatchSettings { cache_bytes: 63, ..settings(1) };
    let error = Batch::new(loaded(Taste::Wild, &Arc::default()), small).err().unwrap();
    assert!(matches!(error, EngineError::OutOfMemory(_)), "{error}");
}
