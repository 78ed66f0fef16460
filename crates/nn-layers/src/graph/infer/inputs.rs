//! The number and ranks of the inputs that each operation accepts.

use std::ops::RangeInclusive;

use crate::graph::op::Op;

/// The number of inputs that an operation accepts, and its description for messages.
pub(super) fn arity(op: &Op) -> (RangeInclusive<usize>, &'static str) {
    match op {
        Op::Input => (0..=0, "none"),
        Op::Add => (2..=2, "2"),
        Op::Concat => (1..=usize::MAX, "at least 1"),
        Op::Conv2d(_)
        | Op::Linear(_)
        | Op::BatchNorm2d(_)
        | Op::Affine
        | Op::Relu
        | Op::Relu6
        | Op::LeakyRelu { .. }
        | Op::Sigmoid
        | Op::Softmax
        | Op::MaxPool2d(_)
        | Op::AvgPool2d(_)
        | Op::GlobalAvgPool2d
        | Op::AdaptiveAvgPool2d(_)
        | Op::Slice { .. }
        | Op::PadChannels { .. }
        | Op::Flatten
        | Op::Dropout { .. }
        | Op::Upsample { .. }
        | Op::Reorg { .. }
        | Op::Pad { .. } => (1..=1, "1"),
    }
}

/// The ranks that an operation accepts, and their description for messages.
pub(super) fn ranks(op: &Op) -> (&'static [usize], &'static str) {
    match op {
        Op::Linear(_) => (&[2], "rank 2 [n, f]: flatten it first"),
        Op::Conv2d(_)
        | Op::MaxPool2d(_)
        | Op::AvgPool2d(_)
        | Op::GlobalAvgPool2d
        | Op::AdaptiveAvgPool2d(_)
        | Op::Upsample { .. }
        | Op::Reorg { .. }
        | Op::Pad { .. } => (&[4], "rank 4 [n, c, h, w]"),
        Op::Input
        | Op::BatchNorm2d(_)
        | Op::Affine
        | Op::Relu
        | Op::Relu6
        | Op::LeakyRelu { .. }
        | Op::Sigmoid
        | Op::Softmax
        | Op::Add
        | Op::Concat
        | Op::Slice { .. }
        | Op::PadChannels { .. }
        | Op::Flatten
        | Op::Dropout { .. } => (&[2, 4], "rank 4 [n, c, h, w] or 2 [n, f]"),
    }
}
