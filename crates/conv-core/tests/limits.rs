//! Sizes at a limit and beyond it, by hand: what the error says, and what takes neither time nor memory.
//! `extremes.rs` has random ones.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use conv_core::blocked::{self, Conv2dSpec, Layout, Store, View, ViewMut};
use conv_core::{
    AvgPool2dOptions, Conv2dOptions, Error, Isa, MaxPool2dOptions, POOL_KERNEL_LIMIT, Padding,
    Window, conv2d_on, plain,
};
use ndarray::{Array1, Array2, Array4};

/// An array without elements may have any number of channels, and a gradient has one value for
/// each.
#[test]
fn bias_gradients_beyond_memory_are_errors() {
    for channels in [1 << 60, 1 << 58] {
        let none = Array4::<f32>::zeros((0, channels, 0, 0));
        let flat = Array2::<f32>::zeros((0, channels));
        for (op, got) in [
            ("conv2d_grad_bias", plain::conv2d_grad_bias(none.view())),
            (
                "conv_transpose2d_grad_bias",
                plain::conv_transpose2d_grad_bias(none.view()),
            ),
            ("linear_grad_bias", plain::linear_grad_bias(flat.view())),
        ] {
            let what = "the output";
            let expected = if channels == 1 << 60 {
                Error::TooLarge { op, what }
            } else {
                let bytes = 4 * channels;
                Error::OutOfMemory { op, what, bytes }
            };
            assert_eq!(got, Err(expected));
        }
    }
    // Pictures without a pixel need no loop over them.
    let none = Array4::<f32>::zeros((1 << 60, 2, 0, 3));
    assert_eq!(plain::conv2d_grad_bias(none.view()), Ok(Array1::zeros(2)));
}

/// A broadcast view has one element in memory and any number in its shape.
#[test]
fn broadcast_views_beyond_memory_are_errors() {
    let one = Array4::<f32>::ones((1, 1, 1, 1));
    let many = one.broadcast((1, 1, 1 << 29, 1 << 29)).unwrap();
    let out_of_memory = |op| Error::OutOfMemory {
        op,
        what: "a contiguous copy of a view",
        bytes: 1 << 60,
    };
    let got = plain::conv2d_grad_bias(many);
    assert_eq!(got, Err(out_of_memory("conv2d_grad_bias")));
    let got = plain::global_avg_pool2d(many);
    assert_eq!(got, Err(out_of_memory("global_avg_pool2d")));
}

#[test]
fn limits_are_told_with_option_axis_and_both_numbers() {
    let picture = Array4::<f32>::zeros([1, 1, 5, 5]);
    let options = MaxPool2dOptions {
        padding: Padding::Same,
        ..MaxPool2dOptions::new([1, 1 << 20])
    };
    let expected = |op| Error::OverLimit {
        op,
        what: "kernel size",
        axis: "w",
        limit: POOL_KERNEL_LIMIT,
        got: 1 << 20,
    };
    assert_eq!(
        plain::max_pool2d(picture.view(), &options),
        Err(expected("max_pool2d"))
    );
    let options = AvgPool2dOptions {
        padding: Padding::Same,
        ..AvgPool2dOptions::new([1, 1 << 20])
    };
    assert_eq!(
        plain::avg_pool2d(picture.view(), &options),
        Err(expected("avg_pool2d"))
    );
    // A step that is never taken may be as large as the limit ...
    let weight = Array4::<f32>::zeros([1, 1, 1, 1]);
    let far = |step| Conv2dOptions {
        stride: [1, step],
        dilation: [step, 1],
        ..Default::default()
    };
    for isa in Isa::available() {
        let got = conv2d_on(
            isa,
            picture.view(),
            weight.view(),
            None,
            &far(Window::LIMIT),
        );
        assert_eq!(got.unwrap().dim(), (1, 1, 5, 1));
        // ... and no larger.
        let got = conv2d_on(isa, picture.view(), weight.view(), None, &far(1 << 60));
        assert_eq!(
            got,
            Err(Error::OverLimit {
                op: "conv2d",
                what: "stride",
                axis: "w",
                limit: Window::LIMIT,
                got: 1 << 60
            })
        );
    }
}

