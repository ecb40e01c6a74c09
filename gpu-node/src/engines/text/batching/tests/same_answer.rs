//! Whatever a batch does for speed or room, each answer is the one the request gets alone.

use super::{
    super::fake_model::{input, settings},
    *,
};

/// Requests that differ in length, seed, temperature and number of choices.
fn mixed() -> Vec<TextInput> {
    (0..12)
        .map(|index| {
            let prompt = "the quick brown fox jumps over a lazy dog. ".repeat(2);
            let mut input = input(&prompt[index..index + 3 + index * 4], index as u64);
            input.max_tokens = 5 + index * 2;
            input.choices = 1 + index % 3;
            input.sampling.temperature = [0.0, 0.7, 1.3][index % 3];
            input
        })
        .collect()
}

#[test]
fn a_batch_answers_as_each_request_alone() {
    let mut bench = Bench::new(settings(400), Taste::Wild);
    let inputs = mixed();
    let answers = bench.run(&inputs);
    assert_same(&answers, &inputs, Taste::Wild);
    let passes = bench.mood.passes.load(std::sync::atomic::Ordering::Relaxed);
    let tokens = bench.figures.written_tokens;
    assert!(passes * 2 < tokens, "{tokens} tokens took {passes} passes: nothing ran together");
}

#[test]
fn a_prompt_read_in_parts_is_the_prompt_read_at_once() {
    let inputs = mixed();
    for step_tokens in [1, 3, 7, 10_000] {
        let mut bench = Bench::new(BatchSettings { step_tokens, ..settings(400) }, Taste::Wild);
        let answers = bench.run(&inputs);
        assert_same(&answers, &inputs, Taste::Wild);
    }
}

#[test]
fn no_pass_is_larger_than_allowed_by_more_than_what_writes() {
    let mut bench = Bench::new(BatchSettings { step_tokens: 20, ..settings(400) }, Taste::Wild);
    bench.run(&mixed());
    let largest = bench.mood.largest_pass.load(std::sync::atomic::Ordering::Relaxed);
    assert!(largest <= 20, "{largest} tokens in one pass");
}

#[test]
fn a_prompt_that_was_read_before_is_not_read_again() {
    let mut bench = Bench::new(settings(60), Taste::Wild);
    let first = [input("a long beginning that many questions share: one?", 1)];
    let second = [input("a long beginning that many questions share: two?", 2)];
    let cold = bench.run(&first);
    let read = bench.figures.read_tokens;
    assert_eq!((read, bench.figures.cached_tokens), (48, 0));
    let warm = bench.run(&second);
    assert_eq!((bench.figures.read_tokens - read, bench.figures.cached_tokens), (4, 44));
    let again = bench.run(&first);
    assert_same(&cold, &first, Taste::Wild);
    assert_same(&warm, &second, Taste::Wild);
    assert_same(&again, &first, Taste::Wild);
    let usage = again[0].outcome.clone().unwrap().unwrap();
    assert_eq!((usage.prompt_tokens, usage.cached_tokens), (48, 44));
}

#[test]
fn an_answer_is_found_again_when_the_conversation_goes_on() {
    let mut bench = Bench::new(settings(60), Taste::Wild);
    let question = input("hello there, how are you today", 5);
    let answer = bench.run(std::slice::from_ref(&question));
    let mut next = question.clone();
    next.prompt.extend(super::super::fake_model::tokens(&answer[0].choices[0].text));
    next.prompt.extend([1, 2, 3, 4]);
    let before = bench.figures.cached_tokens;
    let answers = bench.run(std::slice::from_ref(&next));
    assert_same(&answers, &[next], Taste::Wild);
    assert!(bench.figures.cached_tokens - before > question.prompt.len());
}

#[test]
fn who_gives_way_goes_on_as_if_nothing_had_happened() {
    // Room for about three of the twelve.
    let inputs: Vec<TextInput> = (0..12)
        .map(|seed| TextInput { max_tokens: 30, ..input("tell me a story, number ", seed) })
        .collect();
    let mut bench = Bench::new(settings(30), Taste::Wild);
    let answers = bench.run(&inputs);
    assert!(bench.figures.preempted > 3, "only {} gave way", bench.figures.preempted);
    assert_same(&answers, &inputs, Taste::Wild);
}

#[test]
fn guesses_change_nothing_but_the_number_of_passes() {
    for temperature in [0.0, 0.4, 1.0] {
        let taste = Taste::Repeating(6);
        let mut request = input("ab cd ab cd ab cd ", 3);
        request.max_tokens = 60;
        request.sampling.temperature = temperature;
        request.sampling.frequency_penalty = 0.05;
        let inputs = [request];
        let mut guessing = Bench::new(BatchSettings { guess_tokens: 5, ..settings(60) }, taste);
        let answers = guessing.run(&inputs);
        assert_same(&answers, &inputs, taste);
        let figures = guessing.figures;
        assert!(figures.accepted_tokens > 15, "{temperature}: {figures:?}");
        assert!(figures.accepted_tokens < figures.guessed_tokens, "some guesses were wrong");
        let passes = guessing.mood.passes.load(std::sync::atomic::Ordering::Relaxed);
        assert!(passes + figures.accepted_tokens <= 60 + 2, "{passes} passes");
    }
}

#[test]
fn guesses_stop_while_many_run_and_where_they_are_wrong() {
    let guessing = BatchSettings { guess_tokens: 5, guess_sequences: 1, ..settings(400) };
    let mut bench = Bench::new(guessing.clone(), Taste::Repeating(6));
    let two = |seed| TextInput { max_tokens: 40, ..input("ab cd ab cd ab cd ", seed) };
    bench.run(&[two(1), two(2)]);
    // Guessed at most while the longer of the two ran alone.
    let both = bench.figures.guessed_tokens;
    let mut bench = Bench::new(guessing.clone(), Taste::Repeating(6));
    bench.run(&[two(1)]);
    assert!(both < bench.figures.guessed_tokens);

    let mut wild = Bench::new(guessing, Taste::Wild);
    wild.run(&[TextInput { max_tokens: 150, end_tokens: Vec::new(), ..input("abab", 1) }]);
    let figures = wild.figures;
    assert!(figures.guessed_tokens < 60, "guessing did not pay and went on: {figures:?}");
}

#[test]
fn choices_share_their_prompt_and_are_those_of_separate_requests() {
    let mut request = input("one prompt of twenty-three", 9);
    request.choices = 4;
    let inputs = [request];
    let mut bench = Bench::new(settings(60), Taste::Wild);
    let answers = bench.run(&inputs);
    assert_same(&answers, &inputs, Taste::Wild);
    let texts: Vec<&str> = answers[0].choices.iter().map(|told| told.text.as_str()).collect();
    assert!(texts.windows(2).all(|pair| pair[0] != pair[1]), "{texts:?}");
    // The prompt once, and its last two tokens (beyond the full blocks) again for each other choice.
    let expected = 26 + 3 * (2 + 1);
    assert_eq!(bench.figures.read_tokens, expected);
    let usage = answers[0].outcome.clone().unwrap().unwrap();
    let told: usize = answers[0].choices.iter().map(|told| told.ended.unwrap().1).sum();
    assert_eq!(usage.written_tokens, told);
}

#[test]
fn a_seed_says_the_same_again_and_another_seed_does_not() {
    let mut bench = Bench::new(settings(400), Taste::Wild);
    let answers = bench.run(&[input("again", 7), input("again", 7), input("again", 8)]);
    assert_eq!(answers[0].choices, answers[1].choices);
    assert_ne!(answers[0].choices, answers[2].choices);
}
