//! Latents as a row of patches, and back.

use candle_core::{Result, Tensor, bail};

/// From `(batch, channels, height, width)` to `(batch, patches, channels · size²)`; a patch holds its first
/// channel's rows, then the second's.
pub(crate) fn patches(latents: &Tensor, size: usize) -> Result<Tensor> {
    let (batch, channels, height, width) = latents.dims4()?;
    if !height.is_multiple_of(size) || !width.is_multiple_of(size) {
        bail!("{height} × {width} latents do not fall into patches of {size}");
    }
    let (rows, columns) = (height / size, width / size);
    latents
        .reshape(&[batch, channels, rows, size, columns, size][..])?
        .permute([0, 2, 4, 1, 3, 5])?
        .contiguous()?
        .reshape((batch, rows * columns, channels * size * size))
}

/// The inverse of [`patches`] for a picture of `(rows, columns)` patches.
pub(crate) fn picture_of_channel_first(
    patches: &Tensor,
    (rows, columns): (usize, usize),
    size: usize,
) -> Result<Tensor> {
    let (batch, _, values) = patches.dims3()?;
    let channels = values / (size * size);
    patches
        .reshape(&[batch, rows, columns, channels, size, size][..])?
        .permute([0, 3, 1, 4, 2, 5])?
        .contiguous()?
        .reshape((batch, channels, rows * size, columns * size))
}

/// As [`picture_of_channel_first`], from patches that hold all channels of their first pixel, then of the second.
pub(crate) fn picture_of_channel_last(
    patches: &Tensor,
    (rows, columns): (usize, usize),
    size: usize,
) -> Result<Tensor> {
    let (batch, _, values) = patches.dims3()?;
    let channels = values / (size * size);
    patches
        .reshape(&[batch, rows, columns, size, size, channels][..])?
        .permute([0, 5, 1, 3, 2, 4])?
        .contiguous()?
        .reshape((batch, channels, rows * size, columns * size))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn a_patch_holds_one_channel_after_the_other() {
        let latents = Tensor::arange(0_u32, 2 * 2 * 4 * 6, &Device::Cpu).unwrap();
        let latents = latents.reshape((2, 2, 4, 6)).unwrap();
        let rows = patches(&latents, 2).unwrap();
        let first: Vec<u32> = rows.get(0).unwrap().get(1).unwrap().to_vec1().unwrap();
        assert_eq!(first, [2, 3, 8, 9, 26, 27, 32, 33]);
        let back = picture_of_channel_first(&rows, (2, 3), 2).unwrap();
        assert_eq!(
            back.flatten_all().unwrap().to_vec1::<u32>().unwrap(),
            latents.flatten_all().unwrap().to_vec1::<u32>().unwrap()
        );
    }

    #[test]
    fn a_picture_is_read_from_patches_of_whole_pixels() {
        let rows = Tensor::arange(0_u32, 16, &Device::Cpu).unwrap().reshape((1, 2, 8)).unwrap();
        let picture = picture_of_channel_last(&rows, (1, 2), 2).unwrap();
        let values: Vec<u32> = picture.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(values, [0, 2, 8, 10, 4, 6, 12, 14, 1, 3, 9, 11, 5, 7, 13, 15]);
    }

    #[test]
    fn latents_that_do_not_fall_into_patches_are_refused() {
        let latents = Tensor::zeros((1, 1, 3, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(patches(&latents, 2).is_err());
    }
}
