//! Weights from safetensors: one file, a half-precision variant, or shards with an index.

use std::{collections::HashMap, path::Path};

use candle_core::{DType, Device, Error, Result, Tensor, bail, safetensors};
use candle_nn::VarBuilder;
use serde_json::Value;

/// Reads the weights `<folder>/<stem>[.fp16].safetensors`, or the shards its index lists.
pub(crate) fn load_weights(
    folder: &Path,
    stem: &str,
    (dtype, device): (DType, &Device),
) -> Result<VarBuilder<'static>> {
    // The full-precision file is the better one unless its digits are thrown away at once.
    let variants = if dtype == DType::F32 { ["", ".fp16"] } else { [".fp16", ""] };
    for variant in variants {
        let whole = folder.join(format!("{stem}{variant}.safetensors"));
        if whole.is_file() {
            return Ok(VarBuilder::from_tensors(read(&whole)?, dtype, device));
        }
        for index in [
            format!("{stem}.safetensors.index{variant}.json"),
            format!("{stem}{variant}.safetensors.index.json"),
        ] {
            let index = folder.join(index);
            if index.is_file() {
                return Ok(VarBuilder::from_tensors(read_shards(folder, &index)?, dtype, device));
            }
        }
    }
    bail!("no {stem}.safetensors in {}", folder.display())
}

fn read(path: &Path) -> Result<HashMap<String, Tensor>> {
    safetensors::load(path, &Device::Cpu)
        .map_err(|error| Error::msg(format!("{}: {error}", path.display())))
}

fn read_shards(folder: &Path, index: &Path) -> Result<HashMap<String, Tensor>> {
    let malformed =
        |reason: &dyn std::fmt::Display| Error::msg(format!("{}: {reason}", index.display()));
    let text = std::fs::read_to_string(index).map_err(|error| malformed(&error))?;
    let index_file: Value = serde_json::from_str(&text).map_err(|error| malformed(&error))?;
    let map = index_file.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| malformed(&"it has no `weight_map`"))?;
    let mut shards: Vec<&str> = map.values().filter_map(Value::as_str).collect();
    shards.sort_unstable();
    shards.dedup();
    let mut tensors = HashMap::new();
    for shard in shards {
        if shard.contains(['/', '\\']) {
            return Err(malformed(&"a shard lies outside the folder"));
        }
        tensors.extend(read(&folder.join(shard))?);
    }
    Ok(tensors)
}
