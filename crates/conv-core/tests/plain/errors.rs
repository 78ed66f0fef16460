//! Sizes that do not fit together are refused with the axis and both sizes.

use conv_core::ndarray::{Array1, Array2, Array4};
use conv_core::{
    AvgPool2dOptions, Conv2dOptions, CorrelateOptions, Error, MaxPool2dOptions, Padding,
    PaddingValue, convolve2d, cross_correlate2d, plain,
};

fn input(channels: usize, height: usize, width: usize) -> Array4<f32> {
    Array4::zeros((1, channels, height, width))
}

fn conv2d(
    channels: usize,
    weight: [usize; 4],
    bias: Option<usize>,
    options: &Conv2dOptions,
) -> Option<Error> {
    let bias = bias.map(Array1::zeros);
    plain::conv2d(
        input(channels, 5, 6).view(),
        Array4::zeros(weight).view(),
        bias.as_ref().map(|bias| bias.view()),
        options,
    )
    .err()
}

#[test]
fn conv2d_names_the_axis_and_both_numbers() {
    let op = "conv2d";
    let options = Conv2dOptions::default();
    let what = "input channels per group (weight axis 1)";
    let error = conv2d(4, [8, 3, 1, 1], None, &options).unwrap();
    assert_eq!(
        error,
        Error::Mismatch {
            op,
            what,
            expected: 4,
            got: 3
        }
    );
    assert_eq!(
        error.to_string(),
        "conv2d: input channels per group (weight axis 1) is 3, expected 4"
    );
    let grouped = Conv2dOptions {
        groups: 2,
        ..options
    };
    assert_eq!(
        conv2d(4, [8, 4, 1, 1], None, &grouped),
        Some(Error::Mismatch {
            op,
            what,
            expected: 2,
            got: 4
        })
    );
    assert_eq!(
        conv2d(3, [8, 1, 1, 1], None, &grouped),
        Some(Error::Groups {
            op,
            what: "input channels (input axis 1)",
            got: 3,
            groups: 2
        })
    );
    assert_eq!(
        conv2d(4, [7, 2, 1, 1], None, &grouped),
        Some(Error::Groups {
            op,
            what: "output channels (weight axis 0)",
            got: 7,
            groups: 2
        })
    );
    assert_eq!(
        conv2d(4, [8, 4, 1, 1], Some(7), &options),
        Some(Error::Mismatch {
            op,
            what: "bias length",
            expected: 8,
            got: 7
        })
    );
    assert_eq!(
        conv2d(4, [8, 4, 3, 7], None, &options),
        Some(Error::WindowTooLarge {
            op,
            axis: "w",
            reach: 7,
            padded: 6,
            input: 6
        })
    );
}

#[test]
fn conv2d_refuses_zeros() {
    let zero = |what| Some(Error::Zero { op: "conv2d", what });
    let options = Conv2dOptions::default();
    let no_groups = Conv2dOptions {
        groups: 0,
        ..options
    };
    assert_eq!(conv2d(4, [8, 4, 1, 1], None, &no_groups), zero("groups"));
    let no_stride = Conv2dOptions {
        stride: [1, 0],
        ..options
    };
    assert_eq!(conv2d(4, [8, 4, 1, 1], None, &no_stride), zero("stride"));
    let no_dilation = Conv2dOptions {
        dilation: [0, 1],
        ..options
    };
    assert_eq!(
        conv2d(4, [8, 4, 1, 1], None, &no_dilation),
        zero("dilation")
    );
    assert_eq!(conv2d(4, [8, 4, 0, 1], None, &options), zero("kernel size"));
    assert_eq!(
        conv2d(0, [8, 0, 1, 1], None, &options),
        zero("input channels (input axis 1)")
    );
    assert_eq!(
        conv2d(4, [0, 4, 1, 1], None, &options),
        zero("output channels (weight axis 0)")
    );
}

#[test]
fn conv2d_refuses_padding_that_cannot_be_filled() {
    let options = |padding_value, padding| Conv2dOptions {
        padding_value,
        padding: Padding::Explicit(padding),
        ..Default::default()
    };
    let error = conv2d(
        1,
        [1, 1, 1, 1],
        None,
        &options(PaddingValue::Reflect, [0, 0, 5, 0]),
    );
    assert!(
        matches!(
            error,
            Some(Error::PaddingTooLarge {
                side: "bottom",
                got: 5,
                most: 4,
                ..
            })
        ),
        "{error:?}"
    );
    let error = conv2d(
        1,
        [1, 1, 1, 1],
        None,
        &options(PaddingValue::Circular, [5, 7, 5, 6]),
    );
    assert!(
        matches!(
            error,
            Some(Error::PaddingTooLarge {
                side: "left",
                got: 7,
                most: 6,
                ..
            })
        ),
        "{error:?}"
    );
}

#[test]
fn pools_refuse_windows_in_the_padding_alone() {
    let picture = input(1, 4, 4);
    let padding = Padding::Explicit([0, 0, 0, 2]);
    let expected = Error::PaddingTooLarge {
        op: "max_pool2d",
        side: "right",
        got: 2,
        most: 1,
        why: "a window could lie in the padding alone",
    };
    let options = MaxPool2dOptions {
        padding,
        ..MaxPool2dOptions::new([2, 2])
    };
    assert_eq!(plain::max_pool2d(picture.view(), &options), Err(expected));
    let options = AvgPool2dOptions {
        padding,
        ..AvgPool2dOptions::new([2, 2])
    };
    assert!(matches!(
        plain::avg_pool2d(picture.view(), &options),
        Err(Error::PaddingTooLarge {
            op: "avg_pool2d",
            side: "right",
            ..
        })
    ));
}

