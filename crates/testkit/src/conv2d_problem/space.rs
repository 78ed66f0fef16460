//! Random convolution problems: every kind, or a part of the space.

use std::ops::RangeInclusive;

use conv_core::{Conv2dOptions, Padding, PaddingValue};
use proptest::prelude::*;

use super::Conv2dProblem;

/// The variations that [`conv2d_problems_in`] may use, to narrow a test to its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dSpace {
    /// Strides over 1.
    pub strides: bool,
    /// Dilations over 1.
    pub dilations: bool,
    /// More than one group.
    pub groups: bool,
    /// Padding of every rule, with every value.
    pub padding: bool,
    /// The approximate maximum number of multiply-adds per problem.
    pub max_multiply_adds: usize,
}

impl Default for Conv2dSpace {
    /// Returns everything, with problems that take about a millisecond each.
    fn default() -> Self {
        Self {
            strides: true,
            dilations: true,
            groups: true,
            padding: true,
            max_multiply_adds: 1_000_000,
        }
    }
}

/// Generates valid convolutions of every kind.
pub fn conv2d_problems() -> impl Strategy<Value = Conv2dProblem> {
    conv2d_problems_in(Conv2dSpace::default())
}

/// Generates valid convolutions from a part of the space.
pub fn conv2d_problems_in(space: Conv2dSpace) -> impl Strategy<Value = Conv2dProblem> {
    let step = |vary: bool, most: usize| pair(if vary { 1..=most } else { 1..=1 });
    let sizes = (1_usize..=4, pair_of(input_lens), pair_of(kernel_lens));
    let steps = (step(space.strides, 3), step(space.dilations, 3));
    let padding = (paddings(space.padding, 4), padding_values(space.padding));
    (
        channels(space.groups),
        sizes,
        steps,
        padding,
        any::<bool>(),
        any::<u64>(),
    )
        .prop_map(
            move |(channels, sizes, (stride, dilation), (padding, padding_value), bias, seed)| {
                let (groups, in_channels, out_channels) = channels;
                let (batch, input_size, kernel_size) = sizes;
                let options = Conv2dOptions {
                    stride,
                    dilation,
                    groups,
                    padding,
                    padding_value,
                };
                let problem = Conv2dProblem {
                    batch,
                    in_channels,
                    out_channels,
                    input_size,
                    kernel_size,
                    options,
                    bias,
                    seed,
                };
                problem.repaired(space.max_multiply_adds)
            },
        )
}

/// Groups with input and output channels: one group, one channel per group, several of each, and
/// narrow groups of equal width.
fn channels(groups: bool) -> BoxedStrategy<(usize, usize, usize)> {
    // A block of 16 channels, one more and one less, and two and three blocks.
    let count = || {
        prop_oneof![
            4 => 1_usize..=8,
            3 => prop::sample::select(vec![15_usize, 16, 17]),
            2 => prop::sample::select(vec![31_usize, 32, 33, 48, 49]),
            1 => 9_usize..=70,
        ]
    };
    let dense = (Just(1), count(), count()).boxed();
    if !groups {
        return dense;
    }
    let depthwise =
        (count(), 1_usize..=3).prop_map(|(groups, factor)| (groups, groups, groups * factor));
    let some =
        || prop_oneof![3 => 1_usize..=6, 1 => prop::sample::select(vec![8_usize, 15, 16, 17, 32])];
    let several = (2_usize..=4, some(), some())
        .prop_map(|(groups, inputs, outputs)| (groups, groups * inputs, groups * outputs));
    let narrow = (2_usize..=20, prop::sample::select(vec![1_usize, 2, 4, 8]))
        .prop_map(|(groups, width)| (groups, groups * width, groups * width));
    prop_oneof![6 => dense, 2 => depthwise, 2 => several, 2 => narrow].boxed()
}

/// One axis of a picture: sometimes a single pixel, mostly small, sometimes larger than a tile.
pub(crate) fn input_lens() -> BoxedStrategy<usize> {
    prop_oneof![1 => Just(1), 4 => 2_usize..=9, 3 => 10_usize..=20, 1 => 21_usize..=40].boxed()
}

/// One axis of a kernel.
pub(crate) fn kernel_lens() -> BoxedStrategy<usize> {
    prop_oneof![3 => Just(1), 2 => Just(2), 4 => Just(3), 2 => 4_usize..=5, 1 => 6_usize..=7]
        .boxed()
}

/// Padding of every rule, with at most `most` explicit pixels on a side.
pub(crate) fn paddings(vary: bool, most: usize) -> BoxedStrategy<Padding> {
    if !vary {
        return Just(Padding::Valid).boxed();
    }
    let sides = prop::array::uniform4(0..=most).prop_map(Padding::Explicit);
    prop_oneof![2 => Just(Padding::Valid), 2 => Just(Padding::Same), 4 => sides].boxed()
}

fn padding_values(vary: bool) -> BoxedStrategy<PaddingValue> {
    if !vary {
        return Just(PaddingValue::Zeros).boxed();
    }
    prop_oneof![
        3 => Just(PaddingValue::Zeros),
        1 => prop::sample::select(vec![-1.5, 0.25]).prop_map(PaddingValue::Constant),
        1 => Just(PaddingValue::Reflect),
        1 => Just(PaddingValue::Replicate),
        1 => Just(PaddingValue::Circular),
    ]
    .boxed()
}

/// `[h, w]`, each from the range.
pub(crate) fn pair(range: RangeInclusive<usize>) -> impl Strategy<Value = [usize; 2]> {
    // Half of them 1: several large steps on both axes leave only small outputs.
    pair_of(move || prop_oneof![Just(*range.start()), range.clone()].boxed())
}

/// `[h, w]`, each from its own range.
pub(crate) fn pair_of(
    lens: impl Fn() -> BoxedStrategy<usize>,
) -> impl Strategy<Value = [usize; 2]> {
    (lens(), lens()).prop_map(|(h, w)| [h, w])
}
