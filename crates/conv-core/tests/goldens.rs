//! The plain loops against PyTorch's numbers (`goldens/generate.py` says how they were made).

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers may fail the test"
)]

use conv_core::ndarray::{Array4, ArrayD, Ix1, Ix2, Ix4};
use conv_core::{AvgPool2dOptions, Conv2dOptions, MaxPool2dOptions, Padding, PaddingValue, plain};
use testkit::{Golden, assert_close};

fn tensor4(case: &Golden, key: &str) -> Array4<f64> {
    case.tensor(key).into_dimensionality::<Ix4>().unwrap()
}

/// PyTorch's padding, which is the same on opposite sides.
fn symmetric(case: &Golden) -> Padding {
    let [h, w] = case.sizes("padding");
    Padding::Explicit([h, w, h, w])
}

fn padding_value(case: &Golden) -> PaddingValue {
    match case.text("mode") {
        "zeros" => PaddingValue::Zeros,
        "constant" => PaddingValue::Constant(case.number("value")),
        "reflect" => PaddingValue::Reflect,
        "replicate" => PaddingValue::Replicate,
        "circular" => PaddingValue::Circular,
        other => panic!("unknown mode {other}"),
    }
}

fn max_pool2d(case: &Golden) -> ArrayD<f64> {
    let options = MaxPool2dOptions {
        kernel_size: case.sizes("kernel_size"),
        stride: case.sizes("stride"),
        dilation: case.sizes("dilation"),
        padding: symmetric(case),
        ceil_mode: case.flag("ceil_mode"),
    };
    let input = tensor4(case, "input");
    let (maxima, argmax) = plain::max_pool2d_with_argmax(input.view(), &options).unwrap();
    let argmax = argmax.mapv(|index| index as f64).into_dyn();
    assert_eq!(argmax, case.tensor("argmax"), "{options:?}");
    maxima.into_dyn()
}

fn avg_pool2d(case: &Golden) -> ArrayD<f64> {
    let options = AvgPool2dOptions {
        kernel_size: case.sizes("kernel_size"),
        stride: case.sizes("stride"),
        padding: symmetric(case),
        ceil_mode: case.flag("ceil_mode"),
        count_include_pad: case.flag("count_include_pad"),
    };
    plain::avg_pool2d(tensor4(case, "input").view(), &options)
        .unwrap()
        .into_dyn()
}

fn conv2d(case: &Golden) -> ArrayD<f64> {
    let options = Conv2dOptions {
        stride: case.sizes("stride"),
        dilation: case.sizes("dilation"),
        groups: case.number("groups") as usize,
        padding: symmetric(case),
        padding_value: padding_value(case),
    };
    let (input, weight) = (tensor4(case, "input"), tensor4(case, "weight"));
    let bias = case.tensor("bias").into_dimensionality::<Ix1>().unwrap();
    plain::conv2d(input.view(), weight.view(), Some(bias.view()), &options)
        .unwrap()
        .into_dyn()
}

fn linear(case: &Golden) -> ArrayD<f64> {
    let matrix = |key| case.tensor(key).into_dimensionality::<Ix2>().unwrap();
    let bias = case.tensor("bias").into_dimensionality::<Ix1>().unwrap();
    let (input, weight) = (matrix("input"), matrix("weight"));
    plain::linear(input.view(), weight.view(), Some(bias.view()))
        .unwrap()
        .into_dyn()
}

#[test]
fn every_golden_agrees() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/pytorch.json");
    let mut ops = std::collections::BTreeSet::new();
    for case in Golden::open(path).cases() {
        let op = case.text("op");
        let input = || tensor4(&case, "input");
        let got = match op {
            "max_pool2d" => max_pool2d(&case),
            "avg_pool2d" => avg_pool2d(&case),
            "adaptive_avg_pool2d" => plain::adaptive_avg_pool2d(input().view(), case.sizes("size"))
                .unwrap()
                .into_dyn(),
            "adaptive_max_pool2d" => plain::adaptive_max_pool2d(input().view(), case.sizes("size"))
                .unwrap()
                .into_dyn(),
            "pad2d" => plain::pad2d(input().view(), case.sizes("padding"), padding_value(&case))
                .unwrap()
                .into_dyn(),
            "conv2d" => conv2d(&case),
            "upsample_nearest2d" => plain::upsample_nearest2d(input().view(), case.sizes("scale"))
                .unwrap()
                .into_dyn(),
            "linear" => linear(&case),
            other => panic!("unknown operation {other}"),
        };
        // The numbers are such that sums are exact; a mean divides once or twice.
        let expected = case.tensor("output");
        let divides = op.contains("avg");
        let rounding = if divides { 2.0 * f64::EPSILON } else { 0.0 };
        let largest = expected.fold(0.0_f64, |largest, x| largest.max(x.abs()));
        assert_close(got.view(), expected.view(), |_| rounding * largest);
        ops.insert(op.to_owned());
    }
    assert_eq!(ops.len(), 8, "{ops:?}");
}
