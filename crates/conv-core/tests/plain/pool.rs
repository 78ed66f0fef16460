//! Pools: for each output, every pixel of the plane is tested for being under its window.

use conv_core::ndarray::{Array4, array};
use conv_core::{AvgPool2dOptions, MaxPool2dOptions, Padding, Window, plain};
use proptest::prelude::*;
use testkit::{
    assert_close, avg_pool2d_problems, dot_bound, max_pool2d_problems, random_array, to_f32,
};

/// Returns whether the pixel, counted from the input's first, is under a tap of the output.
fn is_under(
    pixel: isize,
    output: usize,
    [kernel_size, stride, dilation, before]: [usize; 4],
) -> bool {
    let distance = pixel + before as isize - (output * stride) as isize;
    distance >= 0
        && distance % dilation as isize == 0
        && distance / (dilation as isize) < kernel_size as isize
}

fn random4(shape: [usize; 4], seed: u64) -> Array4<f64> {
    random_array(&shape, seed).into_dimensionality().unwrap()
}

proptest! {
    #[test]
    fn max_pool_is_the_first_maximum_under_its_window(
        problem in max_pool2d_problems(),
        ties in any::<bool>(),
    ) {
        let options = problem.options;
        let MaxPool2dOptions { kernel_size, stride, dilation, padding, ceil_mode } = options;
        let window = Window { kernel_size, stride, dilation, padding, ceil_mode };
        let placement = window.place("test", problem.input_size)?;
        let input = if ties { problem.input_with_ties() } else { problem.input() };
        let [height, width] = problem.input_size;
        let axis = |a: usize| [kernel_size[a], stride[a], dilation[a], placement.padding[a]];

        let (got, argmax) = plain::max_pool2d_with_argmax(input.view(), &options)?;
        prop_assert_eq!(&got, &plain::max_pool2d(input.view(), &options)?);
        for ((n, c, y, x), &got) in got.indexed_iter() {
            let under = (0..height * width).filter(|place| {
                is_under((place / width) as isize, y, axis(0))
                    && is_under((place % width) as isize, x, axis(1))
            });
            // From the back, so that the first of equal values remains.
            let best = under.rev().max_by(|&a, &b| {
                let value = |place| input[[n, c, place / width, place % width]];
                value(a).total_cmp(&value(b))
            });
            prop_assert_eq!(best, Some(argmax[[n, c, y, x]]));
            let place = argmax[[n, c, y, x]];
            prop_assert_eq!(got, input[[n, c, place / width, place % width]]);
        }
    }

    #[test]
    fn avg_pool_divides_by_the_taps_that_count(problem in avg_pool2d_problems()) {
        let options = problem.options;
        let AvgPool2dOptions { kernel_size, stride, padding, ceil_mode, count_include_pad } = options;
        let window = Window { kernel_size, stride, dilation: [1, 1], padding, ceil_mode };
        let placement = window.place("test", problem.input_size)?;
        let input = problem.input();
        let [height, width] = problem.input_size.map(|size| size as isize);
        let [top, left, bottom, right] = placement.padding.map(|size| size as isize);
        let axis = |a: usize| [kernel_size[a], stride[a], 1, placement.padding[a]];
        let is_inside = |y: isize, x: isize| (0..height).contains(&y) && (0..width).contains(&x);

        let got = plain::avg_pool2d(input.view(), &options)?;
        let expected = Array4::from_shape_fn(got.dim(), |(n, c, y, x)| {
            let (mut sum, mut taps) = (0.0, 0.0);
            for row in -top..height + bottom {
                // Each row of a window is summed first.
                let mut of_row = 0.0;
                for column in -left..width + right {
                    if is_under(row, y, axis(0)) && is_under(column, x, axis(1)) {
                        if is_inside(row, column) {
                            of_row += input[[n, c, row as usize, column as usize]];
                        }
                        if count_include_pad || is_inside(row, column) {
                            taps += 1.0;
                        }
                    }
                }
                sum += of_row;
            }
            sum / taps
        });
        prop_assert_eq!(&got, &expected);

        // In f32: a sum of as many values below 1 as the kernel has taps, divided by their number.
        let single = plain::avg_pool2d(to_f32(input.view()).view(), &options)?;
        let bound = dot_bound(kernel_size.iter().product(), 1.0);
        assert_close(single.view(), got.view(), |_| bound);
    }

    #[test]
    fn adaptive_bins_are_the_pixels_they_touch(
        size in prop::array::uniform2(1_usize..=12),
        output in prop::array::uniform2(1_usize..=12),
        seed in any::<u64>(),
    ) {
        let input = random4([2, 3, size[0], size[1]], seed);
        // Pixel `p` is the interval p .. p + 1, bin `k` the interval k L / K .. (k + 1) L / K.
        let touches = |pixel: usize, bin: usize, axis: usize| {
            (pixel + 1) * output[axis] > bin * size[axis]
                && pixel * output[axis] < (bin + 1) * size[axis]
        };
        let bin = |n: usize, c: usize, y: usize, x: usize| -> Vec<(usize, f64)> {
            let pixels = input.indexed_iter().filter(|((pn, pc, row, column), _)| {
                (*pn, *pc) == (n, c) && touches(*row, y, 0) && touches(*column, x, 1)
            });
            pixels.map(|((_, _, row, _), &value)| (row, value)).collect()
        };
        let mean = plain::adaptive_avg_pool2d(input.view(), output)?;
        let maximum = plain::adaptive_max_pool2d(input.view(), output)?;
        prop_assert_eq!(mean.dim(), (2, 3, output[0], output[1]));
        prop_assert_eq!(maximum.dim(), mean.dim());
        for ((n, c, y, x), &mean) in mean.indexed_iter() {
            let values = bin(n, c, y, x);
            // Each row of a bin is summed first.
            let rows = values.chunk_by(|a, b| a.0 == b.0);
            let rows = rows.map(|row| row.iter().fold(0.0, |sum, (_, value)| sum + value));
            let sum = rows.fold(0.0, |sum, row| sum + row);
            prop_assert_eq!(mean, sum / values.len() as f64);
            let largest = values.iter().map(|&(_, value)| value);
            let largest = largest.fold(f64::NEG_INFINITY, f64::max);
            prop_assert_eq!(maximum[[n, c, y, x]], largest);
        }
    }

    #[test]
    fn adaptive_bins_of_one_size_are_a_plain_pool(
        bins in prop::array::uniform2(1_usize..=5),
        bin in prop::array::uniform2(1_usize..=5),
        seed in any::<u64>(),
    ) {
        let input = random4([1, 2, bins[0] * bin[0], bins[1] * bin[1]], seed);
        let (mean, maximum) = (AvgPool2dOptions::new(bin), MaxPool2dOptions::new(bin));
        prop_assert_eq!(
            plain::adaptive_avg_pool2d(input.view(), bins)?,
            plain::avg_pool2d(input.view(), &mean)?
        );
        prop_assert_eq!(
            plain::adaptive_max_pool2d(input.view(), bins)?,
            plain::max_pool2d(input.view(), &maximum)?
        );
        prop_assert_eq!(
            plain::adaptive_avg_pool2d(input.view(), [1, 1])?,
            plain::global_avg_pool2d(input.view())?
        );
    }
}

