//! The fast path against the plain loops: every instruction set of this machine, over whole
//! problems. A set that the machine lacks is reported and skipped.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use conv_core::blocked::{
    Algorithm, Buffer, Conv2dSpec, Denormals, Epilogue, Layout, PackedConv2d, View, ViewMut,
};
use conv_core::{
    Activation, Conv2dOptions, Error, Isa, MaxPool2dOptions, Padding, PaddingValue, blocked,
    conv2d_on, plain,
};
use ndarray::Array4;
use proptest::prelude::*;
use testkit::{
    AvgPool2dProblem, Conv2dProblem, MaxPool2dProblem, assert_close, avg_pool2d_problems, compare,
    conv2d_problems, max_pool2d_problems, on_threads, to_f32,
};

/// Returns each instruction set that this machine supports; prints those it lacks.
fn instruction_sets() -> Vec<Isa> {
    for name in ["avx512", "avx2", "neon", "scalar"] {
        if Isa::named(name).is_err() {
            println!("skipped: this machine has no {name}");
        }
    }
    Isa::available()
}

fn run(isa: Isa, problem: &Conv2dProblem) -> Array4<f32> {
    let (input, weight) = (
        to_f32(problem.input().view()),
        to_f32(problem.weight().view()),
    );
    let bias = problem.bias().map(|bias| to_f32(bias.view()));
    let bias = bias.as_ref().map(|bias| bias.view());
    conv2d_on(isa, input.view(), weight.view(), bias, &problem.options).unwrap()
}

proptest! {
    #![proptest_config(testkit::cases(400))]

    /// Within 4 sqrt(K) eps sum|x||w| of the f64 loops.
    #[test]
    fn conv2d_agrees_on_every_instruction_set(problem in conv2d_problems()) {
        let reference = problem.reference();
        for isa in Isa::available() {
            let got = run(isa, &problem);
            let agrees = compare(got.view(), reference.expected.view(), reference.bound());
            prop_assert!(agrees.is_ok(), "{isa}: {}", agrees.unwrap_err());
        }
    }

    /// An activation fused into the store is the activation of the sum, bit for bit.
    #[test]
    fn activations_are_those_of_the_sum(problem in conv2d_problems(), slope in 0.0_f32..1.5) {
        for isa in Isa::available() {
            let sums = blocked_run(isa, &problem, Activation::Identity);
            for activation in [
                Activation::Relu,
                Activation::Relu6,
                Activation::LeakyRelu(slope),
            ] {
                let got = blocked_run(isa, &problem, activation);
                prop_assert_eq!(&got, &sums.mapv(|x| activation.apply(x)), "{}", isa);
            }
        }
    }

    #[test]
    fn a_residual_is_added_before_the_activation(
        problem in conv2d_problems(),
        halo in prop_oneof![Just([0; 4]), [0usize..3, 0usize..3, 0usize..3, 0usize..3]],
    ) {
        check_residual(&problem, halo);
    }

    #[test]
    fn max_pool_gives_the_plain_bits(problem in max_pool2d_problems()) {
        check_max_pool(&problem);
    }

    #[test]
    fn average_pool_gives_the_plain_bits(problem in avg_pool2d_problems()) {
        check_avg_pool(&problem);
    }

    #[test]
    fn adaptive_pool_gives_the_plain_bits(
        problem in avg_pool2d_problems(),
        bins in [1_usize..9, 1..9],
    ) {
        let input = to_f32(problem.input().view());
        let expected = plain::adaptive_avg_pool2d(input.view(), bins).unwrap();
        for isa in Isa::available() {
            let got = on_blocked(&input, problem.channels, bins, |input, output| {
                blocked::adaptive_avg_pool2d(isa, input, output)
            });
            prop_assert_eq!(&got, &expected, "{}", isa);
        }
    }
}

