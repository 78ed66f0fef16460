//! Padding, upsampling and the fully connected layer, by index.

use conv_core::ndarray::{Array1, Array2, Array4, Ix2, s};
use conv_core::{Conv2dOptions, PaddingValue, plain};
use proptest::prelude::*;
use testkit::{assert_close, dot_bound, random_array, to_f32};

fn random4(shape: [usize; 4], seed: u64) -> Array4<f64> {
    random_array(&shape, seed).into_dimensionality().unwrap()
}

fn matrix(shape: [usize; 2], seed: u64) -> Array2<f64> {
    random_array(&shape, seed)
        .into_dimensionality::<Ix2>()
        .unwrap()
}

proptest! {
    #[test]
    fn upsampling_repeats_pixels(
        shape in prop::array::uniform4(1_usize..=5),
        scale in prop::array::uniform2(1_usize..=4),
        seed in any::<u64>(),
    ) {
        let input = random4(shape, seed);
        let output = plain::upsample_nearest2d(input.view(), scale)?;
        prop_assert_eq!(output.dim(), (shape[0], shape[1], shape[2] * scale[0], shape[3] * scale[1]));
        for y in 0..scale[0] {
            for x in 0..scale[1] {
                prop_assert_eq!(output.slice(s![.., .., y..; scale[0], x..; scale[1]]), &input);
            }
        }
    }

    #[test]
    fn padding_keeps_the_input_and_fills_the_rest(
        shape in prop::array::uniform4(1_usize..=5),
        padding in prop::array::uniform4(0_usize..=4),
        seed in any::<u64>(),
    ) {
        let input = random4(shape, seed);
        let [top, left, bottom, right] = padding;
        let [_, _, height, width] = shape;
        for (value, constant) in [(PaddingValue::Zeros, 0.0), (PaddingValue::Constant(2.5), 2.5)] {
            let mut output = plain::pad2d(input.view(), padding, value)?;
            let size = (top + height + bottom, left + width + right);
            prop_assert_eq!(output.dim(), (shape[0], shape[1], size.0, size.1));
            let mut middle = output.slice_mut(s![.., .., top..top + height, left..left + width]);
            prop_assert_eq!(&middle, &input);
            middle.fill(constant);
            prop_assert!(output.iter().all(|&value| value == constant));
        }
        // The other values repeat what is there.
        let output = plain::pad2d(input.view(), padding, PaddingValue::Replicate)?;
        for ((n, c, y, x), &pixel) in output.indexed_iter() {
            let row = y.saturating_sub(top).min(height - 1);
            let column = x.saturating_sub(left).min(width - 1);
            prop_assert_eq!(pixel, input[[n, c, row, column]]);
        }
    }

    #[test]
    fn linear_is_a_matrix_product(
        sizes in prop::array::uniform3(1_usize..=40),
        bias in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let [batch, inputs, outputs] = sizes;
        let (x, w) = (matrix([batch, inputs], seed), matrix([outputs, inputs], !seed));
        let b = Array1::from_shape_fn(outputs, |o| if bias { o as f64 / 8.0 } else { 0.0 });
        let expected = x.dot(&w.t()) + &b;
        let with_bias = bias.then(|| b.view());
        let got = plain::linear(x.view(), w.view(), with_bias)?;

        let magnitude = x.mapv(f64::abs).dot(&w.mapv(f64::abs).t()) + &b;
        let bound = |i: usize| dot_bound(inputs + 1, magnitude[[i / outputs, i % outputs]]);
        // The same bound for the smaller epsilon of f64.
        assert_close(got.view(), expected.view(), |i| bound(i) * 2_f64.powi(-29));

        let b = to_f32(b.view());
        let with_bias = bias.then(|| b.view());
        let single = plain::linear(to_f32(x.view()).view(), to_f32(w.view()).view(), with_bias)?;
        assert_close(single.view(), expected.view(), bound);

        // And a 1x1 convolution of one-pixel pictures.
        let four = |m: &Array2<f64>| m.clone().into_shape_with_order((m.nrows(), m.ncols(), 1, 1));
        let conv =
            plain::conv2d(four(&x)?.view(), four(&w)?.view(), None, &Conv2dOptions::default())?;
        let linear = plain::linear(x.view(), w.view(), None)?;
        prop_assert_eq!(conv, four(&linear)?);
    }
}
