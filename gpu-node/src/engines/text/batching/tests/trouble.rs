//! What goes wrong stays with those it concerns.

use std::sync::atomic::Ordering;

use super::{
    super::fake_model::{POISON, input, settings},
    *,
};

fn failure(answer: &Answer) -> String {
    match &answer.outcome {
        Some(Err(error)) => error.to_string(),
        other => panic!("it did not fail: {other:?}"),
    }
}

fn run_to_end(bench: &mut Bench) {
    while !bench.batch.is_idle() {
        bench.step();
    }
    assert_eq!(bench.batch.used_blocks().0, 0, "a block was not given back");
}

#[test]
fn logits_that_are_not_numbers_fail_their_request_alone() {
    let mut bench = Bench::new(settings(100), Taste::Wild);
    let mut poisoned = input("a good beginning of an answer ", 1);
    poisoned.prompt.push(POISON);
    let inputs = [input("a good one", 2), poisoned.clone(), input("another", 3)];
    let answers = bench.run(&inputs);
    assert_eq!(failure(&answers[1]), "the model computed logits that are not numbers");
    assert_same(&answers[..1], &inputs[..1], Taste::Wild);
    assert_same(&answers[2..], &inputs[2..], Taste::Wild);
    // What it left in the cache is found by nobody.
    let before = bench.figures.cached_tokens;
    bench.run(&[poisoned]);
    assert_eq!(bench.figures.cached_tokens, before);
}

#[test]
fn a_failed_pass_ends_those_in_it_and_nobody_else() {
    let settings = BatchSettings { step_tokens: 8, ..settings(100) };
    let mut bench = Bench::new(settings, Taste::Wild);
    let long = input("this prompt takes the whole of several steps to read", 1);
    let (first, second) = (bench.admit(&long), bench.admit(&input("not in that pass", 2)));
    bench.step();
    bench.mood.fails_next.store(true, Ordering::Relaxed);
    run_to_end(&mut bench);
    assert!(!bench.is_broken);
    assert_eq!(failure(&bench.answers[&first]), "the card fell off");
    let other = bench.answers.remove(&second).unwrap();
    assert_same(&[other], &[input("not in that pass", 2)], Taste::Wild);
}

#[test]
fn nothing_of_a_failed_pass_is_reused() {
    let mut bench = Bench::new(settings(100), Taste::Wild);
    let request = [input("a prompt that is asked twice", 1)];
    bench.run(&request);
    bench.mood.fails_next.store(true, Ordering::Relaxed);
    let failed = bench.run(&[input("a prompt that fails", 1)]);
    assert_eq!(failure(&failed[0]), "the card fell off");
    let before = bench.figures.cached_tokens;
    let answers = bench.run(&request);
    assert_eq!(bench.figures.cached_tokens, before);
    assert_same(&answers, &request, Taste::Wild);
}

#[test]
fn after_a_panic_another_model_goes_on_with_the_rest() {
    let settings = BatchSettings { step_tokens: 8, ..settings(100) };
    let mut bench = Bench::new(settings, Taste::Wild);
    let long = input("this prompt takes the whole of several steps to read", 1);
    let (first, second) = (bench.admit(&long), bench.admit(&input("not in that pass", 2)));
    bench.step();
    bench.mood.panics_next.store(true, Ordering::Relaxed);
    bench.step();
    assert!(bench.is_broken);
    assert_eq!(failure(&bench.answers[&first]), "the model stopped unexpectedly");
    let model = Box::new(FakeModel::new(Taste::Wild, &bench.mood));
    bench.batch.replace_model(model).unwrap();
    run_to_end(&mut bench);
    let other = bench.answers.remove(&second).unwrap();
    assert_same(&[other], &[input("not in that pass", 2)], Taste::Wild);
}

#[test]
fn a_removed_request_frees_its_blocks_and_says_nothing_more() {
    let mut bench = Bench::new(settings(100), Taste::Wild);
    let mut many = input("three choices of an answer", 1);
    many.choices = 3;
    let (gone, stays) = (bench.admit(&many), bench.admit(&input("one that stays", 2)));
    for _ in 0..4 {
        bench.step();
    }
    bench.batch.remove(RequestId(gone));
    let told = bench.answers.remove(&gone).unwrap().choices.len();
    assert_eq!(told, 3);
    run_to_end(&mut bench);
    assert!(!bench.answers.contains_key(&gone));
    assert!(bench.answers[&stays].outcome.as_ref().unwrap().is_ok());
}