/// Runs `f` on blocked copies, with halos that it must skip.
fn on_blocked(
    input: &Array4<f32>,
    channels: usize,
    size: [usize; 2],
    f: impl FnOnce(View<'_>, ViewMut<'_>) -> conv_core::Result<()>,
) -> Array4<f32> {
    let (n, c, h, w) = input.dim();
    let from = Layout::blocked(n, c, [h, w]).with_halo([1, 2, 0, 1]);
    let to = Layout::blocked(n, channels, size).with_halo([0, 1, 2, 0]);
    let mut source = Buffer::zeroed(from.len()).unwrap();
    // Reading a halo that must not be read shows up as values that are far too large.
    from.import(input.view(), PaddingValue::Constant(1e30), &mut source)
        .unwrap();
    let mut target = Buffer::zeroed(to.len()).unwrap();
    target.fill(f32::NAN);
    let view = ViewMut::new(to, &mut target).unwrap();
    f(View::new(from, &source).unwrap(), view).unwrap();
    let mut output = Array4::zeros((n, channels, size[0], size[1]));
    to.export(&target, output.view_mut()).unwrap();
    output
}

fn blocked_run(isa: Isa, problem: &Conv2dProblem, activation: Activation) -> Array4<f32> {
    blocked_run_with_residual(isa, problem, activation, None)
}

/// The residual is a tensor of the output's extents, with its own halo in memory.
fn blocked_run_with_residual(
    isa: Isa,
    problem: &Conv2dProblem,
    activation: Activation,
    residual: Option<(&Array4<f32>, [usize; 4])>,
) -> Array4<f32> {
    let (input, weight) = (
        to_f32(problem.input().view()),
        to_f32(problem.weight().view()),
    );
    let bias = problem.bias().map(|bias| to_f32(bias.view()));
    let bias = bias.as_ref().map(|bias| bias.view());
    let conv = Conv2dSpec::new(weight.dim().into(), &problem.options, isa).unwrap();
    let weight = conv.pack(weight.view(), Denormals::Flushed).unwrap();
    let bias = bias.map(|bias| conv.pack_bias(Some(bias)).unwrap());
    let epilogue = Epilogue {
        bias: bias.as_deref(),
        activation,
        ..Epilogue::default()
    };
    let halo = conv.halo(problem.input_size).unwrap();
    let from = conv
        .input_layout(problem.batch, problem.input_size)
        .with_halo(halo);
    let size = conv.place(problem.input_size).unwrap().output;
    let to = Layout::blocked(problem.batch, problem.out_channels, size);
    let mut source = Buffer::zeroed(from.len()).unwrap();
    from.import(input.view(), problem.options.padding_value, &mut source)
        .unwrap();
    let mut target = Buffer::zeroed(to.len()).unwrap();
    let source = View::new(from, &source).unwrap();
    let view = ViewMut::new(to, &mut target).unwrap();
    match residual {
        None => conv.run(&weight, source, epilogue, view).unwrap(),
        Some((residual, halo)) => {
            let layout = to.with_halo(halo);
            let mut memory = Buffer::zeroed(layout.len()).unwrap();
            // A halo that must not be read.
            let never = PaddingValue::Constant(1e30);
            layout.import(residual.view(), never, &mut memory).unwrap();
            let epilogue = Epilogue {
                residual: Some(View::new(layout, &memory).unwrap()),
                ..epilogue
            };
            conv.run(&weight, source, epilogue, view).unwrap();
        }
    }
    let mut output = Array4::zeros((problem.batch, problem.out_channels, size[0], size[1]));
    to.export(&target, output.view_mut()).unwrap();
    output
}

/// The residual is added to the finished sum, so the bits are those of the separate steps.
fn check_residual(problem: &Conv2dProblem, halo: [usize; 4]) {
    for isa in Isa::available() {
        let sum = blocked_run(isa, problem, Activation::Identity);
        let shape: Vec<usize> = sum.shape().to_vec();
        let residual = to_f32(testkit::random_array(&shape, problem.seed ^ 1).view())
            .into_dimensionality()
            .unwrap();
        let got =
            blocked_run_with_residual(isa, problem, Activation::Relu, Some((&residual, halo)));
        let expected = (&sum + &residual).mapv(|x| if x <= 0.0 { 0.0 } else { x });
        assert_eq!(got, expected, "{isa}");
    }
}

