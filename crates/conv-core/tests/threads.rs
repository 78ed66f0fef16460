//! The same bits for any number of threads: random convolutions, and the kernels that share the work by
//! tiles.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use std::sync::LazyLock;

use conv_core::blocked::{
    Algorithm, Buffer, Conv2dSpec, Layout, PackedConv2d, View, ViewMut, Winograd,
};
use conv_core::{Activation, Isa, PaddingValue, conv2d_on};
use ndarray::Array4;
use proptest::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use testkit::{Conv2dProblem, compare, conv2d_problems, to_f32};

/// Pools of 1, 2 and 4 threads, made once for all cases.
static POOLS: LazyLock<[ThreadPool; 3]> = LazyLock::new(|| {
    [1, 2, 4].map(|threads| {
        ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
    })
});

fn bits(x: &Array4<f32>) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Runs on each pool, and returns the result after checking that all have the same bits.
fn on_every_pool(run: impl Fn() -> Array4<f32> + Sync, what: &str) -> Array4<f32> {
    let [one, two, four] = POOLS.each_ref().map(|pool| pool.install(&run));
    assert_eq!(bits(&one), bits(&two), "{what}: two threads");
    assert_eq!(bits(&one), bits(&four), "{what}: four threads");
    one
}

/// Runs a layer by an algorithm, with halos on both sides and an activation.
fn run(isa: Isa, problem: &Conv2dProblem, algorithm: Algorithm) -> Array4<f32> {
    let (input, weight) = (
        to_f32(problem.input().view()),
        to_f32(problem.weight().view()),
    );
    let bias = problem.bias().map(|bias| to_f32(bias.view()));
    let bias = bias.as_ref().map(|bias| bias.view());
    let spec = Conv2dSpec::new(weight.dim().into(), &problem.options, isa).unwrap();
    let activation = Activation::LeakyRelu(0.5);
    let conv = PackedConv2d::new(algorithm, spec, weight.view(), bias, activation).unwrap();
    let halo = conv.halo(problem.input_size).unwrap();
    let from = Layout::blocked(problem.batch, problem.in_channels, problem.input_size);
    let from = from.with_halo(halo);
    let mut source = Buffer::zeroed(from.len()).unwrap();
    from.import(input.view(), PaddingValue::Zeros, &mut source)
        .unwrap();
    let [n, o, h, w] = problem.shape().unwrap().output();
    let to = Layout::blocked(n, o, [h, w]).with_halo([1, 0, 2, 1]);
    let mut target = Buffer::zeroed(to.len()).unwrap();
    target.fill(f32::NAN);
    let threads = rayon::current_num_threads();
    let mut scratch = Buffer::zeroed(conv.scratch_len(&from, threads).unwrap()).unwrap();
    scratch.fill(f32::NAN);
    let source = View::new(from, &source).unwrap();
    let output = ViewMut::new(to, &mut target).unwrap();
    conv.run(source, None, output, &mut scratch).unwrap();
    let mut output = Array4::zeros((n, o, h, w));
    to.export(&target, output.view_mut()).unwrap();
    // Nothing is written outside the interior.
    for n in 0..n {
        for block in 0..to.blocks() {
            for y in 0..h {
                let first = to.offset(n, block, y, 0);
                target[first..first + w * 16].fill(f32::NAN);
            }
        }
    }
    assert!(target.iter().all(|x| x.is_nan()), "the halo is untouched");
    output
}

proptest! {
    #![proptest_config(testkit::cases(300))]

    #[test]
    fn one_two_and_four_threads_compute_the_same_bits(problem in conv2d_problems()) {
        let (input, weight) = (
            to_f32(problem.input().view()),
            to_f32(problem.weight().view()),
        );
        let bias = problem.bias().map(|bias| to_f32(bias.view()));
        for isa in Isa::available() {
            let bias = bias.as_ref().map(|bias| bias.view());
            let run = || {
                conv2d_on(isa, input.view(), weight.view(), bias, &problem.options).unwrap()
            };
            on_every_pool(run, &format!("{isa} {problem:?}"));
        }
    }
}

/// Widths below, at and beyond whole tiles of 7 columns, whose last tile overlaps the one before;
/// strides of 1 and 2 on each axis; channels that fill their last block or not.
#[test]
fn depthwise_layers_of_every_width_agree_with_the_plain_loops_on_any_number_of_threads() {
    for width in (1..=16).chain([28, 29]) {
        for stride in [[1, 1], [1, 2], [2, 1], [2, 2]] {
            for (batch, channels, height) in [(1, 16, 5), (2, 37, 9), (1, 48, 1)] {
                let mut problem = Conv2dProblem::layer(
                    batch,
                    [channels, channels],
                    [height, width],
                    3,
                    1,
                    channels,
                );
                problem.options.stride = stride;
                check_direct(&problem);
            }
        }
    }
}

/// Groups whose last input block has channels in its first half only, in all of it, or in none.
#[test]
fn layers_that_end_in_half_a_block_agree_with_the_plain_loops_on_any_number_of_threads() {
    for channels in [9, 15, 16, 17, 23, 24, 25, 31, 32, 33, 40, 41, 72] {
        for (kernel, stride) in [(1, 1), (1, 2), (3, 1), (3, 2)] {
            for (batch, outputs, size) in [(1, 40, [7, 13]), (3, 17, [1, 5])] {
                let sizes = [channels, outputs];
                let problem = Conv2dProblem::layer(batch, sizes, size, kernel, stride, 1);
                check_direct(&problem);
            }
        }
    }
    // Groups of 24 are merged to 48, the odd one to one group of all.
    for (channels, groups) in [(48, 2), (72, 3), (80, 10), (120, 5)] {
        let problem = Conv2dProblem::layer(2, [channels, 2 * channels], [6, 9], 3, 1, groups);
        check_direct(&problem);
    }
}

fn check_direct(problem: &Conv2dProblem) {
    let reference = problem.reference();
    // The activation of the sum; its slope is at most 1, so the bound holds.
    let expected = reference
        .expected
        .mapv(|x| if x <= 0.0 { 0.5 * x } else { x });
    for isa in Isa::available() {
        let what = format!("{isa} {problem:?}");
        let got = on_every_pool(|| run(isa, problem, Algorithm::Direct), &what);
        let agrees = compare(got.view(), expected.view(), reference.bound());
        assert_eq!(agrees, Ok(()), "{what}");
    }
}

/// Odd numbers of tiles, of blocks of tiles and of output blocks, and sizes at which the last tile is
/// cut. `winograd.rs` compares such layers with the plain loops.
#[test]
fn winograd_layers_of_many_sizes_have_the_same_bits_on_any_number_of_threads() {
    let layers = [
        (1, [16, 16], [1, 1]),
        (1, [24, 40], [7, 5]),
        (3, [17, 48], [9, 13]),
        (1, [64, 16], [20, 28]),
        (1, [40, 80], [29, 31]),
        (5, [72, 112], [11, 6]),
        (1, [256, 272], [13, 14]),
        (1, [16, 24], [66, 61]),
        (2, [264, 48], [7, 7]),
    ];
    for (algorithm, kernel) in [
        (Winograd::F2x3, 3),
        (Winograd::F4x3, 3),
        (Winograd::F2x5, 5),
    ] {
        for (batch, channels, size) in layers {
            let problem = Conv2dProblem::layer(batch, channels, size, kernel, 1, 1);
            for isa in Isa::available() {
                let what = format!("{isa} {algorithm:?} {problem:?}");
                let run = || run(isa, &problem, Algorithm::Winograd(algorithm));
                on_every_pool(run, &what);
            }
        }
    }
}
