//! Shared by the golden tests: where the tiny models are, where a run computes, and how close is close enough.
#![allow(dead_code, reason = "each program of tests uses its part")]
#![allow(clippy::panic, reason = "a place that nobody knows ends a test")]

use std::{
    collections::HashMap,
    env,
    ops::Deref,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use candle_core::{DType, Device, Tensor};
use gpu_node::engines::compute_as_on_a_card;
use serde_json::Value;

/// f32 against the reference libraries, relative where values are above 1.
pub(crate) const TOLERANCE: f64 = 1e-4;

/// bf16 may be so many times as far from the reference's f32 as the reference's own bf16 is.
pub(crate) const BF16_MULTIPLE: f64 = 2.0;

/// Where a run computes, and in which kind of numbers the denoisers and text encoders do.
pub(crate) struct Place {
    pub(crate) device: Device,
    pub(crate) dtype: DType,
}

/// From `PARITY_DEVICE`: `cpu`, `card` (a card's operations on the CPU) or `cuda`; and `PARITY_DTYPE`: `f32` or `bf16`,
/// which the CPU's own kernels do not know. One choice for the whole process.
pub(crate) fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        let named = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.into());
        let dtype = match named("PARITY_DTYPE", "f32").as_str() {
            "f32" => DType::F32,
            "bf16" => DType::BF16,
            other => panic!("PARITY_DTYPE is f32 or bf16, not {other}"),
        };
        let device = match (named("PARITY_DEVICE", "cpu").as_str(), dtype) {
            ("cpu", DType::F32) => Device::Cpu,
            ("cpu" | "card", _) => {
                compute_as_on_a_card();
                Device::Cpu
            }
            ("cuda", _) => Device::new_cuda(0).unwrap(),
            (other, _) => panic!("PARITY_DEVICE is cpu, card or cuda, not {other}"),
        };
        Place { device, dtype }
    })
}

/// An input as production rounds it.
pub(crate) fn given(input: &Tensor) -> Tensor {
    input.to_dtype(place().dtype).unwrap()
}

/// The folder of one tiny model; `PARITY_MODELS` is where they lie when the program was carried to another machine.
pub(crate) fn tiny(model: &str) -> PathBuf {
    match env::var_os("PARITY_MODELS") {
        Some(folder) => Path::new(&folder).join(model),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny").join(model),
    }
}

/// What the reference computed in f32.
pub(crate) struct Golden {
    tensor: Tensor,
    /// How far its own bf16 is from it, if bf16 changes it at all: relative root mean square.
    bf16_error: Option<f64>,
}

impl Golden {
    /// One that half precision has no part in.
    pub(crate) fn exact(tensor: Tensor) -> Self {
        Self { tensor, bf16_error: None }
    }

    /// The same in another shape or scale.
    pub(crate) fn map(&self, change: impl FnOnce(&Tensor) -> Tensor) -> Self {
        Self { tensor: change(&self.tensor), bf16_error: self.bf16_error }
    }

    /// One put wrong on purpose, held to the tolerance of the right one.
    pub(crate) fn judged_as(&self, right: &Self) -> Self {
        Self { tensor: self.tensor.clone(), bf16_error: right.bf16_error }
    }
}

impl Deref for Golden {
    type Target = Tensor;

    fn deref(&self) -> &Tensor {
        &self.tensor
    }
}

/// The tensors of one golden file of a tiny model.
pub(crate) fn golden(model: &str, name: &str) -> HashMap<String, Golden> {
    let folder = tiny(model).join("golden");
    let path = folder.join(format!("{name}.safetensors"));
    let tensors = candle_core::safetensors::load(path, &place().device).unwrap();
    let errors = bf16_errors(&folder.join("bf16.json"));
    tensors
        .into_iter()
        .map(|(key, tensor)| {
            let bf16_error = errors[name][&key].as_f64();
            (key, Golden { tensor, bf16_error })
        })
        .collect()
}

/// What `make_bf16.py` measured; nothing where bf16 has no part in any golden.
pub(crate) fn bf16_errors(path: &Path) -> Value {
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).unwrap(),
        Err(_) => Value::Null,
    }
}

/// How far something is from its golden, and how far it may be.
pub(crate) struct Distance {
    pub(crate) found: f64,
    pub(crate) allowed: f64,
    /// What a mistake must exceed, for the golden to have noticed it.
    noticed: f64,
}

impl Distance {
    pub(crate) fn new(found: &Tensor, expected: &Golden) -> Self {
        match (place().dtype, expected.bf16_error) {
            (DType::BF16, Some(error)) => {
                let (found, allowed) = (relative_rms(found, expected), BF16_MULTIPLE * error);
                Self { found, allowed, noticed: allowed }
            }
            _ => {
                let (found, allowed) = (difference(found, expected), TOLERANCE);
                Self { found, allowed, noticed: 20.0 * allowed }
            }
        }
    }

    pub(crate) fn is_noticed(&self) -> bool {
        self.found > self.noticed
    }
}

pub(crate) fn assert_close(what: &str, found: &Tensor, expected: &Golden) {
    let Distance { found, allowed, .. } = Distance::new(found, expected);
    match allowed == TOLERANCE {
        true => eprintln!("{what}: differs by {found:.1e}"),
        false => eprintln!("{what}: differs by {found:.1e} of {allowed:.1e}"),
    }
    assert!(found < allowed, "{what} differs by {found:e}, more than {allowed:e}");
}

/// For tests that change something on purpose: a golden that does not notice proves nothing.
pub(crate) fn assert_far(what: &str, found: &Tensor, expected: &Golden) {
    let distance = Distance::new(found, expected);
    let Distance { found, noticed, .. } = distance;
    eprintln!("{what}: differs by {found:.1e}, as it should");
    assert!(distance.is_noticed(), "{what} is not noticed: {found:e} of {noticed:e}");
}

/// For mistakes whose trace in a tiny model is smaller than what bf16 rounds away.
pub(crate) fn assert_far_in_f32(what: &str, found: &Tensor, expected: &Golden) {
    if place().dtype == DType::F32 {
        assert_far(what, found, expected);
    }
}

fn values(tensor: &Tensor) -> Vec<f64> {
    let tensor = tensor.to_device(&Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The largest difference between two tensors, relative to the larger of 1 and the value.
pub(crate) fn difference(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.dims(), expected.dims());
    values(found)
        .into_iter()
        .zip(values(expected))
        .map(|(found, expected)| (found - expected).abs() / expected.abs().max(1.0))
        // A NaN must not pass for a small number.
        .fold(0.0, |most, next| if next > most || next.is_nan() { next } else { most })
}

/// The root mean square of the differences, relative to that of the values.
pub(crate) fn relative_rms(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.dims(), expected.dims());
    let (found, expected) = (values(found), values(expected));
    let squares: f64 = found.iter().zip(&expected).map(|(a, b)| (a - b) * (a - b)).sum();
    (squares / expected.iter().map(|x| x * x).sum::<f64>()).sqrt()
}