fn check_max_pool(problem: &MaxPool2dProblem) {
    let input = to_f32(problem.input_with_ties().view());
    let expected = plain::max_pool2d(input.view(), &problem.options).unwrap();
    let size = problem
        .options
        .place("max_pool2d", problem.input_size)
        .unwrap()
        .output;
    for isa in Isa::available() {
        let got = on_blocked(&input, problem.channels, size, |input, output| {
            blocked::max_pool2d(isa, input, &problem.options, output)
        });
        assert_eq!(got, expected, "{isa}");
    }
}

fn check_avg_pool(problem: &AvgPool2dProblem) {
    let input = to_f32(problem.input().view());
    let expected = plain::avg_pool2d(input.view(), &problem.options).unwrap();
    let size = problem
        .options
        .place("avg_pool2d", problem.input_size)
        .unwrap()
        .output;
    for isa in Isa::available() {
        let got = on_blocked(&input, problem.channels, size, |input, output| {
            blocked::avg_pool2d(isa, input, &problem.options, output)
        });
        assert_eq!(got, expected, "{isa}");
    }
}

/// Layers of networks, with the sizes at which tiles, chunks of the reduction, runs of output
/// blocks and bands of rows all end in a remainder.
fn layers() -> Vec<Conv2dProblem> {
    let layer = Conv2dProblem::layer;
    vec![
        layer(1, [3, 16], [37, 53], 3, 1, 1),
        layer(2, [3, 64], [30, 31], 7, 2, 1),
        layer(1, [256, 72], [13, 13], 3, 1, 1),
        layer(1, [384, 255], [13, 11], 1, 1, 1),
        layer(3, [40, 56], [19, 17], 5, 2, 1),
        layer(1, [144, 200], [37, 39], 3, 2, 1),
        layer(1, [64, 96], [14, 15], 3, 1, 2),
        layer(1, [64, 64], [14, 15], 3, 1, 16),
        layer(2, [48, 48], [9, 10], 3, 1, 48),
        layer(3, [136, 136], [33, 30], 3, 2, 136),
        layer(2, [40, 40], [12, 11], 5, 1, 20),
        layer(2, [24, 24], [17, 14], 3, 1, 3),
    ]
}

#[test]
fn layers_of_networks_agree_on_every_instruction_set() {
    let sets = instruction_sets();
    for problem in layers() {
        let reference = problem.reference();
        for &isa in &sets {
            assert_close(
                run(isa, &problem).view(),
                reference.expected.view(),
                reference.bound(),
            );
        }
    }
}

#[test]
fn one_two_and_four_threads_give_the_same_bits() {
    for problem in layers() {
        for isa in Isa::available() {
            let on = |threads| on_threads(threads, || run(isa, &problem)).mapv(f32::to_bits);
            let one = on(1);
            assert_eq!(one, on(2), "{isa} {problem:?}");
            assert_eq!(one, on(4), "{isa} {problem:?}");
        }
    }
}

/// The bounds are tight enough to detect a single missing tap or channel.
#[test]
fn dropping_one_tap_or_one_channel_is_seen() {
    for problem in layers() {
        let reference = problem.reference();
        let whole = to_f32(problem.weight().view());
        let (_, channels, kh, kw) = whole.dim();
        let mut tap = whole.clone();
        // In every filter, the middle tap of the last channel, which padding never hides.
        tap.slice_mut(ndarray::s![.., channels - 1, kh / 2, kw / 2])
            .fill(0.0);
        let mut channel = whole.clone();
        channel
            .slice_mut(ndarray::s![.., channels / 2, .., ..])
            .fill(0.0);

        let input = to_f32(problem.input().view());
        let bias = problem.bias().map(|bias| to_f32(bias.view()));
        for isa in Isa::available() {
            let agrees = |weight: &Array4<f32>| {
                let bias = bias.as_ref().map(|bias| bias.view());
                let got =
                    conv2d_on(isa, input.view(), weight.view(), bias, &problem.options).unwrap();
                compare(got.view(), reference.expected.view(), reference.bound())
            };
            assert_eq!(agrees(&whole), Ok(()), "{isa}");
            assert!(
                agrees(&tap).is_err(),
                "{isa}: a missing tap passes in {problem:?}"
            );
            assert!(
                agrees(&channel).is_err(),
                "{isa}: a missing channel passes in {problem:?}"
            );
        }
    }
}

