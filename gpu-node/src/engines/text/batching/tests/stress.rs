//! Thousands of requests in a small cache: nothing leaks, nobody starves, no answer changes.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    super::fake_model::{input, settings},
    *,
};

/// A request like those of many users: common beginnings, all lengths, one choice or several.
fn any_input(random: &mut ChaCha8Rng) -> TextInput {
    let beginnings = [
        "You are a helpful assistant that answers briefly. ",
        "Translate the following text into French: ",
        "Q: ",
    ];
    let mut prompt = beginnings[random.random_range(0..beginnings.len())].to_owned();
    for _ in 0..random.random_range(1..30) {
        prompt.push(char::from(random.random_range(b'a'..=b'z')));
    }
    let mut input = input(&prompt, random.random());
    input.max_tokens = random.random_range(1..40);
    input.choices = if random.random_bool(0.2) { random.random_range(2..4) } else { 1 };
    input.sampling.temperature = if random.random_bool(0.3) { 0.0 } else { 0.9 };
    if random.random_bool(0.2) {
        input.stop = vec![char::from(random.random_range(b'a'..=b'z')).to_string()];
    }
    input
}

#[test]
fn two_thousand_requests_with_cancellations_leave_nothing_behind() {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let settings = BatchSettings { guess_tokens: 3, guess_sequences: 8, ..settings(60) };
    let mut bench = Bench::new(settings, Taste::Repeating(9));
    let mut under_way: Vec<(u64, TextInput)> = Vec::new();
    let (mut admitted, mut checked, mut cancelled) = (0, 0, 0);
    while admitted < 2000 || !bench.batch.is_idle() {
        if admitted < 2000 {
            let input = any_input(&mut random);
            if bench.batch.has_place(input.choices) {
                under_way.push((bench.admit(&input), input));
                admitted += 1;
            }
        }
        if random.random_bool(0.02) && !under_way.is_empty() {
            let (id, _) = under_way.swap_remove(random.random_range(0..under_way.len()));
            bench.batch.remove(RequestId(id));
            bench.answers.remove(&id);
            cancelled += 1;
        }
        bench.step();
        under_way.retain(|(id, input)| {
            let Some(answer) = bench.answers.get(id).filter(|a| a.outcome.is_some()) else {
                return true;
            };
            // The oracle is slow: a part of the answers stands for all.
            if id.is_multiple_of(16) {
                assert!(matches!(answer.outcome, Some(Ok(_))), "{:?}", answer.outcome);
                assert_eq!(answer.choices, oracle(input, Taste::Repeating(9)), "request {id}");
                checked += 1;
            }
            bench.answers.remove(id);
            false
        });
    }
    assert!(under_way.is_empty(), "{} requests never ended", under_way.len());
    assert_eq!(bench.batch.used_blocks(), (0, 60));
    assert_eq!((bench.batch.sequences(), bench.batch.requests()), (0, 0));
    let figures = bench.figures;
    assert!(checked > 80 && cancelled > 50, "{checked} checked, {cancelled} cancelled");
    assert!(figures.preempted > 50 && figures.cached_tokens > 5000, "{figures:?}");
    assert!(figures.accepted_tokens > 100, "{figures:?}");
}

#[test]
fn the_oldest_never_gives_way_and_nobody_waits_for_ever() {
    let mut bench = Bench::new(settings(24), Taste::Wild);
    let long = TextInput { max_tokens: 60, end_tokens: Vec::new(), ..input("the oldest one", 1) };
    let oldest = bench.admit(&long);
    let mut ends = Vec::new();
    let mut last = 0;
    let mut steps = 0;
    while bench.answers.get(&oldest).is_none_or(|answer| answer.outcome.is_none()) {
        // Somebody new whenever there is a place.
        while bench.batch.has_place(1) {
            last = bench.admit(&input("a young one that wants room", last + 2));
        }
        bench.step();
        steps += 1;
        let ended = |(id, answer): (&u64, &Answer)| answer.outcome.is_some().then_some(*id);
        ends.extend(bench.answers.iter().filter_map(ended));
        bench.answers.retain(|id, answer| *id == oldest || answer.outcome.is_none());
    }
    // One step reads its prompt, then each writes a token.
    assert_eq!(steps, 60, "the oldest had to wait");
    let last_ended = ends.iter().max().copied().unwrap();
    let overtaken: Vec<u64> =
        (1..last_ended.saturating_sub(8)).filter(|id| !ends.contains(id)).collect();
    assert!(overtaken.is_empty(), "{overtaken:?} were overtaken by {last_ended}");
}
