//! Output sizes, padding and tap positions, against the same arithmetic in integers that cannot
//! overflow, and over sizes up to the largest there are.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]
#![allow(
    clippy::needless_range_loop,
    reason = "loops over axes read like their formulas"
)]

use conv_core::{Error, Padding, PaddingValue, Window, checked_len};
use proptest::prelude::*;

/// Sizes of every magnitude, and those around the points where arithmetic overflows.
fn any_size() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0_usize..=9,
        2 => 10_usize..=1000,
        2 => (0_u32..usize::BITS, 0_usize..=2)
            .prop_map(|(bit, offset)| (1_usize << bit).wrapping_add(offset).wrapping_sub(1)),
        1 => (0_usize..=9).prop_map(|less| usize::MAX - less),
        1 => (0_usize..=9).prop_map(|less| isize::MAX as usize - less),
        1 => any::<usize>(),
    ]
}

fn any_pair() -> impl Strategy<Value = [usize; 2]> {
    prop::array::uniform2(any_size())
}

fn any_padding() -> impl Strategy<Value = Padding> {
    prop_oneof![
        Just(Padding::Valid),
        Just(Padding::Same),
        prop::array::uniform4(any_size()).prop_map(Padding::Explicit),
    ]
}

fn any_window() -> impl Strategy<Value = Window> {
    (
        any_pair(),
        any_pair(),
        any_pair(),
        any_padding(),
        any::<bool>(),
    )
        .prop_map(
            |(kernel_size, stride, dilation, padding, ceil_mode)| Window {
                kernel_size,
                stride,
                dilation,
                padding,
                ceil_mode,
            },
        )
}

/// Windows and inputs of realistic sizes.
fn small_window() -> impl Strategy<Value = (Window, [usize; 2])> {
    let padding = prop_oneof![
        1 => Just(Padding::Valid),
        1 => Just(Padding::Same),
        4 => prop::array::uniform4(0_usize..=7).prop_map(Padding::Explicit),
    ];
    let pair = |most| prop::array::uniform2(1..=most);
    (
        pair(5_usize),
        pair(5),
        pair(4),
        padding,
        any::<bool>(),
        pair(12),
    )
        .prop_map(
            |(kernel_size, stride, dilation, padding, ceil_mode, input)| {
                (
                    Window {
                        kernel_size,
                        stride,
                        dilation,
                        padding,
                        ceil_mode,
                    },
                    input,
                )
            },
        )
}

/// The product of two 64-bit factors may overflow even here; such a reach is far too large.
fn reach(dilation: i128, kernel_size: i128) -> i128 {
    dilation.saturating_mul(kernel_size - 1).saturating_add(1)
}

/// One axis of a placed window: what `place` should compute, in 128 bits.
struct Axis {
    input: i128,
    kernel_size: i128,
    stride: i128,
    dilation: i128,
    padding: [i128; 2],
    ceil_mode: bool,
}

impl Axis {
    fn of(window: &Window, input: [usize; 2], axis: usize) -> Self {
        let [input, kernel_size, stride, dilation] =
            [input, window.kernel_size, window.stride, window.dilation].map(|v| v[axis] as i128);
        let padding = match window.padding {
            Padding::Valid => [0, 0],
            Padding::Explicit(sides) => [sides[axis] as i128, sides[axis + 2] as i128],
            Padding::Same => {
                // As many outputs as `ceil(input / stride)`, and as much padding as they need.
                let outputs = (input + stride - 1) / stride;
                let needed = ((outputs - 1) * stride).saturating_add(reach(dilation, kernel_size));
                let total = (needed - input).max(0);
                [total / 2, total - total / 2]
            }
        };
        Self {
            input,
            kernel_size,
            stride,
            dilation,
            padding,
            ceil_mode: window.ceil_mode,
        }
    }

    fn reach(&self) -> i128 {
        reach(self.dilation, self.kernel_size)
    }

    fn padded(&self) -> i128 {
        self.padding[0]
            .saturating_add(self.input)
            .saturating_add(self.padding[1])
    }

    /// PyTorch's `pooling_output_shape`.
    fn output(&self) -> i128 {
        let room = self.padded() - self.reach();
        let round_up = if self.ceil_mode { self.stride - 1 } else { 0 };
        let output = (room + round_up).div_euclid(self.stride) + 1;
        if self.ceil_mode && (output - 1) * self.stride >= self.input + self.padding[0] {
            output - 1
        } else {
            output
        }
    }
}

