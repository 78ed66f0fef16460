//! Sizes that do not fit together are refused with the axis and both sizes.

use conv_core::ndarray::{Array2, Array4};
use conv_core::{
    AvgPool2dOptions, Conv2dOptions, ConvTranspose2dOptions, Error, MaxPool2dOptions, Padding,
    PaddingValue, Result, Window, plain,
};

const AXES: [&str; 4] = [
    "pictures (grad_output axis 0)",
    "channels (grad_output axis 1)",
    "height (grad_output axis 2)",
    "width (grad_output axis 3)",
];

fn zeros(shape: [usize; 4]) -> Array4<f32> {
    Array4::zeros(shape)
}

fn mismatch<T>(op: &'static str, what: &'static str, expected: usize, got: usize) -> Result<T> {
    Err(Error::Mismatch {
        op,
        what,
        expected,
        got,
    })
}

/// Requests a gradient with `grad_output` one larger along each of `axes`, and with size zero along
/// it.
#[track_caller]
fn refuses_other_extents(
    op: &'static str,
    shape: [usize; 4],
    axes: &[usize],
    gradient: impl Fn(Array4<f32>) -> Result<Array4<f32>>,
) {
    assert!(gradient(zeros(shape)).is_ok());
    for &axis in axes {
        let mut larger = shape;
        larger[axis] += 1;
        let expected = shape[axis];
        let error = mismatch(op, AXES[axis], expected, expected + 1);
        assert_eq!(gradient(zeros(larger)), error);
    }
}

#[test]
fn a_wrong_grad_output_is_told_by_axis() {
    let input = zeros([2, 4, 9, 8]);
    let options = Conv2dOptions {
        stride: [2, 1],
        groups: 2,
        padding: Padding::Explicit([1, 0, 0, 1]),
        ..Default::default()
    };
    let weight = zeros([6, 2, 3, 2]);
    let output = [2, 6, 4, 8];
    // The gradient itself determines the number of pictures or channels.
    refuses_other_extents("conv2d_grad_input", output, &[1, 2, 3], |grads| {
        plain::conv2d_grad_input(grads.view(), weight.view(), [9, 8], &options)
    });
    refuses_other_extents("conv2d_grad_weight", output, &[0, 2, 3], |grads| {
        plain::conv2d_grad_weight(input.view(), grads.view(), [3, 2], &options)
    });

    let options = ConvTranspose2dOptions {
        stride: [2, 3],
        groups: 2,
        ..Default::default()
    };
    let weight = zeros([4, 3, 3, 2]);
    let output = [2, 6, 19, 23];
    refuses_other_extents("conv_transpose2d_grad_input", output, &[1, 2, 3], |grads| {
        plain::conv_transpose2d_grad_input(grads.view(), weight.view(), &options)
    });
    refuses_other_extents(
        "conv_transpose2d_grad_weight",
        output,
        &[0, 2, 3],
        |grads| plain::conv_transpose2d_grad_weight(input.view(), grads.view(), [3, 2], &options),
    );

    let options = MaxPool2dOptions {
        stride: [2, 3],
        ..MaxPool2dOptions::new([3, 2])
    };
    refuses_other_extents("max_pool2d_grad", [2, 4, 4, 3], &[0, 1, 2, 3], |grads| {
        plain::max_pool2d_grad(input.view(), grads.view(), &options)
    });
    let options = AvgPool2dOptions {
        stride: [2, 3],
        ..AvgPool2dOptions::new([3, 2])
    };
    refuses_other_extents("avg_pool2d_grad", [2, 4, 4, 3], &[2, 3], |grads| {
        plain::avg_pool2d_grad(grads.view(), [9, 8], &options)
    });
    refuses_other_extents("global_avg_pool2d_grad", [2, 4, 1, 1], &[2, 3], |grads| {
        plain::global_avg_pool2d_grad(grads.view(), [9, 8])
    });
    refuses_other_extents("adaptive_max_pool2d_grad", [2, 4, 3, 2], &[0, 1], |grads| {
        plain::adaptive_max_pool2d_grad(input.view(), grads.view())
    });
    refuses_other_extents("upsample_nearest2d_grad", [2, 4, 6, 9], &[2, 3], |grads| {
        plain::upsample_nearest2d_grad(grads.view(), [2, 3])
    });
}

