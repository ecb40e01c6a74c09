//! Shared by the golden tests: where the tiny models are and how close is close enough.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};

/// f32 on the CPU against the reference libraries, relative where values are above 1.
pub(crate) const TOLERANCE: f64 = 1e-4;

/// The folder of one tiny model.
pub(crate) fn tiny(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny").join(model)
}

/// The tensors of one golden file of a tiny model.
pub(crate) fn golden(model: &str, name: &str) -> HashMap<String, Tensor> {
    let path = tiny(model).join("golden").join(format!("{name}.safetensors"));
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
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
