//! Where the tiny models are, how close is close enough, and copies with something changed on purpose.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use tempfile::TempDir;

/// f32 on the CPU against the reference libraries, relative where values are above 1.
pub(crate) const TOLERANCE: f64 = 1e-4;

/// The folder of one tiny model.
pub(crate) fn tiny(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny").join(model)
}

/// The tensors of one golden file.
pub(crate) fn golden(model: &str, name: &str) -> HashMap<String, Tensor> {
    let path = tiny(model).join("golden").join(format!("{name}.safetensors"));
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

/// One JSON file beside the goldens of a model.
pub(crate) fn golden_json(model: &str, name: &str) -> Value {
    let path = tiny(model).join("golden").join(format!("{name}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The largest difference between two tensors, relative to the larger of 1 and the value.
pub(crate) fn difference(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.dims(), expected.dims());
    let values = |tensor: &Tensor| -> Vec<f64> {
        tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
    };
    values(found)
        .into_iter()
        .zip(values(expected))
        .map(|(found, expected)| (found - expected).abs() / expected.abs().max(1.0))
        // A NaN must not pass for a small number.
        .fold(0.0, |most, next| if next > most || next.is_nan() { next } else { most })
}

pub(crate) fn assert_close(what: &str, found: &Tensor, expected: &Tensor) {
    let difference = difference(found, expected);
    eprintln!("{what}: differs by {difference:.1e}");
    assert!(difference < TOLERANCE, "{what} differs by {difference:e}");
}

/// For tests that change something on purpose: a golden that does not notice proves nothing.
pub(crate) fn assert_far(what: &str, found: &Tensor, expected: &Tensor) {
    let difference = difference(found, expected);
    eprintln!("{what}: differs by {difference:.1e}, as it should");
    assert!(difference > 20.0 * TOLERANCE, "the golden does not notice {what}: {difference:e}");
}

/// A copy of one folder with its weights passed through `change`.
pub(crate) fn with_weights(
    folder: &Path,
    change: impl Fn(&mut HashMap<String, Tensor>),
) -> TempDir {
    let copy = copied(folder);
    for entry in std::fs::read_dir(copy.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            let mut weights = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
            change(&mut weights);
            candle_core::safetensors::save(&weights, &path).unwrap();
        }
    }
    copy
}

/// Two equal parts of a layer's outputs, swapped.
pub(crate) fn swapped(weights: &mut HashMap<String, Tensor>, layer: &str, parts: [usize; 3]) {
    let [first, second, count] = parts;
    for kind in ["weight", "bias"] {
        let name = format!("{layer}.{kind}");
        let Some(tensor) = weights.get(&name) else { continue };
        let mut chunks = tensor.chunk(count, 0).unwrap();
        chunks.swap(first, second);
        let tensor = Tensor::cat(&chunks, 0).unwrap();
        weights.insert(name, tensor);
    }
}

/// A copy of one folder with one setting of its configuration changed.
pub(crate) fn with_setting(folder: &Path, key: &str, value: Value) -> TempDir {
    let copy = copied(folder);
    let path = copy.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config[key] = value;
    std::fs::write(path, config.to_string()).unwrap();
    copy
}

fn copied(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_file() {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    copy
}
