//! A GGUF file, or the parts of one that was split, mapped into memory.

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
};

use candle_core::{Error, Result, bail};
use memmap2::Mmap;

use super::header::{Header, TensorInfo, Value};
use crate::engines::text::quantised::Format;

/// A model in GGUF: its metadata and where its tensors lie.
#[derive(Debug)]
pub struct GgufFile {
    pub(super) metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, Place>,
    parts: Vec<Mmap>,
}

#[derive(Debug)]
struct Place {
    info: TensorInfo,
    part: usize,
    start: u64,
}

/// A tensor's bytes and what they mean.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoredTensor<'a> {
    pub(super) format: Format,
    /// Sizes, the fastest-running one first.
    pub(super) dims: &'a [usize],
    pub(super) bytes: &'a [u8],
}

impl GgufFile {
    /// The GGUF file of a folder, the first by name; of a split one that is its first part.
    pub fn find(folder: &Path) -> Option<PathBuf> {
        let paths = std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "gguf")).min()
    }

    /// Maps the file; of a split one, all its parts, which lie beside the first.
    pub fn open(path: &Path) -> Result<Self> {
        let named = |path: &Path, error: &dyn std::fmt::Display| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            Error::msg(format!("{name}: {error}"))
        };
        let mut file =
            Self { metadata: BTreeMap::new(), tensors: BTreeMap::new(), parts: Vec::new() };
        let mut paths = vec![path.to_owned()];
        while let Some(path) = paths.get(file.parts.len()).cloned() {
            let map = map(&path).map_err(|error| named(&path, &error))?;
            let header = Header::read(&map).map_err(|error| named(&path, &error))?;
            if file.parts.is_empty() {
                paths.extend(other_parts(&path, &header).map_err(|error| named(&path, &error))?);
            }
            file.add(header, map).map_err(|error| named(&path, &error))?;
        }
        Ok(file)
    }

    fn add(&mut self, header: Header, map: Mmap) -> Result<()> {
        let part = self.parts.len();
        if part == 0 {
            self.metadata = header.metadata;
        }
        for (name, info) in header.tensors {
            let start = header.data_start.checked_add(info.offset);
            let Some(start) = start.filter(|start| *start <= map.len() as u64) else {
                bail!("`{name}` starts behind the end of the file")
            };
            if self.tensors.insert(name.clone(), Place { info, part, start }).is_some() {
                bail!("`{name}` is in two parts")
            }
        }
        self.parts.push(map);
        Ok(())
    }

    /// Whether the file has this tensor.
    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The sizes of a tensor, the fastest-running one first.
    pub(super) fn dims(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|place| place.info.dims.as_slice())
    }

    /// A tensor, if its format is known and all its bytes are there.
    pub(super) fn tensor(&self, name: &str) -> Result<StoredTensor<'_>> {
        let Some(Place { info, part, start }) = self.tensors.get(name) else {
            bail!("the file has no `{name}`")
        };
        let Some(format) = Format::from_ggml(info.kind) else {
            bail!("`{name}` is stored in GGML's format {}, which is not read", info.kind)
        };
        let (row, others) =
            info.dims.split_first().map_or((0, &[][..]), |(row, rest)| (*row, rest));
        let rows = others.iter().try_fold(1_usize, |rows, size| rows.checked_mul(*size));
        let bytes = format.row_bytes(row).zip(rows).and_then(|(row, rows)| row.checked_mul(rows));
        let Some(length) = bytes else {
            bail!("`{name}` has impossible sizes {:?} for {format:?}", info.dims)
        };
        let rest = self.parts[*part].get(usize::try_from(*start).unwrap_or(usize::MAX)..);
        let Some(bytes) = rest.and_then(|rest| rest.get(..length)) else {
            bail!("`{name}` ends behind the end of the file")
        };
        Ok(StoredTensor { format, dims: &info.dims, bytes })
    }
}

#[allow(unsafe_code, reason = "mapping a file is unsafe: it must not change while it is read")]
fn map(path: &Path) -> std::io::Result<Mmap> {
    // SAFETY: model files are checked against their hashes and replaced as a whole, never written in place.
    unsafe { Mmap::map(&File::open(path)?) }
}

/// The second to last part of a model whose first is `<name>-00001-of-<count>.gguf`.
fn other_parts(path: &Path, header: &Header) -> Result<Vec<PathBuf>> {
    let count = match header.metadata.get("split.count") {
        None | Some(Value::Unsigned(0 | 1)) => return Ok(Vec::new()),
        Some(Value::Unsigned(count @ ..=99_999)) => *count,
        Some(other) => bail!("`split.count` is {other:?}"),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(stem) = name.strip_suffix(&format!("-00001-of-{count:05}.gguf")) else {
        bail!("this is not the first of {count} parts, `…-00001-of-{count:05}.gguf`")
    };
    Ok((2..=count)
        .map(|part| path.with_file_name(format!("{stem}-{part:05}-of-{count:05}.gguf")))
        .collect())
}