#[test]
fn the_message_says_it_in_one_line() {
    let (grads, weight) = (zeros([1, 2, 4, 5]), zeros([2, 3, 3, 3]));
    let options = Conv2dOptions::default();
    let error = plain::conv2d_grad_input(grads.view(), weight.view(), [6, 6], &options);
    assert_eq!(
        error.unwrap_err().to_string(),
        "conv2d_grad_input: width (grad_output axis 3) is 5, expected 4"
    );
}

#[test]
fn conv2d_s_own_errors_stay() {
    let (input, grads, weight) = (
        zeros([1, 4, 5, 6]),
        zeros([1, 2, 5, 6]),
        zeros([2, 4, 1, 1]),
    );
    let by_input = |options: &Conv2dOptions| {
        plain::conv2d_grad_input(grads.view(), weight.view(), [5, 6], options).unwrap_err()
    };
    let by_weight = |kernel_size, options: &Conv2dOptions| {
        plain::conv2d_grad_weight(input.view(), grads.view(), kernel_size, options).unwrap_err()
    };
    let options = Conv2dOptions::default();
    let no_groups = Conv2dOptions {
        groups: 0,
        ..options
    };
    let (op, what) = ("conv2d_grad_input", "groups");
    assert_eq!(by_input(&no_groups), Error::Zero { op, what });
    let three = Conv2dOptions {
        groups: 3,
        ..options
    };
    assert_eq!(
        by_input(&three),
        Error::Groups {
            op,
            what: "output channels (weight axis 0)",
            got: 2,
            groups: 3
        }
    );
    let many = Conv2dOptions {
        groups: usize::MAX,
        ..options
    };
    let what = "the number of input channels";
    assert_eq!(by_input(&many), Error::TooLarge { op, what });

    let (op, what) = ("conv2d_grad_weight", "groups");
    assert_eq!(by_weight([1, 1], &no_groups), Error::Zero { op, what });
    assert_eq!(
        by_weight([1, 1], &three),
        Error::Groups {
            op,
            what: "input channels (input axis 1)",
            got: 4,
            groups: 3
        }
    );
    let what = "kernel size";
    assert_eq!(by_weight([1, 0], &options), Error::Zero { op, what });
    let axis = "w";
    assert_eq!(
        by_weight([1, 7], &options),
        Error::WindowTooLarge {
            op,
            axis,
            reach: 7,
            padded: 6,
            input: 6
        }
    );
    let reflect = Conv2dOptions {
        padding: Padding::Explicit([5, 0, 0, 0]),
        padding_value: PaddingValue::Reflect,
        ..options
    };
    let error = by_weight([1, 1], &reflect);
    assert!(
        matches!(
            error,
            Error::PaddingTooLarge {
                side: "top",
                got: 5,
                most: 4,
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn the_dense_layer_refuses_what_does_not_fit() {
    let matrix = |rows, columns| Array2::<f32>::zeros((rows, columns));
    let op = "linear_grad_input";
    let grad = |outputs, weight: (usize, usize)| {
        plain::linear_grad_input(matrix(2, outputs).view(), matrix(weight.0, weight.1).view())
    };
    assert_eq!(
        grad(4, (5, 3)),
        mismatch(op, "outputs (grad_output axis 1)", 5, 4)
    );
    let zero = |op, what| Err(Error::Zero { op, what });
    assert_eq!(grad(0, (0, 3)), zero(op, "outputs (weight axis 0)"));
    assert_eq!(grad(5, (5, 0)), zero(op, "inputs (weight axis 1)"));

    let op = "linear_grad_weight";
    let grad = |input: (usize, usize), outputs| {
        plain::linear_grad_weight(matrix(input.0, input.1).view(), matrix(2, outputs).view())
    };
    assert_eq!(
        grad((3, 4), 5),
        mismatch(op, "pictures (grad_output axis 0)", 3, 2)
    );
    assert_eq!(grad((2, 0), 5), zero(op, "inputs (input axis 1)"));
    assert_eq!(grad((2, 4), 0), zero(op, "outputs (grad_output axis 1)"));
}

#[test]
fn sizes_of_zero_and_padding_without_a_picture() {
    let zero = |op, what| Err(Error::Zero { op, what });
    let grads = zeros([1, 1, 3, 4]);
    let nothing = zeros([1, 1, 0, 4]);
    assert_eq!(
        plain::global_avg_pool2d_grad(zeros([1, 1, 1, 1]).view(), [0, 3]),
        zero("global_avg_pool2d_grad", "input size")
    );
    assert_eq!(
        plain::adaptive_avg_pool2d_grad(nothing.view(), [3, 3]),
        zero("adaptive_avg_pool2d_grad", "output size")
    );
    assert_eq!(
        plain::adaptive_max_pool2d_grad(nothing.view(), grads.view()),
        zero("adaptive_max_pool2d_grad", "input size")
    );
    assert_eq!(
        plain::upsample_nearest2d_grad(grads.view(), [1, 0]),
        zero("upsample_nearest2d_grad", "scale")
    );
    let op = "upsample_nearest2d_grad";
    let what = "grad_output size";
    assert_eq!(
        plain::upsample_nearest2d_grad(nothing.view(), [1, 1]),
        zero(op, what)
    );
    // Three rows in steps of five: one pixel would have had five.
    assert_eq!(
        plain::upsample_nearest2d_grad(grads.view(), [5, 1]),
        mismatch(op, AXES[2], 5, 3)
    );
    let op = "pad2d_grad";
    let pad = |padding, value| plain::pad2d_grad(grads.view(), padding, value);
    let empty = plain::pad2d_grad(nothing.view(), [0; 4], PaddingValue::Zeros);
    assert_eq!(empty, zero(op, what));
    let why = "grad_output is only padding";
    assert_eq!(
        pad([1, 0, 2, 0], PaddingValue::Zeros),
        Err(Error::PaddingTooLarge {
            op,
            side: "bottom",
            got: 2,
            most: 1,
            why
        })
    );
    let error = pad([0, 2, 0, 0], PaddingValue::Reflect).unwrap_err();
    assert!(
        matches!(
            error,
            Error::PaddingTooLarge {
                side: "left",
                got: 2,
                most: 1,
                ..
            }
        ),
        "{error:?}"
    );
    let huge = pad([usize::MAX; 4], PaddingValue::Zeros).unwrap_err();
    assert!(
        matches!(huge, Error::PaddingTooLarge { side: "top", .. }),
        "{huge:?}"
    );
}

#[test]
fn gradients_that_no_memory_holds_are_an_error() {
    let pixel = zeros([1, 1, 1, 1]);
    let (what, limit) = ("the output", Window::LIMIT);
    let options = ConvTranspose2dOptions {
        stride: [limit; 2],
        ..Default::default()
    };
    let (input, weight) = (zeros([1, 1, 4, 4]), zeros([1, 1, 1, 1]));
    let output = plain::conv_transpose2d(input.view(), weight.view(), None, &options);
    let (op, side) = ("conv_transpose2d", 3 * limit + 1);
    let bytes = side * side * 4;
    assert_eq!(output, Err(Error::OutOfMemory { op, what, bytes }));
    // The stride skips all but one pixel, so the gradient is one value of many.
    let options = Conv2dOptions {
        stride: [limit; 2],
        ..Default::default()
    };
    let grad = plain::conv2d_grad_input(pixel.view(), weight.view(), [limit; 2], &options);
    let (op, bytes) = ("conv2d_grad_input", limit * limit * 4);
    assert_eq!(grad, Err(Error::OutOfMemory { op, what, bytes }));
    for size in [usize::MAX, isize::MAX as usize, 1 << 28] {
        let op = "global_avg_pool2d_grad";
        let grad = plain::global_avg_pool2d_grad(pixel.view(), [size; 2]);
        let expected = match size.checked_mul(size) {
            None => Error::TooLarge { op, what },
            Some(len) => Error::OutOfMemory {
                op,
                what,
                bytes: len * 4,
            },
        };
        assert_eq!(grad, Err(expected));
        // The expected shape of `grad_output` is reported before memory is allocated for it.
        let (op, half) = ("avg_pool2d_grad", size / 2);
        let grad = plain::avg_pool2d_grad(pixel.view(), [half, 1], &AvgPool2dOptions::new([1, 1]));
        assert_eq!(grad, mismatch(op, AXES[2], half, 1));
        // An output that would consist of padding alone.
        let options = ConvTranspose2dOptions {
            padding: [size; 4],
            output_padding: [limit - 1; 2],
            stride: [limit; 2],
            ..Default::default()
        };
        let grad = plain::conv_transpose2d_grad_input(pixel.view(), weight.view(), &options);
        assert!(
            matches!(
                grad,
                Err(Error::PaddingTooLarge { .. } | Error::TooLarge { .. })
            ),
            "{grad:?}"
        );
    }
}
