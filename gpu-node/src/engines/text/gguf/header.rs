//! The start of a GGUF file: metadata and the list of tensors. Nothing in it is believed before it is checked.

use std::collections::BTreeMap;

use candle_core::{Result, bail};

/// Deeper lists of lists than any writer makes.
const MAX_DEPTH: usize = 8;
const MAX_DIMENSIONS: u32 = 4;
const DEFAULT_ALIGNMENT: u64 = 32;

/// One value of the metadata.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    List(Vec<Value>),
}

/// Where a tensor lies and how it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TensorInfo {
    /// Sizes, the fastest-running one first: inputs, outputs, experts.
    pub(super) dims: Vec<usize>,
    /// GGML's number of the format.
    pub(super) kind: u32,
    /// Bytes from the start of the tensors' data.
    pub(super) offset: u64,
}

/// Everything before the tensors' data.
#[derive(Debug, Clone, Default)]
pub(super) struct Header {
    pub(super) metadata: BTreeMap<String, Value>,
    pub(super) tensors: BTreeMap<String, TensorInfo>,
    /// Where the tensors' data starts in the file.
    pub(super) data_start: u64,
}

impl Header {
    /// Reads the header from the bytes of the whole file.
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader { bytes, at: 0 };
        if reader.take(4).ok() != Some(b"GGUF") {
            bail!("this is not a GGUF file")
        }
        match reader.u32()? {
            2 | 3 => {}
            version if version.swap_bytes() <= 3 => bail!("big-endian GGUF files are not read"),
            version => bail!("version {version} of GGUF is not read, only 2 and 3"),
        }
        // What the shortest ones take.
        let (tensor_count, value_count) = (reader.count(32)?, reader.count(13)?);
        let mut header = Self::default();
        for _ in 0..value_count {
            let key = reader.text()?;
            let kind = reader.u32()?;
            let value = reader.value(kind, 0)?;
            if header.metadata.insert(key.clone(), value).is_some() {
                bail!("the metadata has `{key}` twice")
            }
        }
        for _ in 0..tensor_count {
            let name = reader.text()?;
            let info = reader.tensor()?;
            if header.tensors.insert(name.clone(), info).is_some() {
                bail!("there are two tensors `{name}`")
            }
        }
        let alignment = match header.metadata.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(Value::Unsigned(alignment)) if alignment.is_power_of_two() => *alignment,
            Some(other) => bail!("`general.alignment` is {other:?}"),
        };
        let Some(start) = (reader.at as u64).checked_next_multiple_of(alignment) else {
            bail!("`general.alignment` is {alignment}")
        };
        header.data_start = start;
        Ok(header)
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let Some(taken) = rest.get(..count) else {
            let (at, left) = (self.at, rest.len());
            bail!("the file ends early: {count} bytes wanted at byte {at}, {left} left")
        };
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A count of things of at least so many bytes: never more than the file has room for.
    fn count(&mut self, bytes_each: usize) -> Result<usize> {
        let count = self.u64()?;
        let room = (self.bytes.len() - self.at) / bytes_each;
        match usize::try_from(count) {
            Ok(count) if count <= room => Ok(count),
            _ => bail!("the file ends early: {count} entries at byte {}, room for {room}", self.at),
        }
    }

    fn text(&mut self) -> Result<String> {
        let length = self.count(1)?;
        // Some vocabularies hold pieces that are not UTF-8.
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn value(&mut self, kind: u32, depth: usize) -> Result<Value> {
        Ok(match kind {
            0 => Value::Unsigned(u64::from(self.array::<1>()?[0])),
            1 => Value::Signed(i64::from(i8::from_le_bytes(self.array()?))),
            2 => Value::Unsigned(u64::from(u16::from_le_bytes(self.array()?))),
            3 => Value::Signed(i64::from(i16::from_le_bytes(self.array()?))),
            4 => Value::Unsigned(u64::from(self.u32()?)),
            5 => Value::Signed(i64::from(i32::from_le_bytes(self.array()?))),
            6 => Value::Float(f64::from(f32::from_le_bytes(self.array()?))),
            7 => match self.array()? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                [other] => bail!("{other} is neither true nor false, at byte {}", self.at),
            },
            8 => Value::Text(self.text()?),
            9 => {
                let kind = self.u32()?;
                let bytes_each = match kind {
                    0 | 1 | 7 => 1,
                    2 | 3 => 2,
                    4..=6 => 4,
                    9 => 12,
                    _ => 8,
                };
                let count = self.count(bytes_each)?;
                if depth == MAX_DEPTH {
                    bail!("lists are nested too deeply at byte {}", self.at)
                }
                let values = (0..count).map(|_| self.value(kind, depth + 1));
                Value::List(values.collect::<Result<_>>()?)
            }
            10 => Value::Unsigned(self.u64()?),
            11 => Value::Signed(i64::from_le_bytes(self.array()?)),
            12 => Value::Float(f64::from_le_bytes(self.array()?)),
            _ => bail!("there is no kind {kind} of values, at byte {}", self.at),
        })
    }

    fn tensor(&mut self) -> Result<TensorInfo> {
        let count = self.u32()?;
        if count == 0 || count > MAX_DIMENSIONS {
            bail!("a tensor of {count} dimensions at byte {}", self.at)
        }
        let mut dims = Vec::new();
        for _ in 0..count {
            match usize::try_from(self.u64()?) {
                Ok(size) if size > 0 => dims.push(size),
                _ => bail!("a tensor has an impossible size before byte {}", self.at),
            }
        }
        Ok(TensorInfo { dims, kind: self.u32()?, offset: self.u64()? })
    }
}
