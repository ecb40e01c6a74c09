//! The decoder of a card, run on the CPU where no card is asked for: the goldens hold there too, in f32 and bf16.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use gpu_node::engines::text::{
    config::DecoderConfig,
    decoder::{CardDecoder, HiddenStates, Tap},
    model::WantedLogits,
};
use serde_json::Value;

use super::support::{
    BF16_MULTIPLE, FAMILIES, Golden, Run, all_logits, assert_close, assert_far, bf16_errors,
    changed, likeliest, place, relative_rms, source, tiny,
};

fn card(folder: &Path, dtype: DType) -> CardDecoder {
    let config = DecoderConfig::read(folder).unwrap();
    CardDecoder::load(config, &source(folder), (dtype, &place().device)).unwrap()
}

#[test]
fn prompts_of_all_lengths_in_one_pass_agree() {
    for name in FAMILIES {
        let golden = Golden::of(name);
        let prompts = golden.prompts();
        let mut run = Run::new(card(&tiny(name), DType::F32), 8);
        let parts: Vec<_> = prompts
            .iter()
            .map(|prompt| (run.open(), prompt.as_slice(), WantedLogits::All))
            .collect();
        let expected: Vec<f32> =
            (0..4).flat_map(|at| golden.numbers(&format!("logits_{at}"))).collect();
        assert_close(name, &run.pass(&parts), &expected);
    }
}

#[test]
fn pieces_of_a_prompt_beside_sequences_that_go_on_agree() {
    for name in FAMILIES {
        let golden = Golden::of(name);
        let prompts = golden.prompts();
        let mut run = Run::new(card(&tiny(name), DType::F32), 8);
        let (long, first, second) = (run.open(), run.open(), run.open());
        let mut found = [Vec::new(), Vec::new(), Vec::new()];
        let pieces = prompts[0].chunks(7);
        let singles = prompts[1].chunks(1).zip(prompts[2].chunks(1));
        for (piece, (one, other)) in pieces.zip(singles) {
            let parts = [
                (first, one, WantedLogits::All),
                (long, piece, WantedLogits::All),
                (second, other, WantedLogits::All),
            ];
            let logits = run.pass(&parts);
            found[1].extend_from_slice(&logits[..320]);
            found[0].extend_from_slice(&logits[320..logits.len() - 320]);
            found[2].extend_from_slice(&logits[logits.len() - 320..]);
        }
        for (at, found) in found.iter().enumerate() {
            let expected = golden.numbers(&format!("logits_{at}"));
            assert_close(&format!("{name}, prompt {at}"), found, &expected[..found.len()]);
        }
        let wrong: Vec<f32> = found[0].iter().rev().copied().collect();
        assert_far(name, &wrong, &golden.numbers("logits_0"));
    }
}

#[test]
fn sixteen_greedy_tokens_agree() {
    for name in FAMILIES {
        let golden = Golden::of(name);
        let mut run = Run::new(card(&tiny(name), DType::F32), 2);
        let at = run.open();
        let mut logits = run.pass(&[(at, &golden.prompts()[1], WantedLogits::Last)]);
        let mut answer = Vec::new();
        for _ in 0..16 {
            answer.push(likeliest(&logits));
            logits = run.pass(&[(at, &answer[answer.len() - 1..], WantedLogits::Last)]);
        }
        assert_eq!(answer, golden.tokens("greedy"), "{name}");
    }
}

#[test]
fn windows_of_some_layers_and_stretched_contexts_agree() {
    let variants = std::fs::read(tiny("qwen2").join("variants.json")).unwrap();
    let variants: serde_json::Map<String, Value> = serde_json::from_slice(&variants).unwrap();
    for (variant, changes) in variants {
        let folder = changed("qwen2", |config| {
            let config = config.as_object_mut().unwrap();
            config.remove("layer_types");
            config.extend(changes.as_object().unwrap().clone());
        });
        let golden = Golden::of("qwen2");
        let logits = all_logits(card(folder.path(), DType::F32), &golden.prompts()[0]);
        assert_close(&variant, &logits, &golden.numbers(&format!("logits_0.{variant}")));
    }
}

/// The relative root mean square error of logits.
fn error(found: &[f32], expected: &[f32]) -> f64 {
    let tensor = |numbers: &[f32]| Tensor::new(numbers, &Device::Cpu).unwrap();
    relative_rms(&tensor(found), &tensor(expected))
}

#[test]
fn bf16_agrees_within_twice_the_references_own_error() {
    for name in FAMILIES {
        let golden = Golden::of(name);
        let errors = bf16_errors(&tiny(name).join("golden_bf16.json"));
        for (at, prompt) in golden.prompts().iter().enumerate().take(3) {
            let key = format!("logits_{at}");
            let logits = all_logits(card(&tiny(name), DType::BF16), prompt);
            let found = error(&logits, &golden.numbers(&key));
            let allowed = BF16_MULTIPLE * errors["golden"][&key].as_f64().unwrap();
            eprintln!("{name} in bf16, prompt {at}: differs by {found:.1e} of {allowed:.1e}");
            assert!(found < allowed, "{name} in bf16 differs by {found:e}, more than {allowed:e}");
        }
    }
}

#[test]
fn bf16_notices_another_rope_or_window() {
    for (name, variant) in [
        ("llama", "plain_rope"),
        ("llama", "linear_rope"),
        ("mistral", "no_window"),
        ("qwen2", "yarn"),
    ] {
        let golden = Golden::of(name);
        let errors = bf16_errors(&tiny(name).join("golden_bf16.json"));
        let logits = all_logits(card(&tiny(name), DType::BF16), &golden.prompts()[0]);
        let found = error(&logits, &golden.numbers(&format!("logits_0.{variant}")));
        let allowed = BF16_MULTIPLE * errors["golden"]["logits_0"].as_f64().unwrap();
        eprintln!("{name} in bf16, {variant}: differs by {found:.1e}, as it should");
        assert!(found > allowed, "{variant} is not noticed: {found:e} of {allowed:e}");
    }
}

#[test]
fn tapped_states_agree() {
    for name in FAMILIES {
        let golden = Golden::of(name);
        let prompts = golden.prompts();
        let model = card(&tiny(name), DType::F32);
        let taps = [Tap::AfterLayers(2), Tap::Normed];
        let found = model.hidden_states(&[&prompts[1], &prompts[2]], &taps).unwrap();
        let expected = golden.numbers("hidden_2");
        for (at, found) in found.iter().enumerate() {
            let found: Vec<f32> =
                found.narrow(0, 17, 40).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            let expected = &expected[(at + 2) * 40 * 64..(at + 3) * 40 * 64];
            assert_close(&format!("{name}, tap {at}"), &found, expected);
        }
        assert!(model.hidden_states(&[&prompts[1]], &[Tap::AfterLayers(4)]).is_err());
    }
}
