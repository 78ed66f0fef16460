//! The plain loops and their gradients against PyTorch's values (`goldens/generate.py` documents
//! how they were generated).

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers may fail the test"
)]

use std::collections::BTreeSet;

use conv_core::ndarray::{Array1, Array2, Array4, ArrayD, Ix1, Ix2, Ix4};
use conv_core::{
    AvgPool2dOptions, Conv2dOptions, ConvTranspose2dOptions, MaxPool2dOptions, Padding,
    PaddingValue, plain,
};
use testkit::{Golden, assert_close};

fn tensor4(case: &Golden, key: &str) -> Array4<f64> {
    case.tensor(key).into_dimensionality::<Ix4>().unwrap()
}

fn matrix(case: &Golden, key: &str) -> Array2<f64> {
    case.tensor(key).into_dimensionality::<Ix2>().unwrap()
}

fn vector(case: &Golden, key: &str) -> Array1<f64> {
    case.tensor(key).into_dimensionality::<Ix1>().unwrap()
}

/// The sizes of a tensor's image axes.
fn size(tensor: &Array4<f64>) -> [usize; 2] {
    let (_, _, height, width) = tensor.dim();
    [height, width]
}

/// PyTorch's padding, which is the same on opposite sides.
fn symmetric(case: &Golden) -> [usize; 4] {
    let [h, w] = case.sizes("padding");
    [h, w, h, w]
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

/// The output and, if the file has them, the gradients, by the file's names.
type Results = Vec<(&'static str, ArrayD<f64>)>;

fn max_pool2d(case: &Golden) -> Results {
    let options = MaxPool2dOptions {
        kernel_size: case.sizes("kernel_size"),
        stride: case.sizes("stride"),
        dilation: case.sizes("dilation"),
        padding: Padding::Explicit(symmetric(case)),
        ceil_mode: case.flag("ceil_mode"),
    };
    let input = tensor4(case, "input");
    let (maxima, argmax) = plain::max_pool2d_with_argmax(input.view(), &options).unwrap();
    let mut results = vec![("output", maxima.into_dyn())];
    if case.has("argmax") {
        let argmax = argmax.mapv(|index| index as f64);
        results.push(("argmax", argmax.into_dyn()));
    }
    if case.has("grad_output") {
        let grad_output = tensor4(case, "grad_output");
        let grad = plain::max_pool2d_grad(input.view(), grad_output.view(), &options);
        results.push(("grad_input", grad.unwrap().into_dyn()));
    }
    results
}

fn avg_pool2d(case: &Golden) -> Results {
    let options = AvgPool2dOptions {
        kernel_size: case.sizes("kernel_size"),
        stride: case.sizes("stride"),
        padding: Padding::Explicit(symmetric(case)),
        ceil_mode: case.flag("ceil_mode"),
        count_include_pad: case.flag("count_include_pad"),
    };
    let input = tensor4(case, "input");
    let means = plain::avg_pool2d(input.view(), &options).unwrap();
    let mut results = vec![("output", means.into_dyn())];
    if case.has("grad_output") {
        let grad_output = tensor4(case, "grad_output");
        let grad = plain::avg_pool2d_grad(grad_output.view(), size(&input), &options);
        results.push(("grad_input", grad.unwrap().into_dyn()));
    }
    results
}

fn adaptive_avg_pool2d(case: &Golden) -> Results {
    let input = tensor4(case, "input");
    let bins = case.sizes("size");
    let means = plain::adaptive_avg_pool2d(input.view(), bins).unwrap();
    let mut results = vec![("output", means.into_dyn())];
    if case.has("grad_output") {
        let grad_output = tensor4(case, "grad_output");
        let grad = plain::adaptive_avg_pool2d_grad(grad_output.view(), size(&input)).unwrap();
        if bins == [1, 1] {
            let global = plain::global_avg_pool2d_grad(grad_output.view(), size(&input));
            assert_eq!(grad, global.unwrap());
        }
        results.push(("grad_input", grad.into_dyn()));
    }
    results
}

fn adaptive_max_pool2d(case: &Golden) -> Results {
    let input = tensor4(case, "input");
    let maxima = plain::adaptive_max_pool2d(input.view(), case.sizes("size")).unwrap();
    let mut results = vec![("output", maxima.into_dyn())];
    if case.has("grad_output") {
        let grad_output = tensor4(case, "grad_output");
        let grad = plain::adaptive_max_pool2d_grad(input.view(), grad_output.view());
        results.push(("grad_input", grad.unwrap().into_dyn()));
    }
    results
}

fn pad2d(case: &Golden) -> Results {
    let input = tensor4(case, "input");
    let (padding, value) = (case.sizes("padding"), padding_value(case));
    let padded = plain::pad2d(input.view(), padding, value).unwrap();
    let mut results = vec![("output", padded.into_dyn())];
    if case.has("grad_output") {
        let grad_output = tensor4(case, "grad_output");
        let grad = plain::pad2d_grad(grad_output.view(), padding, value).unwrap();
        results.push(("grad_input", grad.into_dyn()));
    }
    results
}

fn upsample_nearest2d(case: &Golden) -> Results {
    let input = tensor4(case, "input");
    let scale = case.sizes("scale");
    let upsampled = plain::upsample_nearest2d(input.view(), scale).unwrap();
    let mut results = vec![("output", upsampled.into_dyn())];
    if case.has("grad_output") {
        let grad_output = tensor4(case, "grad_output");
        let grad = plain::upsample_nearest2d_grad(grad_output.view(), scale).unwrap();
        results.push(("grad_input", grad.into_dyn()));
    }
    results
}

fn conv2d(case: &Golden) -> Results {
    let options = Conv2dOptions {
        stride: case.sizes("stride"),
        dilation: case.sizes("dilation"),
        groups: case.number("groups") as usize,
        padding: Padding::Explicit(symmetric(case)),
        padding_value: padding_value(case),
    };
    let (input, weight) = (tensor4(case, "input"), tensor4(case, "weight"));
    let bias = vector(case, "bias");
    let output = plain::conv2d(input.view(), weight.view(), Some(bias.view()), &options).unwrap();
    let mut results = vec![("output", output.into_dyn())];
    if case.has("grad_output") {
        let grad_output = tensor4(case, "grad_output");
        let grads = grad_output.view();
        let grad_input = plain::conv2d_grad_input(grads, weight.view(), size(&input), &options);
        let grad_weight = plain::conv2d_grad_weight(input.view(), grads, size(&weight), &options);
        results.extend([
            ("grad_input", grad_input.unwrap().into_dyn()),
            ("grad_weight", grad_weight.unwrap().into_dyn()),
            (
                "grad_bias",
                plain::conv2d_grad_bias(grads).unwrap().into_dyn(),
            ),
        ]);
    }
    results
}

fn conv_transpose2d(case: &Golden) -> Results {
    let options = ConvTranspose2dOptions {
        stride: case.sizes("stride"),
        dilation: case.sizes("dilation"),
        groups: case.number("groups") as usize,
        padding: symmetric(case),
        output_padding: case.sizes("output_padding"),
    };
    let (input, weight) = (tensor4(case, "input"), tensor4(case, "weight"));
    let (bias, grad_output) = (vector(case, "bias"), tensor4(case, "grad_output"));
    let (x, w, grads) = (input.view(), weight.view(), grad_output.view());
    let output = plain::conv_transpose2d(x, w, Some(bias.view()), &options);
    let grad_input = plain::conv_transpose2d_grad_input(grads, w, &options);
    let grad_weight = plain::conv_transpose2d_grad_weight(x, grads, size(&weight), &options);
    vec![
        ("output", output.unwrap().into_dyn()),
        ("grad_input", grad_input.unwrap().into_dyn()),
        ("grad_weight", grad_weight.unwrap().into_dyn()),
        (
            "grad_bias",
            plain::conv_transpose2d_grad_bias(grads).unwrap().into_dyn(),
        ),
    ]
}

fn linear(case: &Golden) -> Results {
    let (input, weight) = (matrix(case, "input"), matrix(case, "weight"));
    let bias = vector(case, "bias");
    let output = plain::linear(input.view(), weight.view(), Some(bias.view())).unwrap();
    let mut results = vec![("output", output.into_dyn())];
    if case.has("grad_output") {
        let grad_output = matrix(case, "grad_output");
        let grads = grad_output.view();
        let grad_input = plain::linear_grad_input(grads, weight.view()).unwrap();
        let grad_weight = plain::linear_grad_weight(input.view(), grads).unwrap();
        results.extend([
            ("grad_input", grad_input.into_dyn()),
            ("grad_weight", grad_weight.into_dyn()),
            (
                "grad_bias",
                plain::linear_grad_bias(grads).unwrap().into_dyn(),
            ),
        ]);
    }
    results
}

#[test]
fn every_golden_agrees() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/pytorch.json");
    let mut compared = BTreeSet::new();
    for case in Golden::open(path).cases() {
        let op = case.text("op");
        let results = match op {
            "max_pool2d" => max_pool2d(&case),
            "avg_pool2d" => avg_pool2d(&case),
            "adaptive_avg_pool2d" => adaptive_avg_pool2d(&case),
            "adaptive_max_pool2d" => adaptive_max_pool2d(&case),
            "pad2d" => pad2d(&case),
            "conv2d" => conv2d(&case),
            "conv_transpose2d" => conv_transpose2d(&case),
            "upsample_nearest2d" => upsample_nearest2d(&case),
            "linear" => linear(&case),
            other => panic!("unknown operation {other}"),
        };
        for (name, got) in results {
            // The values are chosen so that sums are exact. A mean divides, and so does its
            // gradient, which then adds up the shares of at most four windows: four roundings of a
            // share and four of a sum of up to four shares, half an epsilon each.
            let expected = case.tensor(name);
            let (roundings, of) = match (op.contains("avg"), name) {
                (false, _) => (0.0, name),
                (true, "output") => (2.0, name),
                (true, _) => (10.0, "grad_output"),
            };
            let largest = case
                .tensor(of)
                .fold(0.0_f64, |largest, x| largest.max(x.abs()));
            let bound = roundings * f64::EPSILON * largest;
            assert_close(got.view(), expected.view(), |_| bound);
            compared.insert((op.to_owned(), name));
        }
    }
    let count = |name| compared.iter().filter(|(_, of)| *of == name).count();
    let counts = ["output", "argmax", "grad_input", "grad_weight", "grad_bias"].map(count);
    assert_eq!(counts, [9, 1, 9, 3, 3], "{compared:?}");
}
