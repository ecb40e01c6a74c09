//! Weights from safetensors: one file, a half-precision variant, or shards with an index.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Error, Result, bail};
use candle_nn::VarBuilder;
use serde_json::Value;

/// Maps the weights `<folder>/<stem>[.fp16].safetensors`, or the shards its index lists: a tensor is read when it is
/// asked for, so that those of a large model are never in memory twice.
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
            return map(&[whole], (dtype, device));
        }
        for index in [
            format!("{stem}.safetensors.index{variant}.json"),
            format!("{stem}{variant}.safetensors.index.json"),
        ] {
            let index = folder.join(index);
            if index.is_file() {
                return map(&shards(folder, &index)?, (dtype, device));
            }
        }
    }
    bail!("no {stem}.safetensors in {}", folder.display())
}

#[allow(unsafe_code, reason = "mapping a file is unsafe: it must not change while it is read")]
fn map(paths: &[PathBuf], (dtype, device): (DType, &Device)) -> Result<VarBuilder<'static>> {
    // SAFETY: model files are checked against their hashes and replaced as a whole, never written in place.
    unsafe { VarBuilder::from_mmaped_safetensors(paths, dtype, device) }
}

fn shards(folder: &Path, index: &Path) -> Result<Vec<PathBuf>> {
    let malformed =
        |reason: &dyn std::fmt::Display| Error::msg(format!("{}: {reason}", index.display()));
    let text = std::fs::read_to_string(index).map_err(|error| malformed(&error))?;
    let index_file: Value = serde_json::from_str(&text).map_err(|error| malformed(&error))?;
    let map = index_file.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| malformed(&"it has no `weight_map`"))?;
    let mut shards: Vec<&str> = map.values().filter_map(Value::as_str).collect();
    shards.sort_unstable();
    shards.dedup();
    if shards.iter().any(|shard| shard.contains(['/', '\\'])) {
        return Err(malformed(&"a shard lies outside the folder"));
    }
    Ok(shards.into_iter().map(|shard| folder.join(shard)).collect())
}