#[test]
fn nan_and_infinity_pass_through_activations_and_pools() {
    let mut input = Array4::<f32>::zeros((1, 16, 2, 2));
    input[[0, 0, 0, 0]] = f32::NAN;
    input[[0, 1, 0, 1]] = f32::INFINITY;
    input[[0, 2, 1, 0]] = f32::NEG_INFINITY;
    let weight = Array4::from_shape_fn(
        (16, 16, 1, 1),
        |(o, i, _, _)| if o == i { 1.0_f32 } else { 0.0 },
    );
    for isa in Isa::available() {
        let spec = Conv2dSpec::new([16, 16, 1, 1], &Conv2dOptions::default(), isa).unwrap();
        let relu = Activation::Relu;
        let conv = PackedConv2d::new(Algorithm::Direct, spec, weight.view(), None, relu).unwrap();
        let got = on_blocked(&input, 16, [2, 2], |input, output| {
            conv.run(input, None, output, &mut [])
        });
        // 0 * NaN and 0 * infinity are NaN, so every channel of these pixels is lost ...
        assert!(
            got[[0, 0, 0, 0]].is_nan() && got[[0, 5, 0, 0]].is_nan(),
            "{isa}"
        );
        assert_eq!(got[[0, 1, 0, 1]], f32::INFINITY, "{isa}");
        // ... but ReLU itself turns minus infinity into 0.
        assert_eq!(got[[0, 2, 1, 0]], 0.0, "{isa}");

        let options = MaxPool2dOptions::new([2, 2]);
        let got = on_blocked(&input, 16, [1, 1], |input, output| {
            blocked::max_pool2d(isa, input, &options, output)
        });
        assert!(got[[0, 0, 0, 0]].is_nan(), "{isa}: NaN is the largest");
        assert_eq!(got[[0, 1, 0, 0]], f32::INFINITY, "{isa}");
        assert_eq!(got[[0, 2, 0, 0]], 0.0, "{isa}");
    }
}

/// An operation on the blocked layout.
type Write<'a> = Box<dyn Fn(View<'_>, ViewMut<'_>) -> conv_core::Result<()> + 'a>;