/// Found by chance in a long run of `operations_on_layouts_answer`: rows without pixels, which any
/// scale enlarges to no pixels, in memory for a halo alone.
#[test]
fn rows_without_pixels_are_enlarged_by_any_scale() {
    let from = Layout::blocked(1, 16, [1, 0]);
    let to = from.with_halo([0, 1, 0, 0]);
    let (source, mut target) = (vec![0.0; from.len()], vec![2.0; to.len()]);
    for scale in [1 << 60, usize::MAX] {
        let input = View::new(from, &source).unwrap();
        let output = ViewMut::new(to, &mut target).unwrap();
        assert_eq!(
            blocked::upsample_nearest2d(input, [1, scale], output),
            Ok(())
        );
    }
    assert_eq!(target, [2.0; 16]);
}

/// Packing checks the window, so nothing later has to compute with one that is out of range.
#[test]
fn a_convolution_out_of_range_is_not_packed() {
    let weight = Array4::<f32>::zeros([1, 1, 1, 1]);
    let far = |stride, dilation| Conv2dOptions {
        stride,
        dilation,
        ..Default::default()
    };
    for (what, axis, options) in [
        ("stride", "h", far([1 << 60, 1], [1, 1])),
        ("dilation", "w", far([1, 1], [1, 1 << 60])),
    ] {
        let conv = Conv2dSpec::new(weight.dim().into(), &options, Isa::best());
        let expected = Error::OverLimit {
            op: "conv2d",
            what,
            axis,
            limit: Window::LIMIT,
            got: 1 << 60,
        };
        assert_eq!(conv.unwrap_err(), expected);
    }
}

/// The largest window on a picture of 200 x 200: computed by area this would take 1600 million
/// comparisons per channel, and 30,000 million at 416 x 416.
#[test]
fn a_window_over_the_whole_picture_costs_no_more_than_its_sides() {
    let input = Array4::<f32>::zeros([1, 2, 200, 200]);
    let max = MaxPool2dOptions {
        stride: [1, 1],
        padding: Padding::Same,
        ..MaxPool2dOptions::new([POOL_KERNEL_LIMIT; 2])
    };
    let avg = AvgPool2dOptions {
        stride: [1, 1],
        padding: Padding::Same,
        ..AvgPool2dOptions::new([POOL_KERNEL_LIMIT; 2])
    };
    let same = input.dim();
    assert_eq!(plain::max_pool2d(input.view(), &max).unwrap().dim(), same);
    assert_eq!(plain::avg_pool2d(input.view(), &avg).unwrap().dim(), same);
    let grad = plain::max_pool2d_grad(input.view(), input.view(), &max);
    assert_eq!(grad.unwrap().dim(), same);
    let grad = plain::avg_pool2d_grad(input.view(), [200, 200], &avg);
    assert_eq!(grad.unwrap().dim(), same);

    let layout = Layout::blocked(1, 2, [200, 200]);
    let (source, mut target) = (vec![0.0; layout.len()], vec![0.0; layout.len()]);
    let input = View::new(layout, &source).unwrap();
    for isa in Isa::available() {
        macro_rules! out {
            () => {
                ViewMut::new(layout, &mut target).unwrap()
            };
        }
        blocked::max_pool2d(isa, input, &max, out!()).unwrap();
        blocked::avg_pool2d(isa, input, &avg, out!()).unwrap();
        blocked::max_pool2d_grad(isa, input, &max, input, out!(), Store::Add).unwrap();
        blocked::avg_pool2d_grad(isa, &avg, input, out!(), Store::Add).unwrap();
    }
}
