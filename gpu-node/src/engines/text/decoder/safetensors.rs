//! A decoder's weights from safetensors: one file, or shards with an index; f32, f16 or bf16.

use std::path::{Path, PathBuf};

use candle_core::{
    DType, Device, Tensor, bail,
    safetensors::{Load, MmapedSafetensors},
};
use half::{bf16, f16};
use serde_json::Value;

use crate::engines::{
    EngineError,
    text::{
        kernels::DenseMatrix,
        weights::{Projection, WeightSource},
    },
};

/// The files of one folder, mapped into memory.
pub struct SafetensorsSource {
    files: MmapedSafetensors,
    prefix: &'static str,
}

impl SafetensorsSource {
    /// Maps `model.safetensors`, or the shards that `model.safetensors.index.json` lists.
    pub fn open(folder: &Path) -> Result<Self, EngineError> {
        Self::open_prefixed(folder, "model.")
    }

    /// Opens a folder whose names may begin with another prefix.
    pub(crate) fn open_prefixed(folder: &Path, prefix: &'static str) -> Result<Self, EngineError> {
        Ok(Self { files: map(&paths(folder)?)?, prefix })
    }

    /// The name in the file: models with a head write a prefix that bare ones do not.
    fn find(&self, name: &str) -> Option<String> {
        [format!("{}{name}", self.prefix), name.to_owned()]
            .into_iter()
            .find(|name| self.files.get(name).is_ok())
    }

    fn read(&self, name: &str, shape: &[usize]) -> Result<Tensor, EngineError> {
        let Some(found) = self.find(name) else {
            return Err(EngineError::Failed(format!("the weights have no {name}")));
        };
        let tensor = self.files.get(&found).and_then(|view| view.load(&Device::Cpu))?;
        if tensor.dims() != shape {
            let dims = tensor.dims();
            return Err(EngineError::Failed(format!("{found} is {dims:?} instead of {shape:?}")));
        }
        Ok(tensor)
    }
}

#[allow(unsafe_code, reason = "mapping a file is unsafe: it must not change while it is read")]
fn map(paths: &[PathBuf]) -> candle_core::Result<MmapedSafetensors> {
    // SAFETY: model files are checked against their hashes and replaced as a whole, never written in place.
    unsafe { MmapedSafetensors::multi(paths) }
}

fn paths(folder: &Path) -> candle_core::Result<Vec<PathBuf>> {
    let whole = folder.join("model.safetensors");
    if whole.is_file() {
        return Ok(vec![whole]);
    }
    let index = folder.join("model.safetensors.index.json");
    let Ok(text) = std::fs::read_to_string(&index) else {
        bail!("no model.safetensors in {}", folder.display())
    };
    let file: Value = match serde_json::from_str(&text) {
        Ok(file) => file,
        Err(error) => bail!("{}: {error}", index.display()),
    };
    let Some(map) = file.get("weight_map").and_then(Value::as_object) else {
        bail!("{}: it has no `weight_map`", index.display())
    };
    let mut shards: Vec<&str> = map.values().filter_map(Value::as_str).collect();
    shards.sort_unstable();
    shards.dedup();
    if shards.iter().any(|shard| shard.contains(['/', '\\'])) {
        bail!("{}: a shard lies outside the folder", index.display())
    }
    Ok(shards.into_iter().map(|shard| folder.join(shard)).collect())
}

impl WeightSource for SafetensorsSource {
    fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn projection(
        &self,
        name: &str,
        shape: (usize, usize),
    ) -> Result<Box<dyn Projection>, EngineError> {
        let tensor = self.read(name, &[shape.0, shape.1])?.flatten_all()?;
        Ok(match tensor.dtype() {
            DType::BF16 => Box::new(DenseMatrix::<bf16>::new(tensor.to_vec1()?, shape)),
            DType::F16 => Box::new(DenseMatrix::<f16>::new(tensor.to_vec1()?, shape)),
            _ => {
                let values = tensor.to_dtype(DType::F32)?.to_vec1()?;
                Box::new(DenseMatrix::<f32>::new(values, shape))
            }
        })
    }

    fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, EngineError> {
        Ok(self.read(name, &[length])?.to_dtype(DType::F32)?.to_vec1()?)
    }

    fn tensor(
        &self,
        name: &str,
        shape: &[usize],
        (dtype, device): (DType, &Device),
    ) -> Result<Tensor, EngineError> {
        Ok(self.read(name, shape)?.to_dtype(dtype)?.to_device(device)?)
    }
}