proptest! {
    #![proptest_config(testkit::cases(4000))]

    #[test]
    fn any_sizes_give_the_exact_answer_or_an_error(window in any_window(), input in any_pair()) {
        let Window { kernel_size, stride, dilation, .. } = window;
        let placed = window.place("test", input);
        let options = [kernel_size, stride, dilation];
        if options.as_flattened().contains(&0) {
            prop_assert!(matches!(placed, Err(Error::Zero { op: "test", .. })), "{placed:?}");
            return Ok(());
        }
        if options.as_flattened().iter().any(|&size| size > Window::LIMIT) {
            let over = matches!(
                placed,
                Err(Error::OverLimit { got, limit: Window::LIMIT, .. }) if got > Window::LIMIT
            );
            prop_assert!(over, "{placed:?}");
            return Ok(());
        }
        if input.contains(&0) {
            prop_assert!(matches!(placed, Err(Error::Zero { op: "test", .. })), "{placed:?}");
            return Ok(());
        }
        let axes = [0, 1].map(|axis| Axis::of(&window, input, axis));
        let most = isize::MAX as i128;
        match placed {
            Ok(placement) => for (axis, expected) in axes.iter().enumerate() {
                prop_assert_eq!(placement.output[axis] as i128, expected.output());
                prop_assert_eq!(placement.padding[axis] as i128, expected.padding[0]);
                prop_assert_eq!(placement.padding[axis + 2] as i128, expected.padding[1]);
            },
            Err(Error::WindowTooLarge { axis, reach, padded, .. }) => {
                let axis = &axes[usize::from(axis == "w")];
                prop_assert_eq!((axis.reach(), axis.padded()), (reach as i128, padded as i128));
                prop_assert!(axis.reach() > axis.padded());
            }
            Err(Error::TooLarge { .. }) => prop_assert!(
                axes.iter().any(|axis| axis.reach() > most || axis.padded() > most)
            ),
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn taps_of_any_sizes_read_where_they_should(
        window in any_window(),
        input in any_pair(),
        at in any_pair(),
        taps in any_pair(),
    ) {
        let Ok(placement) = window.place("test", input) else { return Ok(()) };
        for axis in 0..2 {
            let output = at[axis] % placement.output[axis];
            let tap = taps[axis] % placement.kernel_size[axis];
            let expected = output as i128 * placement.stride[axis] as i128
                + tap as i128 * placement.dilation[axis] as i128
                - placement.padding[axis] as i128;
            let index = usize::try_from(expected).ok().filter(|&index| index < input[axis]);
            prop_assert_eq!(placement.index(axis, output, tap), index);
            // Only a window that extends past the end may saturate, and then beyond any input.
            let got = placement.position(axis, output, tap) as i128;
            prop_assert!(got == expected || (window.ceil_mode && got >= input[axis] as i128));
        }
        // Either answer is acceptable, as long as it is returned at once.
        let _ = placement.check_sees_input("test");
    }

    #[test]
    fn any_position_has_a_source_inside_or_none(at in any::<isize>(), len in any_size()) {
        for value in [
            PaddingValue::Zeros,
            PaddingValue::Constant(1.0),
            PaddingValue::Reflect,
            PaddingValue::Replicate,
            PaddingValue::Circular,
        ] {
            prop_assert!(value.source(at, len).is_none_or(|source| source < len));
        }
    }

    #[test]
    fn lengths_are_exact_or_too_large(sizes in prop::collection::vec(any_size(), 0..6)) {
        let product = if sizes.contains(&0) {
            Some(0)
        } else {
            sizes.iter().try_fold(1_u128, |product, &size| product.checked_mul(size as u128))
        };
        match checked_len("test", "the output", &sizes) {
            Ok(len) => prop_assert_eq!(Some(len as u128), product),
            Err(error) => {
                prop_assert_eq!(error, Error::TooLarge { op: "test", what: "the output" });
                prop_assert!(product.is_none_or(|product| product > isize::MAX as u128 / 8));
            }
        }
    }

    #[test]
    fn common_sizes_follow_pytorch_s_rule((window, input) in small_window()) {
        let axes = [0, 1].map(|axis| Axis::of(&window, input, axis));
        match window.place("test", input) {
            Ok(placement) => for (axis, expected) in axes.iter().enumerate() {
                prop_assert_eq!(placement.output[axis] as i128, expected.output());
            },
            Err(error) => {
                prop_assert!(matches!(error, Error::WindowTooLarge { .. }), "{error:?}");
                prop_assert!(axes.iter().any(|axis| axis.reach() > axis.padded()));
            }
        }
    }

    #[test]
    fn same_keeps_the_size_over_the_stride((window, input) in small_window()) {
        let window = Window { padding: Padding::Same, ceil_mode: false, ..window };
        let placement = window.place("test", input)?;
        for axis in 0..2 {
            let stride = window.stride[axis];
            prop_assert_eq!(placement.output[axis], input[axis].div_ceil(stride));
            let (before, after) = (placement.padding[axis], placement.padding[axis + 2]);
            prop_assert!(after == before || after == before + 1);
            // No more than the last window needs.
            let reach = window.dilation[axis] * (window.kernel_size[axis] - 1) + 1;
            let needed = (placement.output[axis] - 1) * stride + reach;
            prop_assert_eq!(before + after, needed.saturating_sub(input[axis]));
        }
    }

    #[test]
    fn a_pool_is_refused_where_a_window_sees_no_pixel((window, input) in small_window()) {
        let Ok(placement) = window.place("test", input) else { return Ok(()) };
        let sees = |axis: usize, output: usize| {
            (0..window.kernel_size[axis]).any(|tap| placement.index(axis, output, tap).is_some())
        };
        let all_see = (0..2).all(|axis| (0..placement.output[axis]).all(|y| sees(axis, y)));
        match placement.check_sees_input("test") {
            Ok(()) => prop_assert!(all_see),
            Err(Error::DilationTooLarge { axis, got, most, .. }) => {
                let axis = usize::from(axis == "w");
                prop_assert_eq!((got, most), (window.dilation[axis], input[axis]));
                prop_assert!(got > most && placement.padding[axis] > 0);
            }
            Err(Error::PaddingTooLarge { side, got, most, .. }) => {
                let axis = usize::from(matches!(side, "left" | "right"));
                prop_assert_eq!(most, window.dilation[axis] * (window.kernel_size[axis] - 1));
                prop_assert!(got > most);
                // In front it is always the first window; at the end a stride may skip it.
                prop_assert!(!all_see || matches!(side, "bottom" | "right"));
            }
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn padding_shows_what_its_table_says(
        len in 1_usize..=9,
        before in 0_usize..=9,
        after in 0_usize..=9,
    ) {
        let line: Vec<usize> = (0..len).collect();
        let shown = |value: PaddingValue| -> Vec<Option<usize>> {
            let positions = -(before as isize)..(len + after) as isize;
            positions.map(|at| value.source(at, len)).collect()
        };
        let around = |front: Vec<Option<usize>>, back: Vec<Option<usize>>| {
            [front, line.iter().copied().map(Some).collect(), back].concat()
        };
        let constant = around(vec![None; before], vec![None; after]);
        prop_assert_eq!(shown(PaddingValue::Zeros), constant.clone());
        prop_assert_eq!(shown(PaddingValue::Constant(1.0)), constant);
        let replicated = around(vec![Some(0); before], vec![Some(len - 1); after]);
        prop_assert_eq!(shown(PaddingValue::Replicate), replicated);

        let padding = [before, 0, after, 0];
        let reflects = PaddingValue::Reflect.check("test", [len, 1], padding);
        prop_assert_eq!(reflects.is_ok(), before < len && after < len);
        if reflects.is_ok() {
            let front = (1..=before).rev().map(Some).collect();
            let back = (0..after).map(|i| Some(len - 2 - i)).collect();
            prop_assert_eq!(shown(PaddingValue::Reflect), around(front, back));
        }
        let wraps = PaddingValue::Circular.check("test", [len, 1], padding);
        prop_assert_eq!(wraps.is_ok(), before <= len && after <= len);
        if wraps.is_ok() {
            let front = line[len - before..].iter().copied().map(Some).collect();
            let back = line[..after].iter().copied().map(Some).collect();
            prop_assert_eq!(shown(PaddingValue::Circular), around(front, back));
        }
    }
}

fn output(window: Window, input: [usize; 2]) -> [usize; 2] {
    window.place("test", input).unwrap().output
}

#[test]
fn the_textbook_s_sizes_come_out() {
    let valid = |kernel, stride| Window {
        stride: [stride; 2],
        ..Window::new([kernel; 2])
    };
    // 39x39 with 3x3, then 5x5 in steps of 2, twice.
    assert_eq!(output(valid(3, 1), [39, 39]), [37, 37]);
    assert_eq!(output(valid(5, 2), [37, 37]), [17, 17]);
    assert_eq!(output(valid(5, 2), [17, 17]), [7, 7]);
    // Pools.
    assert_eq!(output(valid(3, 1), [5, 5]), [3, 3]);
    assert_eq!(output(valid(2, 2), [28, 28]), [14, 14]);
    // 6x6 with 3x3: smaller, or the same with padding of (3 - 1) / 2.
    assert_eq!(output(valid(3, 1), [6, 6]), [4, 4]);
    for padding in [Padding::Same, Padding::all(1)] {
        assert_eq!(
            output(
                Window {
                    padding,
                    ..valid(3, 1)
                },
                [6, 6]
            ),
            [6, 6]
        );
    }
}

#[test]
fn same_padding_puts_the_odd_pixel_last() {
    let window = Window {
        padding: Padding::Same,
        ..Window::new([4, 2])
    };
    assert_eq!(window.place("test", [6, 6]).unwrap().padding, [1, 0, 2, 1]);
}

#[test]
fn ceil_mode_leaves_out_a_window_that_would_start_in_the_padding() {
    let window = |padding, ceil_mode| Window {
        stride: [2, 2],
        padding,
        ceil_mode,
        ..Window::new([3, 3])
    };
    // 6 pixels in steps of 2 leave one over, which ceil covers.
    assert_eq!(output(window(Padding::Valid, false), [6, 6]), [2, 2]);
    assert_eq!(output(window(Padding::Valid, true), [6, 6]), [3, 3]);
    // With 1 of padding on each side the third window starts at 3, the fourth would at 5.
    assert_eq!(output(window(Padding::all(1), false), [5, 5]), [3, 3]);
    assert_eq!(output(window(Padding::all(1), true), [5, 5]), [3, 3]);
    // 2x2 in steps of 2 on 3 pixels with 1 of padding: a third window would start at 3.
    let small = Window {
        kernel_size: [2, 2],
        ..window(Padding::all(1), true)
    };
    assert_eq!(output(small, [3, 3]), [2, 2]);
}

#[test]
fn errors_say_what_does_not_fit() {
    let window = Window {
        dilation: [1, 3],
        padding: Padding::Explicit([0, 1, 0, 0]),
        ..Window::new([3, 3])
    };
    let error = window.place("conv2d", [9, 5]).unwrap_err();
    assert_eq!(
        error,
        Error::WindowTooLarge {
            op: "conv2d",
            axis: "w",
            reach: 7,
            padded: 6,
            input: 5
        }
    );
    assert_eq!(
        error.to_string(),
        "conv2d: the window reaches over 7 along w, \
         but the padded input has only 6 (5 before padding)"
    );

    let error = PaddingValue::Reflect
        .check("pad2d", [3, 4], [2, 4, 0, 0])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "pad2d: padding 4 on the left, expected at most 3 (reflect reads it from inside the input)"
    );

    let window = Window {
        stride: [1, 1 << 60],
        ..Window::new([3, 3])
    };
    let error = window.place("conv2d", [9, 5]).unwrap_err();
    assert_eq!(
        error,
        Error::OverLimit {
            op: "conv2d",
            what: "stride",
            axis: "w",
            limit: Window::LIMIT,
            got: 1 << 60
        }
    );
    assert_eq!(
        error.to_string(),
        "conv2d: stride 1152921504606846976 along w, expected at most 16777216"
    );

    // Taps at -1 and 1 of a single pixel.
    let window = Window {
        dilation: [2, 1],
        padding: Padding::Explicit([1, 0, 1, 0]),
        ..Window::new([2, 1])
    };
    let error = window
        .place("max_pool2d", [1, 1])
        .unwrap()
        .check_sees_input("max_pool2d");
    assert_eq!(
        error,
        Err(Error::DilationTooLarge {
            op: "max_pool2d",
            axis: "h",
            got: 2,
            most: 1
        })
    );
}

#[test]
fn a_line_without_pixels_has_no_sources() {
    for value in [
        PaddingValue::Reflect,
        PaddingValue::Replicate,
        PaddingValue::Circular,
    ] {
        assert_eq!(value.source(0, 0), None);
        assert_eq!(value.source(-1, 0), None);
        assert_eq!(
            value.check("pad2d", [0, 1], [0, 0, 0, 0]),
            Err(Error::Zero {
                op: "pad2d",
                what: "input size"
            })
        );
    }
}
