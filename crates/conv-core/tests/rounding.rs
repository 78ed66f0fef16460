//! The rounding error of every kernel on every instruction set, against that of plain f32 loops, which round
//! after each product and each sum.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use conv_core::blocked::{
    Algorithm, Buffer, Conv2dSpec, Layout, Loops, PackedConv2d, View, ViewMut, Winograd,
};
use conv_core::{Activation, Isa, PaddingValue, plain};
use ndarray::Array4;
use testkit::{Conv2dProblem, to_f32};

/// How many times the error of the plain f32 loops a kernel may make.
const MOST: f64 = 2.5;

/// Kernels, each with a layer that it computes: batch, channels, size, kernel, stride and groups.
#[rustfmt::skip]
fn layers() -> Vec<(Loops, Conv2dProblem)> {
    let layer = Conv2dProblem::layer;
    let mut layers = vec![
        (Loops::Direct, layer(1, [64, 32], [12, 15], 3, 1, 1)),
        (Loops::Direct, layer(1, [256, 32], [12, 15], 3, 1, 1)),
        // The last block ends in half; strides have kernels of their own.
        (Loops::Direct, layer(1, [40, 32], [23, 30], 3, 2, 1)),
        // A dense layer of a batch.
        (Loops::Direct, layer(8, [512, 512], [1, 1], 1, 1, 1)),
        (Loops::Planar, layer(1, [3, 32], [30, 40], 7, 2, 1)),
        (Loops::Depthwise, layer(1, [40, 40], [12, 15], 3, 1, 40)),
        (Loops::Depthwise, layer(1, [40, 40], [23, 30], 3, 2, 40)),
        // Larger windows have no loop of their own.
        (Loops::Depthwise, layer(1, [40, 40], [12, 15], 5, 1, 40)),
        (Loops::NarrowGroups, layer(1, [64, 64], [12, 15], 3, 1, 32)),
        (Loops::NarrowGroups, layer(1, [64, 64], [12, 15], 3, 1, 16)),
        (Loops::NarrowGroups, layer(1, [64, 64], [12, 15], 3, 1, 8)),
    ];
    for (winograd, taps) in [(Winograd::F2x3, 3), (Winograd::F4x3, 3), (Winograd::F2x5, 5)] {
        for channels in [64, 256] {
            layers.push((Loops::Winograd(winograd), layer(1, [channels, 32], [12, 15], taps, 1, 1)));
        }
    }
    layers
}

/// What a ReLU leaves, as the input of most layers.
fn input(problem: &Conv2dProblem) -> Array4<f32> {
    to_f32(problem.input().mapv(|x| x.max(0.0)).view())
}

fn run(isa: Isa, loops: Loops, problem: &Conv2dProblem, weight: &Array4<f32>) -> Array4<f32> {
    let algorithm = match loops {
        Loops::Winograd(winograd) => Algorithm::Winograd(winograd),
        Loops::Direct | Loops::Planar | Loops::NarrowGroups | Loops::Depthwise => Algorithm::Direct,
    };
    let spec = Conv2dSpec::new(weight.dim().into(), &problem.options, isa).unwrap();
    let conv = PackedConv2d::new(algorithm, spec, weight.view(), None, Activation::Identity);
    let conv = conv.unwrap();
    assert_eq!(conv.loops(), loops, "{problem:?}");
    let from = spec.input_layout(problem.batch, problem.input_size);
    let from = from.with_halo(conv.halo(problem.input_size).unwrap());
    let mut source = Buffer::zeroed(from.len()).unwrap();
    from.import(input(problem).view(), PaddingValue::Zeros, &mut source)
        .unwrap();
    let [n, o, h, w] = problem.shape().unwrap().output();
    let to = Layout::blocked(n, o, [h, w]);
    let mut target = Buffer::zeroed(to.len()).unwrap();
    let mut scratch = Buffer::zeroed(conv.scratch_len(&from, 1).unwrap()).unwrap();
    let source = View::new(from, &source).unwrap();
    let output = ViewMut::new(to, &mut target).unwrap();
    conv.run(source, None, output, &mut scratch).unwrap();
    let mut output = Array4::zeros((n, o, h, w));
    to.export(&target, output.view_mut()).unwrap();
    output
}

/// The root of the mean squared error.
fn rms(got: &Array4<f32>, exact: &Array4<f64>) -> f64 {
    let errors = got.iter().zip(exact).map(|(&got, x)| f64::from(got) - x);
    (errors.map(|e| e * e).sum::<f64>() / got.len() as f64).sqrt()
}

#[test]
fn the_error_of_every_kernel_is_near_that_of_the_plain_loops() {
    for (loops, problem) in layers() {
        let (input, weight) = (input(&problem), to_f32(problem.weight().view()));
        let options = &problem.options;
        let exact = plain::conv2d(
            input.mapv(f64::from).view(),
            weight.mapv(f64::from).view(),
            None,
            options,
        );
        let exact = exact.unwrap();
        assert!(exact.len() >= 4000, "too few outputs: {problem:?}");
        let sequential = plain::conv2d(input.view(), weight.view(), None, options).unwrap();
        let sequential = rms(&sequential, &exact);
        for isa in Isa::available() {
            let ratio = rms(&run(isa, loops, &problem, &weight), &exact) / sequential;
            assert!(
                ratio < MOST,
                "{loops} on {isa}: {ratio:.2} times the error of the plain loops, {problem:?}"
            );
        }
    }
}
