//! What the sampler promises, on rows small enough to compute by hand.

use super::*;

fn sampler(sampling: Sampling) -> Sampler {
    Sampler::new(&sampling, 0, &[]).unwrap()
}

fn greedy() -> Sampling {
    Sampling { temperature: 0.0, ..Sampling::default() }
}

fn chosen(sampling: Sampling, logits: &[f32]) -> u32 {
    sampler(sampling).choose(&mut logits.to_vec(), None).unwrap().token
}

/// `count` tokens drawn one after the other from the same row.
fn drawn(sampling: &Sampling, choice: usize, logits: &[f32], count: usize) -> Vec<u32> {
    let mut sampler = Sampler::new(sampling, choice, &[]).unwrap();
    (0..count)
        .map(|_| {
            let token = sampler.choose(&mut logits.to_vec(), None).unwrap().token;
            sampler.accept(token);
            token
        })
        .collect()
}

#[test]
fn no_temperature_takes_the_first_of_the_best() {
    assert_eq!(chosen(greedy(), &[1.0, 5.0, 5.0, 2.0]), 1);
}

#[test]
fn a_mask_comes_before_a_bias() {
    let sampling = Sampling { logit_bias: vec![(1, 100.0), (2, 3.0)], ..greedy() };
    let mask = TokenMask::only(&[0, 2]);
    let mut logits = vec![1.0, 5.0, 0.0];
    assert_eq!(sampler(sampling).choose(&mut logits, Some(&mask)).unwrap().token, 2);
}

#[test]
fn a_bias_comes_before_the_penalties() {
    let sampling = Sampling { logit_bias: vec![(0, 4.0)], repetition_penalty: 2.0, ..greedy() };
    let mut sampler = sampler(sampling);
    sampler.accept(0);
    // (2 + 4) / 2 is more than 2.5; 2 / 2 + 4 and 2 + 4 would be more than 3.5 too.
    assert_eq!(sampler.clone().choose(&mut [2.0, 2.5], None).unwrap().token, 0);
    assert_eq!(sampler.choose(&mut [2.0, 3.5], None).unwrap().token, 1);
}

#[test]
fn rows_that_are_not_numbers_are_errors() {
    for bad in [f32::NAN, f32::INFINITY] {
        for sampling in [greedy(), Sampling::default()] {
            let error = sampler(sampling).choose(&mut [0.0, bad], None).unwrap_err();
            assert!(matches!(error, EngineError::Failed(_)), "{error}");
        }
    }
}

#[test]
fn a_row_with_nothing_allowed_is_an_error() {
    for sampling in [greedy(), Sampling::default()] {
        let mask = TokenMask::only(&[]);
        assert!(sampler(sampling).choose(&mut [0.0, 1.0], Some(&mask)).is_err());
    }
}

#[test]
fn settings_that_mean_nothing_are_refused() {
    let valid = Sampling::default();
    for bad in [
        Sampling { temperature: -1.0, ..valid.clone() },
        Sampling { temperature: f32::NAN, ..valid.clone() },
        Sampling { top_p: 1.5, ..valid.clone() },
        Sampling { top_k: Some(0), ..valid.clone() },
        Sampling { min_p: -0.1, ..valid.clone() },
        Sampling { repetition_penalty: 0.0, ..valid.clone() },
        Sampling { frequency_penalty: f32::NAN, ..valid.clone() },
        Sampling { logit_bias: vec![(0, f32::INFINITY)], ..valid.clone() },
    ] {
        let error = Sampler::new(&bad, 0, &[]).unwrap_err();
        assert!(matches!(error, EngineError::InvalidInput(_)), "{bad:?}");
    }
}

#[test]
fn tokens_are_drawn_as_often_as_they_are_likely() {
    let logits = [1.0_f32, 0.0, 2.0, -1.0, 0.5];
    let temperature = 0.8;
    let weights: Vec<f64> = logits.iter().map(|&l| f64::from(l / temperature).exp()).collect();
    let total: f64 = weights.iter().sum();
    let draws = 20_000;
    let sampling = Sampling { temperature, seed: 5, ..Sampling::default() };
    let found = drawn(&sampling, 0, &logits, draws);
    let chi_square: f64 = (0_u32..)
        .zip(&weights)
        .map(|(id, weight)| {
            let expected = weight / total * draws as f64;
            let count = found.iter().filter(|&&token| token == id).count() as f64;
            (count - expected).powi(2) / expected
        })
        .sum();
    // 99.9 % of true draws with four degrees of freedom stay below 18.5.
    assert!(chi_square < 18.5, "{chi_square}");
}

#[test]
fn a_seed_gives_the_same_tokens_and_each_choice_its_own() {
    let logits: Vec<f32> = (0..50).map(|id| (id % 7) as f32 / 3.0).collect();
    let sampling = Sampling { seed: 11, ..Sampling::default() };
    let first = drawn(&sampling, 0, &logits, 40);
    assert_eq!(drawn(&sampling, 0, &logits, 40), first);
    assert_ne!(drawn(&sampling, 1, &logits, 40), first);
    assert_ne!(drawn(&Sampling { seed: 12, ..sampling }, 0, &logits, 40), first);
}

#[test]
fn a_continuation_taken_up_again_goes_on_as_before() {
    let logits: Vec<f32> = (0..50).map(|id| (id % 11) as f32 / 4.0).collect();
    let sampling = Sampling { seed: 3, frequency_penalty: 0.3, ..Sampling::default() };
    let whole = drawn(&sampling, 2, &logits, 30);
    let mut again = Sampler::new(&sampling, 2, &[]).unwrap();
    whole[..20].iter().for_each(|&token| again.accept(token));
    for &expected in &whole[20..] {
        let token = again.choose(&mut logits.clone(), None).unwrap().token;
        assert_eq!(token, expected);
        again.accept(token);
    }
}

#[test]
fn choosing_twice_at_one_place_gives_the_same_token() {
    let logits: Vec<f32> = (0..50).map(|id| (id % 5) as f32 / 4.0).collect();
    let mut sampler = sampler(Sampling { seed: 8, ..Sampling::default() });
    let first = sampler.choose(&mut logits.clone(), None).unwrap();
    assert_eq!(sampler.choose(&mut logits.clone(), None).unwrap(), first);
}

#[test]
fn log_probabilities_are_those_before_mask_bias_and_temperature() {
    let sampling = Sampling {
        temperature: 0.1,
        logprobs: Some(1),
        logit_bias: vec![(1, 2.0)],
        top_k: Some(1),
        ..Sampling::default()
    };
    let mask = TokenMask::only(&[1, 2]);
    let mut logits = vec![3.0, 1.0, 2.0];
    let chosen = sampler(sampling).choose(&mut logits, Some(&mask)).unwrap();
    assert_eq!(chosen.token, 1);
    assert_eq!(chosen.logprobs, Some(log_probabilities(&[3.0, 1.0, 2.0], 1, 1)));
    assert_eq!(chosen.logprobs.unwrap().top[0].0, 0);
}