#[test]
fn pools_refuse_what_does_not_fit() {
    let picture = input(1, 4, 3);
    let op = "max_pool2d";
    let pool = |options| plain::max_pool2d(picture.view(), &options).err();
    assert_eq!(
        pool(MaxPool2dOptions::new([4, 4])),
        Some(Error::WindowTooLarge {
            op,
            axis: "w",
            reach: 4,
            padded: 3,
            input: 3
        })
    );
    let what = "kernel size";
    assert_eq!(
        pool(MaxPool2dOptions::new([0, 1])),
        Some(Error::Zero { op, what })
    );
    let nothing = input(1, 0, 3);
    let what = "input size";
    assert_eq!(
        plain::max_pool2d(nothing.view(), &MaxPool2dOptions::new([1, 1])),
        Err(Error::Zero { op, what })
    );
    assert_eq!(
        plain::global_avg_pool2d(nothing.view()),
        Err(Error::Zero {
            op: "global_avg_pool2d",
            what
        })
    );
    assert_eq!(
        plain::adaptive_max_pool2d(picture.view(), [1, 0]),
        Err(Error::Zero {
            op: "adaptive_max_pool2d",
            what: "output size"
        })
    );
    assert_eq!(
        plain::pad2d(nothing.view(), [1; 4], PaddingValue::Zeros),
        Err(Error::Zero { op: "pad2d", what })
    );
    assert_eq!(
        plain::upsample_nearest2d(picture.view(), [2, 0]),
        Err(Error::Zero {
            op: "upsample_nearest2d",
            what: "scale"
        })
    );
}

#[test]
fn linear_refuses_what_does_not_fit() {
    let linear = |weight: (usize, usize), bias: usize| {
        let (input, bias) = (Array2::<f32>::zeros((2, 3)), Array1::zeros(bias));
        plain::linear(
            input.view(),
            Array2::zeros(weight).view(),
            Some(bias.view()),
        )
        .err()
    };
    let op = "linear";
    let what = "inputs (weight axis 1)";
    assert_eq!(
        linear((5, 4), 5),
        Some(Error::Mismatch {
            op,
            what,
            expected: 3,
            got: 4
        })
    );
    let what = "bias length";
    assert_eq!(
        linear((5, 3), 4),
        Some(Error::Mismatch {
            op,
            what,
            expected: 5,
            got: 4
        })
    );
    let what = "outputs (weight axis 0)";
    assert_eq!(linear((0, 3), 0), Some(Error::Zero { op, what }));
}

#[test]
fn correlations_go_by_their_own_names() {
    let (input, kernel) = (Array2::<f32>::zeros((2, 2)), Array2::zeros((3, 1)));
    let options = CorrelateOptions::default();
    let too_large = |op| Error::WindowTooLarge {
        op,
        axis: "h",
        reach: 3,
        padded: 2,
        input: 2,
    };
    assert_eq!(
        cross_correlate2d(input.view(), kernel.view(), &options),
        Err(too_large("cross_correlate2d"))
    );
    assert_eq!(
        convolve2d(input.view(), kernel.view(), &options),
        Err(too_large("convolve2d"))
    );
}

#[test]
fn outputs_that_no_memory_holds_are_an_error() {
    let pixel = input(1, 1, 1);
    // Sizes that overflow, and sizes that do not but exceed any memory.
    for size in [usize::MAX, isize::MAX as usize, 1 << 28] {
        let refused = |op, side: usize| {
            let what = "the output";
            Err(if size == 1 << 28 {
                let bytes = side * side * 4;
                Error::OutOfMemory { op, what, bytes }
            } else {
                Error::TooLarge { op, what }
            })
        };
        assert_eq!(
            plain::upsample_nearest2d(pixel.view(), [size; 2]),
            refused("upsample_nearest2d", size)
        );
        assert_eq!(
            plain::adaptive_avg_pool2d(pixel.view(), [size; 2]),
            refused("adaptive_avg_pool2d", size)
        );
        let padded = plain::pad2d(pixel.view(), [size; 4], PaddingValue::Zeros);
        assert_eq!(
            padded,
            refused("pad2d", size.wrapping_mul(2).wrapping_add(1))
        );
        let options = Conv2dOptions {
            padding: Padding::all(size),
            ..Default::default()
        };
        let output = plain::conv2d(pixel.view(), pixel.view(), None, &options);
        assert!(
            matches!(
                output,
                Err(Error::TooLarge { op: "conv2d", .. } | Error::OutOfMemory { op: "conv2d", .. })
            ),
            "{output:?}"
        );
    }
}

#[test]
fn no_pictures_give_no_output() {
    let none = Array4::<f32>::zeros((0, 3, 4, 4));
    let weight = Array4::zeros((2, 3, 3, 3));
    let output = plain::conv2d(none.view(), weight.view(), None, &Conv2dOptions::default());
    assert_eq!(output.unwrap().dim(), (0, 2, 2, 2));
    let output = plain::max_pool2d(none.view(), &MaxPool2dOptions::new([2, 2]));
    assert_eq!(output.unwrap().dim(), (0, 3, 2, 2));
    let output = plain::avg_pool2d(none.view(), &AvgPool2dOptions::new([2, 2]));
    assert_eq!(output.unwrap().dim(), (0, 3, 2, 2));
    assert_eq!(
        plain::global_avg_pool2d(none.view()).unwrap().dim(),
        (0, 3, 1, 1)
    );
    assert_eq!(
        plain::upsample_nearest2d(none.view(), [2, 2])
            .unwrap()
            .dim(),
        (0, 3, 8, 8)
    );
    let output = plain::linear(
        Array2::<f32>::zeros((0, 3)).view(),
        Array2::zeros((2, 3)).view(),
        None,
    );
    assert_eq!(output.unwrap().dim(), (0, 2));
}
