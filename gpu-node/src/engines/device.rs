//! Which processor the engines compute on: the card when there is one, the CPU otherwise.

use candle_core::{DType, Device};

use super::memory::usable_bytes;

/// The processor this process computes on.
#[derive(Debug, Clone)]
pub struct Devices {
    compute: Device,
}

impl Devices {
    /// The CPU, whatever else there is.
    pub fn cpu() -> Self {
        Self { compute: Device::Cpu }
    }

    /// The first CUDA card if this build and this machine have one, else the CPU.
    pub fn detect() -> Self {
        #[cfg(feature = "cuda")]
        if let Some(device) = cuda::first_card() {
            return Self { compute: device };
        }
        Self::cpu()
    }

    /// `cuda` or `cpu`.
    pub fn kind(&self) -> &'static str {
        if self.compute.is_cuda() { "cuda" } else { "cpu" }
    }

    /// What models may take together unless somebody says otherwise: most of what is free on the card now, or a good
    /// part of the machine's memory. `None` where neither tells.
    pub fn room_bytes(&self) -> Option<u64> {
        #[cfg(feature = "cuda")]
        if let Ok(card) = self.compute.as_cuda_device() {
            let (free, _) = card.cuda_stream().context().mem_get_info().ok()?;
            return Some(free as u64 / 10 * 9);
        }
        Some(usable_bytes()? / 4 * 3)
    }

    /// What a model takes here whose weights take so much of a card in a number format: the CPU widens them.
    pub fn memory_bytes(&self, on_card: u64, weights: DType) -> u64 {
        let bytes = |dtype: DType| dtype.size_in_bytes().max(1) as u64;
        on_card.saturating_mul(bytes(self.dtype(weights))) / bytes(weights)
    }

    pub(crate) fn compute(&self) -> &Device {
        &self.compute
    }

    /// Half precision pays on a card only: the CPU widens whole tensors at each product.
    pub(crate) fn dtype(&self, on_card: DType) -> DType {
        if self.compute.is_cuda() { on_card } else { DType::F32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_weights_take_twice_as_much_on_the_cpu() {
        let bytes = |weights| Devices::cpu().memory_bytes(3_500, weights);
        assert_eq!([DType::F16, DType::BF16, DType::F32].map(bytes), [7_000, 7_000, 3_500]);
    }
}

#[cfg(feature = "cuda")]
mod cuda {
    use candle_core::Device;

    pub(super) fn first_card() -> Option<Device> {
        if !driver_is_present() {
            return None;
        }
        // Under dynamic loading a missing CUDA library is a panic, not an error.
        match std::panic::catch_unwind(|| Device::new_cuda(0)) {
            Ok(Ok(device)) => Some(device),
            Ok(Err(error)) => {
                tracing::warn!(%error, "there is a CUDA driver but no usable card, using the CPU");
                None
            }
            Err(_) => {
                tracing::warn!("a CUDA library is missing, using the CPU");
                None
            }
        }
    }

    #[allow(unsafe_code, reason = "loading a library is the only way to know that it is there")]
    fn driver_is_present() -> bool {
        ["libcuda.so.1", "libcuda.so", "nvcuda.dll"]
            .iter()
            // SAFETY: NVIDIA's driver library has no unsound initialisers.
            .any(|name| unsafe { libloading::Library::new(*name) }.is_ok())
    }
}
