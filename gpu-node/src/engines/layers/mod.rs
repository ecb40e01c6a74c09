//! Building blocks of the models: on the CPU our own kernels, on a card candle's.
//!
//! candle's convolutions on the CPU re-order the weights at each call and its norms pass over memory
//! eight times; for small models that is most of the time. A feature map is channels-last on the CPU,
//! where every kernel here reads rows of channels, and channels-first on a card.

mod activation;
mod attention;
mod card_conv;
mod conv;
mod gemm;
mod linear;
mod map;
mod modulation;
mod norm;
mod packed;
mod product;
mod rms_norm;
mod rope;
mod sinusoid;
pub(crate) mod vector;

pub(crate) use activation::{Activation, geglu};
pub(crate) use attention::attention;
pub(crate) use conv::{Conv2d, ConvShape, Start};
pub(crate) use linear::Linear;
pub(crate) use map::{
    cat_channels, from_channels_first, from_tokens, map_size, to_channels_first, to_tokens,
    upsample_nearest,
};
pub(crate) use modulation::modulated_norm;
pub(crate) use norm::{GroupNorm, LayerNorm, SiluAfter};
pub(crate) use rms_norm::RmsNorm;
pub(crate) use rope::AxisRope;
pub(crate) use sinusoid::sinusoid;

use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{CpuStorage, Device, Layout, Result, bail};

static OWN_KERNELS_ON_CPU: AtomicBool = AtomicBool::new(true);

/// From now on the CPU computes as a card would, with candle's operations: the goldens then also hold
/// where no card is at hand. Call it before anything is loaded.
pub fn compute_as_on_a_card() {
    OWN_KERNELS_ON_CPU.store(false, Ordering::Relaxed);
}

/// Whether tensors of a device are computed by the kernels here.
pub(crate) fn has_own_kernels(device: &Device) -> bool {
    device.is_cpu() && OWN_KERNELS_ON_CPU.load(Ordering::Relaxed)
}

/// Computes many layers. On the CPU from within the thread pool: a layer then starts on all threads at once; from
/// outside each would first have to wake one and put the caller to sleep.
pub(crate) fn computing<R: Send>(device: &Device, layers: impl FnOnce() -> R + Send) -> R {
    if device.is_cpu() { rayon::scope(|_| layers()) } else { layers() }
}

/// The values of a contiguous f32 tensor on the CPU.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("a kernel got a tensor that is not contiguous");
    };
    Ok(&storage.as_slice::<f32>()?[start..end])
}