/// `[[1, 2, 3], [4, 5, 6], [7, 8, 9]]`.
fn nine() -> Array4<f64> {
    array![[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]]
}

#[test]
fn avg_pool_s_divisor_by_hand() {
    let input = nine();
    let mean = |padding, ceil_mode, count_include_pad| {
        let options = AvgPool2dOptions {
            padding,
            ceil_mode,
            count_include_pad,
            ..AvgPool2dOptions::new([2, 2])
        };
        plain::avg_pool2d(input.view(), &options).unwrap()
    };
    // Floor: one window of four.
    assert_eq!(mean(Padding::Valid, false, true), array![[[[3.0]]]]);
    // Ceil: windows past the edge divide by the pixels they cover, in either case.
    let hanging = array![[[[3.0, 4.5], [7.5, 9.0]]]];
    assert_eq!(mean(Padding::Valid, true, true), hanging);
    assert_eq!(mean(Padding::Valid, true, false), hanging);
    // A pixel of padding at the bottom and right completes them.
    let after = Padding::Explicit([0, 0, 1, 1]);
    assert_eq!(
        mean(after, false, true),
        array![[[[3.0, 2.25], [3.75, 2.25]]]]
    );
    assert_eq!(mean(after, false, false), hanging);
    // Padding around: 1 | 2 3 over 4 7 | 5 6 8 9.
    assert_eq!(
        mean(Padding::all(1), false, true),
        array![[[[0.25, 1.25], [2.75, 7.0]]]]
    );
    assert_eq!(
        mean(Padding::all(1), false, false),
        array![[[[1.0, 2.5], [5.5, 7.0]]]]
    );
}

