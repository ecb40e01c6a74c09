//! The tiny embedding models against the reference library: alone, together, and with other settings.
#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that is wrong")]

mod golden;

use std::{collections::HashMap, path::Path};

use candle_core::{DType, Device, Tensor};
use golden::{BF16_MULTIPLE, bf16_errors, place, relative_rms, tiny};
use gpu_node::engines::{
    Devices, Engine, EngineError, Sink, Stopped,
    embeddings::{Embedder, EmbeddingInput, EmbeddingProgress},
};
use serde_json::{Value, json};
use tempfile::TempDir;

const TOLERANCE: f32 = 1e-5;
const MODELS: [&str; 3] = ["bert", "xlm-roberta", "qwen3-embedding"];

fn golden(name: &str) -> HashMap<String, Tensor> {
    let path = tiny(name).join("golden.safetensors");
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

fn texts(golden: &HashMap<String, Tensor>) -> Vec<Vec<u32>> {
    let tokens = |at| golden[&format!("ids_{at}")].to_dtype(DType::U32).unwrap().to_vec1().unwrap();
    (0..5).map(tokens).collect()
}

fn vectors(golden: &HashMap<String, Tensor>, name: &str) -> Vec<Vec<f32>> {
    (0..5).map(|at| golden[&format!("{name}_{at}")].to_vec1().unwrap()).collect()
}

struct Progress(Vec<usize>);

impl Sink<EmbeddingProgress> for Progress {
    fn emit(&mut self, event: EmbeddingProgress) -> Result<(), Stopped> {
        self.0.push(event.texts);
        if self.0.len() > 3 { Err(Stopped) } else { Ok(()) }
    }
}

fn embed(
    embedder: &mut Embedder,
    texts: Vec<Vec<u32>>,
    dimensions: Option<usize>,
) -> Result<Vec<Vec<f32>>, EngineError> {
    let tokens = texts.iter().map(Vec::len).sum::<usize>();
    let output = embedder.run(EmbeddingInput { texts, dimensions }, &mut Progress(Vec::new()))?;
    assert_eq!(output.tokens, tokens);
    Ok(output.vectors)
}

fn difference(found: &[Vec<f32>], expected: &[Vec<f32>]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let pairs = found.iter().zip(expected).flat_map(|(found, expected)| {
        assert_eq!(found.len(), expected.len());
        found.iter().zip(expected)
    });
    pairs
        .map(|(found, expected)| (found - expected).abs())
        .fold(0.0, |most, next| if next > most || next.is_nan() { next } else { most })
}

fn assert_close(what: &str, found: &[Vec<f32>], expected: &[Vec<f32>]) {
    let difference = difference(found, expected);
    eprintln!("{what}: differs by {difference:.1e}");
    assert!(difference < TOLERANCE, "{what} differs by {difference:e}");
}

fn load(folder: &Path) -> Embedder {
    Embedder::load(folder, &Devices::cpu()).unwrap()
}

/// A copy of a tiny model with one file changed.
fn changed(name: &str, file: &str, change: impl FnOnce(&mut Value)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("1_Pooling")).unwrap();
    for path in ["config.json", "model.safetensors", "modules.json", "1_Pooling/config.json"] {
        std::fs::copy(tiny(name).join(path), folder.path().join(path)).unwrap();
    }
    let path = folder.path().join(file);
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut config);
    std::fs::write(path, config.to_string()).unwrap();
    folder
}

#[test]
fn texts_of_all_lengths_agree_and_a_batch_changes_no_bit() {
    for name in MODELS {
        let golden = golden(name);
        let texts = texts(&golden);
        let mut embedder = load(&tiny(name));
        let together = embed(&mut embedder, texts.clone(), None).unwrap();
        assert_close(name, &together, &vectors(&golden, "vector"));
        let equal = embed(&mut embedder, texts[..2].to_vec(), None).unwrap();
        assert_eq!(equal, together[..2], "{name}: texts of one length");
        for (text, vector) in texts.into_iter().zip(&together) {
            let alone = embed(&mut embedder, vec![text], None).unwrap();
            assert_eq!(&alone[0], vector, "{name}: one text");
        }
    }
}

#[test]
fn a_card_computes_the_same() {
    for name in MODELS {
        let golden = golden(name);
        let place = (DType::F32, &place().device);
        let mut embedder = Embedder::load_on_card(&tiny(name), place).unwrap();
        let found = embed(&mut embedder, texts(&golden), None).unwrap();
        assert_close(&format!("{name} on a card"), &found, &vectors(&golden, "vector"));
    }
}

