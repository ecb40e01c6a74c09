//! Convolutions of whole numbers, which every order of adding sums to the same.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;

use super::{Conv2d, ConvShape, Start};

fn numbers(dims: &[usize], seed: usize) -> Tensor {
    let count = dims.iter().product();
    let values = (0..count).map(|at: usize| ((at * seed + at / 7) % 9) as f32 - 4.0).collect();
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

fn weights(shape: ConvShape) -> VarBuilder<'static> {
    let ConvShape { inputs, outputs, kernel, .. } = shape;
    let weight = numbers(&[outputs, inputs, kernel, kernel], 5);
    let all = [("weight", weight), ("bias", numbers(&[outputs], 2))];
    let all = all.map(|(name, tensor)| (name.to_owned(), tensor)).into();
    VarBuilder::from_tensors(all, DType::F32, &Device::Cpu)
}

/// By candle's own convolution, over channels-last maps.
fn expected(shape: ConvShape, xs: &Tensor) -> candle_core::Result<Tensor> {
    let ConvShape { inputs, outputs, kernel, stride, padding: (before, after) } = shape;
    let vb = weights(shape);
    let xs = xs.permute((0, 3, 1, 2))?.pad_with_zeros(2, before, after)?;
    let xs = xs.pad_with_zeros(3, before, after)?.contiguous()?;
    let out = xs.conv2d(&vb.get((outputs, inputs, kernel, kernel), "weight")?, 0, stride, 1, 1)?;
    out.permute((0, 2, 3, 1))?.broadcast_add(&vb.get(outputs, "bias")?)
}

fn values(xs: &Tensor) -> Vec<f32> {
    xs.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn shapes_of_all_kinds_agree_with_the_definition() {
    let even = ConvShape::same(6, 70);
    let strided = ConvShape { stride: 2, padding: (0, 1), ..even };
    for shape in [even, strided, ConvShape { inputs: 5, ..even }, ConvShape::point(9, 3)] {
        for dims in [[1, 2, 3], [2, 9, 7], [3, 21, 17]] {
            let xs = numbers(&[dims[0], dims[1], dims[2], shape.inputs], 3);
            let conv = Conv2d::load(shape, weights(shape)).unwrap();
            let found = conv.forward(&xs).unwrap();
            let expected = expected(shape, &xs).unwrap();
            assert_eq!(found.dims(), expected.dims());
            assert_eq!(values(&found), values(&expected), "{shape:?} of {dims:?}");
            let residual = numbers(expected.dims(), 4);
            let found = conv.forward_from(&xs, Start::Residual(&residual)).unwrap();
            assert_eq!(values(&found), values(&(residual + &expected).unwrap()));
            let shift = numbers(&[dims[0], shape.outputs], 8);
            let found = conv.forward_from(&xs, Start::PerSample(&shift)).unwrap();
            let shift = shift.reshape((dims[0], 1, 1, shape.outputs)).unwrap();
            assert_eq!(values(&found), values(&expected.broadcast_add(&shift).unwrap()));
        }
    }
}

#[test]
fn a_doubled_map_is_never_made_but_seen() {
    let shape = ConvShape::same(5, 19);
    for dims in [[1, 1, 1], [2, 5, 4], [1, 18, 23]] {
        let xs = numbers(&[dims[0], dims[1], dims[2], 5], 3);
        let doubled = super::upsample_nearest(&xs, (2 * dims[1], 2 * dims[2])).unwrap();
        let expected = expected(shape, &doubled).unwrap();
        let conv = Conv2d::load_after_doubling(5, 19, weights(shape)).unwrap();
        let found = conv.forward(&xs).unwrap();
        assert_eq!(found.dims(), expected.dims());
        assert_eq!(values(&found), values(&expected));
    }
}

#[test]
fn a_sample_has_the_same_bits_alone_and_in_a_batch() {
    let shape = ConvShape::same(24, 300);
    let conv = Conv2d::load(shape, weights(shape)).unwrap();
    // Alone few enough pixels to share a reading of the weights, in the batch too many.
    let xs = (numbers(&[9, 7, 6, 24], 3) * 0.1).unwrap().sin().unwrap();
    let together = conv.forward(&xs).unwrap();
    for sample in 0..9 {
        let alone = conv.forward(&xs.narrow(0, sample, 1).unwrap()).unwrap();
        let expected = together.narrow(0, sample, 1).unwrap();
        let bits = |xs: &Tensor| values(xs).into_iter().map(f32::to_bits).collect::<Vec<_>>();
        assert!(bits(&alone) == bits(&expected), "sample {sample} differs");
    }
}