#[test]
fn ceil_mode_divides_by_padding_but_not_by_what_hangs_over_it() {
    // 3x3 in steps of 3 on 3 + 2 of padding leaves a window of two columns: 3 and padding.
    let input = array![[[[1.0, 2.0, 3.0]]]];
    let options = AvgPool2dOptions {
        kernel_size: [1, 3],
        stride: [1, 3],
        padding: Padding::Explicit([0, 1, 0, 1]),
        ceil_mode: true,
        count_include_pad: true,
    };
    let output = plain::avg_pool2d(input.view(), &options).unwrap();
    assert_eq!(output, array![[[[1.0, 1.5]]]]);
    let options = AvgPool2dOptions {
        count_include_pad: false,
        ..options
    };
    let output = plain::avg_pool2d(input.view(), &options).unwrap();
    assert_eq!(output, array![[[[1.5, 3.0]]]]);
}

#[test]
fn max_pool_by_hand() {
    let input = -nine();
    let maximum =
        |options: MaxPool2dOptions| plain::max_pool2d_with_argmax(input.view(), &options).unwrap();
    let pool = MaxPool2dOptions::new([2, 2]);
    assert_eq!(maximum(pool).0, array![[[[-1.0]]]]);
    // Padding does not win over negative values.
    let padded = MaxPool2dOptions {
        padding: Padding::all(1),
        ..pool
    };
    let expected = array![[[[-1.0, -2.0], [-4.0, -5.0]]]];
    assert_eq!(maximum(padded), (expected, array![[[[0, 1], [3, 4]]]]));
    // Keeps the size, as darknet's last pool does.
    let kept = MaxPool2dOptions {
        stride: [1, 1],
        padding: Padding::Explicit([0, 0, 1, 1]),
        ..pool
    };
    assert_eq!(maximum(kept).0, input);
    // 5x5x2 with 3x3 in steps of 1.
    let volume = random4([1, 2, 5, 5], 0);
    let options = MaxPool2dOptions {
        stride: [1, 1],
        ..MaxPool2dOptions::new([3, 3])
    };
    assert_eq!(
        plain::max_pool2d(volume.view(), &options).unwrap().dim(),
        (1, 2, 3, 3)
    );
}

#[test]
fn nan_wins_and_minus_infinity_is_a_number() {
    let options = MaxPool2dOptions::new([1, 3]);
    let maximum = |row: [f64; 3]| {
        let input = Array4::from_shape_vec((1, 1, 1, 3), row.to_vec()).unwrap();
        let (maximum, argmax) = plain::max_pool2d_with_argmax(input.view(), &options).unwrap();
        let adaptive = plain::adaptive_max_pool2d(input.view(), [1, 1]).unwrap()[[0, 0, 0, 0]];
        let maximum = maximum[[0, 0, 0, 0]];
        assert!(maximum == adaptive || (maximum.is_nan() && adaptive.is_nan()));
        (maximum, argmax[[0, 0, 0, 0]])
    };
    let (value, place) = maximum([f64::INFINITY, f64::NAN, 3.0]);
    assert!(value.is_nan());
    assert_eq!(place, 1);
    assert_eq!(maximum([f64::NAN, f64::NAN, 3.0]).1, 1);
    assert_eq!(maximum([f64::NEG_INFINITY; 3]), (f64::NEG_INFINITY, 0));
    assert_eq!(maximum([-2.0, -1.0, -1.0]), (-1.0, 1));
    let means = plain::avg_pool2d(
        array![[[[1.0, f64::NAN, 2.0]]]].view(),
        &AvgPool2dOptions {
            stride: [1, 1],
            ..AvgPool2dOptions::new([1, 1])
        },
    );
    assert!(means.unwrap()[[0, 0, 0, 1]].is_nan());
}

/// The options that are set one after the other are those of the struct with all fields.
#[test]
fn options_are_built_field_by_field() {
    let padding = Padding::Explicit([0, 1, 2, 1]);
    let max = MaxPool2dOptions::new([3, 4])
        .stride([2, 5])
        .dilation([1, 2])
        .padding(padding)
        .ceil_mode();
    let expected = MaxPool2dOptions {
        kernel_size: [3, 4],
        stride: [2, 5],
        dilation: [1, 2],
        padding,
        ceil_mode: true,
    };
    assert_eq!(max, expected);

    let avg = AvgPool2dOptions::new([3, 4])
        .stride([2, 5])
        .padding(padding)
        .ceil_mode()
        .exclude_padding();
    let expected = AvgPool2dOptions {
        kernel_size: [3, 4],
        stride: [2, 5],
        padding,
        ceil_mode: true,
        count_include_pad: false,
    };
    assert_eq!(avg, expected);
}