#[test]
fn a_card_stays_in_bf16_within_twice_the_references_own_error() {
    let (name, golden) = ("qwen3-embedding", golden("qwen3-embedding"));
    let errors = bf16_errors(&tiny(name).join("golden_bf16.json"));
    let found = |folder: &Path| {
        let place = (DType::BF16, &place().device);
        let mut embedder = Embedder::load_on_card(folder, place).unwrap();
        embed(&mut embedder, texts(&golden), None).unwrap()
    };
    let error = |found: &[f32], expected: &[f32]| {
        let tensor = |numbers: &[f32]| Tensor::new(numbers, &Device::Cpu).unwrap();
        relative_rms(&tensor(found), &tensor(expected))
    };
    let (right, expected) = (found(&tiny(name)), vectors(&golden, "vector"));
    let folder = changed(name, "config.json", |config| {
        config["rope_parameters"] = json!({"rope_theta": 1e4});
    });
    let wrong = found(folder.path());
    for at in 0..texts(&golden).len() {
        let found = error(&right[at], &expected[at]);
        let reference = errors["golden"][&format!("vector_{at}")].as_f64().unwrap();
        let allowed = BF16_MULTIPLE * reference;
        eprintln!("{name} in bf16, text {at}: differs by {found:.1e} of {allowed:.1e}");
        assert!(found < allowed, "text {at} differs by {found:e}, more than {allowed:e}");
    }
    // The longest text, where another rope counts most.
    let (found, reference) =
        (error(&wrong[2], &expected[2]), errors["golden"]["vector_2"].as_f64());
    eprintln!("{name} in bf16 with another rope: differs by {found:.1e}, as it should");
    assert!(found > BF16_MULTIPLE * reference.unwrap(), "another rope is not noticed: {found:e}");
}

#[test]
fn each_kind_of_pooling_agrees_and_differs_from_the_others() {
    for name in MODELS {
        let golden = golden(name);
        for kind in ["mean_tokens", "cls_token", "lasttoken"] {
            let folder = changed(name, "1_Pooling/config.json", |config| {
                *config = json!({ format!("pooling_mode_{kind}"): true });
            });
            let found = embed(&mut load(folder.path()), texts(&golden), None).unwrap();
            assert_close(&format!("{name} by {kind}"), &found, &vectors(&golden, kind));
            for other in ["mean_tokens", "cls_token", "lasttoken"] {
                let difference = difference(&found, &vectors(&golden, other));
                assert_eq!(difference < TOLERANCE, kind == other, "{name}: {kind} and {other}");
            }
        }
    }
}

#[test]
fn a_wrong_setting_is_noticed() {
    let wrong = [
        ("bert", "num_attention_heads", json!(2)),
        ("bert", "layer_norm_eps", json!(0.1)),
        ("xlm-roberta", "pad_token_id", json!(3)),
        ("xlm-roberta", "model_type", json!("bert")),
        ("qwen3-embedding", "rope_parameters", json!({"rope_theta": 1e4})),
    ];
    for (name, key, value) in wrong {
        let golden = golden(name);
        let folder = changed(name, "config.json", |config| config[key] = value);
        let found = embed(&mut load(folder.path()), texts(&golden), None).unwrap();
        let difference = difference(&found, &vectors(&golden, "vector"));
        eprintln!("{name} with another {key}: differs by {difference:.1e}, as it should");
        assert!(difference > 50.0 * TOLERANCE, "{name}: {key} {difference:e}");
    }
}

#[test]
fn shorter_vectors_are_the_first_numbers_made_a_unit_again() {
    let golden_vectors = golden("qwen3-embedding");
    let mut embedder = load(&tiny("qwen3-embedding"));
    assert!(embedder.shape().is_truncatable);
    let found = embed(&mut embedder, texts(&golden_vectors), Some(12)).unwrap();
    assert_close("12 dimensions", &found, &vectors(&golden_vectors, "short"));
    for wrong in [0, 33] {
        let error = embed(&mut embedder, vec![vec![5]], Some(wrong)).unwrap_err().to_string();
        assert_eq!(error, format!("the model's vectors have 1 to 32 dimensions, not {wrong}"));
    }
    let mut fixed = load(&tiny("bert"));
    assert!(embed(&mut fixed, vec![vec![5]], Some(32)).is_ok());
    let error = embed(&mut fixed, vec![vec![5]], Some(12)).unwrap_err().to_string();
    assert_eq!(error, "the model's vectors have 32 dimensions, not 12");
}

#[test]
fn texts_that_cannot_be_read_are_refused() {
    for (name, longest) in [("bert", 40), ("xlm-roberta", 46), ("qwen3-embedding", 48)] {
        let mut embedder = load(&tiny(name));
        assert_eq!(embedder.shape().max_tokens, longest);
        assert!(embed(&mut embedder, vec![vec![4; longest]], None).is_ok());
        for wrong in [Vec::new(), vec![4; longest + 1], vec![320]] {
            let outcome = embed(&mut embedder, vec![vec![4], wrong], None);
            assert!(matches!(outcome, Err(EngineError::InvalidInput(_))), "{name}");
        }
        assert_eq!(embed(&mut embedder, Vec::new(), None).unwrap(), Vec::<Vec<f32>>::new());
    }
}

#[test]
fn many_texts_are_computed_in_parts_and_a_caller_may_leave() {
    let mut embedder = load(&tiny("bert"));
    let text = |index: u32| vec![4 + index % 300; 40];
    let input = EmbeddingInput { texts: (0..250).map(text).collect(), dimensions: None };
    let mut progress = Progress(Vec::new());
    let output = embedder.run(input.clone(), &mut progress).unwrap();
    assert_eq!(progress.0, [102, 204, 250]);
    let alone = embed(&mut embedder, vec![text(249)], None).unwrap();
    assert_eq!(output.vectors[249], alone[0]);
    // The sink has seen three events and stops at the next.
    assert!(matches!(embedder.run(input, &mut progress), Err(EngineError::Cancelled)));
}
