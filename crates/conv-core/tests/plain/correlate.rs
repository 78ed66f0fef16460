//! `cross_correlate2d` and `convolve2d`: sums over index pairs, and a convolution as what each
//! pixel spreads.

use conv_core::ndarray::{Array2, Axis, Ix2, array, s};
use conv_core::{
    Conv2dOptions, CorrelateOptions, Padding, PaddingValue, convolve2d, cross_correlate2d, plain,
};
use proptest::prelude::*;
use testkit::{assert_close, dot_bound, random_array};

fn matrix(size: [usize; 2], seed: u64) -> Array2<f64> {
    random_array(&size, seed)
        .into_dimensionality::<Ix2>()
        .unwrap()
}

/// Input and kernel that fits into it, with options under which it still fits.
fn problems() -> impl Strategy<Value = (Array2<f64>, Array2<f64>, CorrelateOptions)> {
    let lens = || (1_usize..=5, 0_usize..=9, 1_usize..=3);
    let padding = prop_oneof![
        Just(Padding::Valid),
        Just(Padding::Same),
        prop::array::uniform4(0_usize..=3).prop_map(Padding::Explicit),
    ];
    let value = prop_oneof![
        Just(PaddingValue::Zeros),
        Just(PaddingValue::Constant(-0.5)),
        Just(PaddingValue::Replicate),
    ];
    (lens(), lens(), padding, value, any::<u64>()).prop_map(
        |(h, w, padding, padding_value, seed)| {
            let input = matrix([h.0 + h.1, w.0 + w.1], seed);
            let kernel = matrix([h.0, w.0], !seed);
            (
                input,
                kernel,
                CorrelateOptions {
                    stride: [h.2, w.2],
                    padding,
                    padding_value,
                },
            )
        },
    )
}

fn turned(kernel: &Array2<f64>) -> Array2<f64> {
    let (height, width) = kernel.dim();
    Array2::from_shape_fn((height, width), |(i, j)| {
        kernel[[height - 1 - i, width - 1 - j]]
    })
}

/// The full convolution: every pixel spreads the kernel, which is `[H + Kh - 1, W + Kw - 1]`.
fn spread(input: &Array2<f64>, kernel: &Array2<f64>) -> Array2<f64> {
    let ((height, width), (kernel_h, kernel_w)) = (input.dim(), kernel.dim());
    let mut full = Array2::zeros((height + kernel_h - 1, width + kernel_w - 1));
    for ((y, x), &pixel) in input.indexed_iter() {
        full.slice_mut(s![y..y + kernel_h, x..x + kernel_w])
            .scaled_add(pixel, kernel);
    }
    full
}

proptest! {
    #[test]
    fn convolve_turns_the_kernel((input, kernel, options) in problems()) {
        let turned = turned(&kernel);
        prop_assert_eq!(
            convolve2d(input.view(), kernel.view(), &options)?,
            cross_correlate2d(input.view(), turned.view(), &options)?
        );
        prop_assert_eq!(
            convolve2d(input.view(), turned.view(), &options)?,
            cross_correlate2d(input.view(), kernel.view(), &options)?
        );
    }

    #[test]
    fn a_correlation_is_a_conv2d_of_one_channel((input, kernel, options) in problems()) {
        let CorrelateOptions { stride, padding, padding_value } = options;
        let options4 = Conv2dOptions { stride, padding, padding_value, ..Default::default() };
        let four = |array: &Array2<f64>| array.clone().insert_axis(Axis(0)).insert_axis(Axis(0));
        let conv = plain::conv2d(four(&input).view(), four(&kernel).view(), None, &options4)?;
        let got = cross_correlate2d(input.view(), kernel.view(), &options)?;
        prop_assert_eq!(four(&got), conv);
    }

    #[test]
    fn a_valid_correlation_is_a_sum_over_windows((input, kernel, options) in problems()) {
        let options = CorrelateOptions { padding: Padding::Valid, ..options };
        let [stride_h, stride_w] = options.stride;
        let windows = input.windows(kernel.dim());
        let shape = (input.nrows() - kernel.nrows() + 1, input.ncols() - kernel.ncols() + 1);
        let sums: Vec<f64> = windows.into_iter().map(|window| (&window * &kernel).sum()).collect();
        let every = Array2::from_shape_vec(shape, sums)?;
        let got = cross_correlate2d(input.view(), kernel.view(), &options)?;
        let bound = dot_bound(kernel.len(), kernel.len() as f64) * 2_f64.powi(-29);
        let expected = every.slice(s![..; stride_h, ..; stride_w]);
        assert_close(got.view(), expected, |_| bound);
    }

    #[test]
    fn a_full_convolution_is_what_each_pixel_spreads((input, kernel, _) in problems()) {
        let full = |input: &Array2<f64>, kernel: &Array2<f64>| {
            let (h, w) = (kernel.nrows() - 1, kernel.ncols() - 1);
            let options =
                CorrelateOptions { padding: Padding::Explicit([h, w, h, w]), ..Default::default() };
            convolve2d(input.view(), kernel.view(), &options)
        };
        let bound = dot_bound(kernel.len(), kernel.len() as f64) * 2_f64.powi(-29);
        let expected = spread(&input, &kernel);
        assert_close(full(&input, &kernel)?.view(), expected.view(), |_| bound);
        // For a convolution it does not matter which of the two is the kernel.
        assert_close(full(&kernel, &input)?.view(), expected.view(), |_| bound);
    }
}

#[test]
fn a_vertical_edge_is_found_and_its_direction_told() {
    let bright_left = Array2::from_shape_fn((6, 6), |(_, x)| if x < 3 { 10.0 } else { 0.0 });
    let vertical = array![[1.0, 0.0, -1.0], [1.0, 0.0, -1.0], [1.0, 0.0, -1.0]];
    let options = CorrelateOptions::default();
    let rows = |row: [f64; 4]| Array2::from_shape_fn((4, 4), |(_, x)| row[x]);
    let find = |picture: &Array2<f64>| {
        cross_correlate2d(picture.view(), vertical.view(), &options).unwrap()
    };
    assert_eq!(find(&bright_left), rows([0.0, 30.0, 30.0, 0.0]));
    let bright_right = bright_left.slice(s![.., ..;-1]).to_owned();
    assert_eq!(find(&bright_right), rows([0.0, -30.0, -30.0, 0.0]));
    // Convolution sees the edge from the other side.
    let convolved = convolve2d(bright_left.view(), vertical.view(), &options).unwrap();
    assert_eq!(convolved, rows([0.0, -30.0, -30.0, 0.0]));
}
