//! Whole pooling problems.

use conv_core::{AvgPool2dOptions, MaxPool2dOptions, Padding};
use ndarray::Array4;
use proptest::prelude::*;

use crate::conv2d_problem::{input_lens, kernel_lens, paddings, pair, pair_of};
use crate::random::{distinct4, random4};

/// A pool to compute: sizes, options, and a seed that determines its values.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolProblem<Options> {
    /// The number of pictures.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Size of the input, `[h, w]`.
    pub input_size: [usize; 2],
    /// Kernel size, stride, padding and the other options.
    pub options: Options,
    /// The seed of the values.
    pub seed: u64,
}

/// A max pool to compute.
pub type MaxPool2dProblem = PoolProblem<MaxPool2dOptions>;

/// An average pool to compute.
pub type AvgPool2dProblem = PoolProblem<AvgPool2dOptions>;

impl<Options> PoolProblem<Options> {
    /// Returns the input `[N, C, H, W]`.
    #[must_use]
    pub fn input(&self) -> Array4<f64> {
        let [height, width] = self.input_size;
        random4([self.batch, self.channels, height, width], self.seed)
    }

    /// Returns an input without ties, in which no maximum changes as long as each value moves by
    /// less than [`kink`](Self::kink).
    #[must_use]
    pub fn input_without_ties(&self) -> Array4<f64> {
        let [height, width] = self.input_size;
        distinct4([self.batch, self.channels, height, width], self.seed)
    }

    /// Returns how far the values of [`input_without_ties`](Self::input_without_ties) can move.
    #[must_use]
    pub fn kink(&self) -> f64 {
        let [height, width] = self.input_size;
        1.0 / (self.batch * self.channels * height * width) as f64
    }

    /// Returns the input in steps of a quarter, so that windows have several equal maxima.
    #[must_use]
    pub fn input_with_ties(&self) -> Array4<f64> {
        self.input().mapv(|x| (x * 4.0).floor() / 4.0)
    }
}

/// Generates valid max pools of every kind.
pub fn max_pool2d_problems() -> impl Strategy<Value = MaxPool2dProblem> {
    (pools(), pair(1..=3)).prop_map(|(pool, dilation)| {
        let Pool {
            problem,
            mut kernel_size,
            stride,
            mut padding,
            ceil_mode,
        } = pool;
        let mut dilation = dilation;
        repair(
            problem.input_size,
            &mut kernel_size,
            &mut dilation,
            &mut padding,
        );
        let options = MaxPool2dOptions {
            kernel_size,
            stride,
            dilation,
            padding,
            ceil_mode,
        };
        problem.with(options)
    })
}

/// Generates valid average pools of every kind.
pub fn avg_pool2d_problems() -> impl Strategy<Value = AvgPool2dProblem> {
    (pools(), any::<bool>()).prop_map(|(pool, count_include_pad)| {
        let Pool {
            problem,
            mut kernel_size,
            stride,
            mut padding,
            ceil_mode,
        } = pool;
        repair(
            problem.input_size,
            &mut kernel_size,
            &mut [1, 1],
            &mut padding,
        );
        let options = AvgPool2dOptions {
            kernel_size,
            stride,
            padding,
            ceil_mode,
            count_include_pad,
        };
        problem.with(options)
    })
}

/// The part that both kinds have in common, not yet valid.
#[derive(Clone, Debug)]
struct Pool {
    problem: PoolProblem<()>,
    kernel_size: [usize; 2],
    stride: [usize; 2],
    padding: Padding,
    ceil_mode: bool,
}

impl PoolProblem<()> {
    fn with<Options>(self, options: Options) -> PoolProblem<Options> {
        let Self {
            batch,
            channels,
            input_size,
            seed,
            ..
        } = self;
        PoolProblem {
            batch,
            channels,
            input_size,
            options,
            seed,
        }
    }
}

fn pools() -> impl Strategy<Value = Pool> {
    let channels = prop_oneof![3 => 1_usize..=4, 1 => 15_usize..=17, 1 => 31_usize..=33];
    let problem = (1_usize..=4, channels, pair_of(input_lens), any::<u64>()).prop_map(
        |(batch, channels, input_size, seed)| PoolProblem {
            batch,
            channels,
            input_size,
            options: (),
            seed,
        },
    );
    // Windows of every size, up to the whole picture and beyond.
    let kernel_lens = || prop_oneof![7 => kernel_lens(), 1 => 8_usize..=60].boxed();
    (
        problem,
        pair_of(kernel_lens),
        pair(1..=4),
        paddings(true, 4),
        any::<bool>(),
    )
        .prop_map(|(problem, kernel_size, stride, padding, ceil_mode)| Pool {
            problem,
            kernel_size,
            stride,
            padding,
            ceil_mode,
        })
}

/// Shrinks dilation, padding and kernel until every window fits and covers a pixel.
fn repair(
    input: [usize; 2],
    kernel_size: &mut [usize; 2],
    dilation: &mut [usize; 2],
    padding: &mut Padding,
) {
    for axis in 0..2 {
        dilation[axis] = dilation[axis].min(input[axis]);
        if matches!(padding, Padding::Same) {
            continue;
        }
        loop {
            // A window's reach less the tap that must be on the input.
            let spare = (kernel_size[axis] - 1) * dilation[axis];
            let mut padded = input[axis];
            if let Padding::Explicit(sides) = padding {
                for side in [axis, axis + 2] {
                    sides[side] = sides[side].min(spare);
                    padded += sides[side];
                }
            }
            if padded > spare {
                break;
            }
            kernel_size[axis] -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest! {
        #[test]
        fn max_pools_are_valid(problem in max_pool2d_problems()) {
            let placement = problem.options.place("max_pool2d", problem.input_size);
            prop_assert!(placement.is_ok(), "{:?}", placement);
        }

        #[test]
        fn avg_pools_are_valid(problem in avg_pool2d_problems()) {
            let placement = problem.options.place("avg_pool2d", problem.input_size);
            prop_assert!(placement.is_ok(), "{:?}", placement);
        }
    }
}