/// A lane past the last channel meets zero weights, but zero times a leftover infinity is not zero.
#[test]
fn lanes_past_the_last_channel_are_zeros_whatever_memory_held() {
    let input = testkit::random_array(&[2, 12, 3, 5], 1);
    let input: Array4<f32> = to_f32(input.view()).into_dimensionality().unwrap();
    for isa in Isa::available() {
        let cases: [(usize, Write<'_>); 5] = [
            (12, Box::new(blocked::softmax)),
            (
                12,
                Box::new(move |x, y| blocked::map(isa, x, y, |x| x + 1.0)),
            ),
            (8, Box::new(|x, y| blocked::slice(x, 2, y))),
            (20, Box::new(|x, y| blocked::pad_channels(x, 3, y))),
            // The second part of a concatenation that begins within a block.
            (20, Box::new(|x, y| blocked::concat(x, 8, y))),
        ];
        for (case, (channels, write)) in cases.into_iter().enumerate() {
            let from = Layout::blocked(2, 12, [3, 5]);
            let to = Layout::blocked(2, channels, [3, 5]);
            let mut source = Buffer::zeroed(from.len()).unwrap();
            from.import(input.view(), PaddingValue::Zeros, &mut source)
                .unwrap();
            let mut target = Buffer::zeroed(to.len()).unwrap();
            target.fill(f32::INFINITY);
            let view = ViewMut::new(to, &mut target).unwrap();
            write(View::new(from, &source).unwrap(), view).unwrap();
            let last = target.chunks_exact(to.block_step()).skip(to.blocks() - 1);
            for pixel in last.step_by(to.blocks()).flat_map(|b| b.chunks_exact(16)) {
                assert!(
                    pixel[channels % 16..].iter().all(|&x| x == 0.0),
                    "{isa}, case {case}"
                );
            }
        }
    }
}

#[test]
fn a_halo_that_is_too_narrow_is_an_error_that_names_the_side() {
    let weight = Array4::<f32>::zeros((16, 16, 3, 3));
    let options = Conv2dOptions {
        padding: Padding::all(1),
        ..Default::default()
    };
    let isa = Isa::best();
    let conv = Conv2dSpec::new(weight.dim().into(), &options, isa).unwrap();
    let weight = conv.pack(weight.view(), Denormals::Flushed).unwrap();
    let from = Layout::blocked(1, 16, [4, 4]).with_halo([1, 1, 1, 0]);
    let to = Layout::blocked(1, 16, [4, 4]);
    let (source, mut target) = (vec![0.0; from.len()], vec![0.0; to.len()]);
    let error = conv
        .run(
            &weight,
            View::new(from, &source).unwrap(),
            Epilogue::default(),
            ViewMut::new(to, &mut target).unwrap(),
        )
        .unwrap_err();
    assert_eq!(
        error,
        Error::Mismatch {
            op: "conv2d",
            what: "the halo's right",
            expected: 1,
            got: 0
        }
    );
}

#[test]
fn options_that_do_not_fit_are_errors() {
    let isa = Isa::best();
    let pack = |shape: [usize; 4], groups, bias: usize| {
        let weight = Array4::<f32>::zeros(shape);
        let bias = ndarray::Array1::zeros(bias);
        let options = Conv2dOptions {
            groups,
            ..Default::default()
        };
        let packed = Conv2dSpec::new(shape, &options, isa).and_then(|spec| {
            let (weight, bias) = (weight.view(), Some(bias.view()));
            PackedConv2d::new(Algorithm::Direct, spec, weight, bias, Activation::Identity)
        });
        packed.unwrap_err()
    };
    assert!(matches!(pack([0, 3, 1, 1], 1, 0), Error::Zero { .. }));
    assert!(matches!(pack([4, 3, 1, 1], 0, 4), Error::Zero { .. }));
    assert!(matches!(
        pack([4, 3, 1, 1], 3, 4),
        Error::Groups {
            got: 4,
            groups: 3,
            ..
        }
    ));
    assert!(matches!(
        pack([4, 3, 1, 1], 2, 5),
        Error::Mismatch {
            expected: 4,
            got: 5,
            ..
        }
    ));

    let input = Array4::<f32>::zeros((1, 4, 5, 5));
    let weight = Array4::<f32>::zeros((2, 3, 1, 1));
    let error = conv2d_on(
        isa,
        input.view(),
        weight.view(),
        None,
        &Conv2dOptions::default(),
    )
    .unwrap_err();
    assert!(matches!(
        error,
        Error::Mismatch {
            expected: 4,
            got: 3,
            ..
        }
    ));
}

/// One output column from two input columns: the rows' pixels are not contiguous.
#[test]
fn a_stride_that_is_never_taken_leaves_pixels_out() {
    for stride in [[1, 2], [2, 1]] {
        let mut problem = Conv2dProblem::layer(1, [1, 1], [2, 2], 1, 1, 1);
        problem.options.stride = stride;
        let reference = problem.reference();
        for isa in Isa::available() {
            assert_close(
                run(isa, &problem).view(),
                reference.expected.view(),
                reference.bound(),
            );
        }
    }
}
