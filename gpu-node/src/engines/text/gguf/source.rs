//! A GGUF file as the weights of a decoder.

use candle_core::{DType, Device, Tensor, bail};
use half::{bf16, f16};

use super::{
    file::{GgufFile, StoredTensor},
    names::{Name, gguf_name},
};
use crate::engines::{
    EngineError,
    text::{
        kernels::DenseMatrix,
        quantised::{Format, PackedMatrix},
        weights::{Projection, WeightSource},
    },
};

/// The rows of one matrix, in the order that decoders expect.
struct Rows<'a> {
    stored: StoredTensor<'a>,
    row_bytes: usize,
    /// Rows of one head, where two rows of a pair lie side by side instead of half a head apart.
    interleaved: Option<usize>,
}

impl<'a> Rows<'a> {
    fn row(&self, index: usize) -> &'a [u8] {
        let at = match self.interleaved {
            None => index,
            Some(width) => {
                let (head, row) = (index / width, index % width);
                head * width + row % (width / 2) * 2 + row / (width / 2)
            }
        };
        &self.stored.bytes[at * self.row_bytes..][..self.row_bytes]
    }
}

impl GgufFile {
    /// All numbers of a tensor without rows.
    pub(super) fn floats(&self, name: &str, length: usize) -> candle_core::Result<Vec<f32>> {
        let stored = self.tensor(name)?;
        if stored.dims != [length] {
            bail!("`{name}` is {:?} instead of [{length}]", stored.dims)
        }
        let mut values = vec![0.0; length];
        stored.format.dequantise(stored.bytes, &mut values);
        Ok(values)
    }

    fn name(&self, name: &str) -> candle_core::Result<Name> {
        match gguf_name(name) {
            Some(found) => Ok(found),
            None => bail!("GGUF has no name for `{name}`"),
        }
    }

    /// Whether this file keeps the rows of queries and keys as pairs that are rotated together.
    fn interleaves(&self, name: &Name) -> candle_core::Result<Option<usize>> {
        let is_llama = name.is_query_or_key && self.architecture()? == "llama";
        Ok(if is_llama { Some(self.config()?.head_width) } else { None })
    }

    fn rows(&self, name: &str, (outputs, inputs): (usize, usize)) -> candle_core::Result<Rows<'_>> {
        let name = self.name(name)?;
        let mut stored = self.tensor(&name.tensor)?;
        let expected = match name.expert {
            None => stored.dims == [inputs, outputs],
            Some(expert) => matches!(stored.dims, [columns, rows, count]
                if *columns == inputs && *rows == outputs && expert < *count),
        };
        let row_bytes = stored.format.row_bytes(inputs);
        let (Some(row_bytes), true) = (row_bytes, expected) else {
            bail!("`{}` is {:?}, not {inputs} by {outputs}", name.tensor, stored.dims)
        };
        if let Some(expert) = name.expert {
            let bytes = outputs * row_bytes;
            stored.bytes = &stored.bytes[expert * bytes..][..bytes];
        }
        Ok(Rows { stored, row_bytes, interleaved: self.interleaves(&name)? })
    }

    fn matrix(
        &self,
        name: &str,
        shape: (usize, usize),
    ) -> candle_core::Result<Box<dyn Projection>> {
        let rows = self.rows(name, shape)?;
        let format = rows.stored.format;
        Ok(match format {
            Format::F32 => Box::new(DenseMatrix::new(dequantised(&rows, shape), shape)),
            Format::Bf16 => {
                let values = dequantised(&rows, shape).into_iter().map(bf16::from_f32);
                Box::new(DenseMatrix::new(values.collect(), shape))
            }
            // The two that have minima of their own are rare: they take the room of half precision.
            Format::F16 | Format::Q4_1 | Format::Q5_1 => {
                let values = dequantised(&rows, shape).into_iter().map(f16::from_f32);
                Box::new(DenseMatrix::new(values.collect(), shape))
            }
            _ => match PackedMatrix::pack(format, shape, |output| rows.row(output)) {
                Some(matrix) => Box::new(matrix),
                None => bail!("`{name}` has rows of {} inputs in {format:?}", shape.1),
            },
        })
    }
}

fn dequantised(rows: &Rows<'_>, (outputs, inputs): (usize, usize)) -> Vec<f32> {
    let mut values = vec![0.0; outputs * inputs];
    for (output, values) in values.chunks_exact_mut(inputs).enumerate() {
        rows.stored.format.dequantise(rows.row(output), values);
    }
    values
}

impl WeightSource for GgufFile {
    fn contains(&self, name: &str) -> bool {
        gguf_name(name).is_some_and(|name| self.has(&name.tensor))
    }

    fn projection(
        &self,
        name: &str,
        shape: (usize, usize),
    ) -> Result<Box<dyn Projection>, EngineError> {
        Ok(self.matrix(name, shape)?)
    }

    fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, EngineError> {
        let name = self.name(name)?;
        let values = self.floats(&name.tensor, length)?;
        let Some(width) = self.interleaves(&name)? else { return Ok(values) };
        let rows = values.chunks_exact(width);
        // A pair's numbers lie side by side: first all first ones, then all second ones.
        let halves = |head: &[f32]| {
            let (first, second) = (head.iter().step_by(2), head.iter().skip(1).step_by(2));
            first.chain(second).copied().collect::<Vec<_>>()
        };
        Ok(if name.tensor.ends_with("bias") { rows.flat_map(halves).collect() } else { values })
    }

    fn tensor(
        &self,
        name: &str,
        shape: &[usize],
        (dtype, device): (DType, &Device),
    ) -> Result<Tensor, EngineError> {
        let values = match *shape {
            [length] => self.vector(name, length)?,
            [outputs, inputs] => {
                dequantised(&self.rows(name, (outputs, inputs))?, (outputs, inputs))
            }
            _ => return Err(EngineError::Failed(format!("{name}: no tensor of {shape:?}"))),
        };
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)
    }
}
