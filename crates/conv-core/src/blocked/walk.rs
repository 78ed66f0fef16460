//! How a weight moves over its input, and where its sums are written.

use crate::geometry::Placement;

/// One pass of a weight over an input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    /// The input pixel `[y, x]` of the first tap of the first output; negative in the halo.
    pub(super) start: [isize; 2],
    /// Input pixels from one output to the next.
    pub(super) stride: [usize; 2],
    /// Input pixels from one tap to the next.
    pub(super) dilation: [usize; 2],
    /// The number of outputs.
    pub(super) outputs: [usize; 2],
    /// The output pixel of the first sum, and the pixels from one to the next.
    pub(super) output_start: [usize; 2],
    pub(super) output_stride: [usize; 2],
    /// What a sum starts from.
    pub(super) begin: Begin,
    /// Whether taps in the halo take part.
    pub(super) halo: Halo,
}

/// What a sum starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// The bias.
    Bias,
    /// The output's current value.
    Output,
}

/// Whether taps in the halo take part in a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halo {
    /// The halo's value times the weight is added, as for a convolution's padding.
    Counts,
    /// They do not: the gradient of an input has no outputs beyond the edge. The halo holds zeros,
    /// which add nothing to a sum unless a weight is infinite or NaN.
    IsNothing,
}

impl Walk {
    /// A window that computes every pixel of the output.
    pub(super) fn new(placement: &Placement) -> Self {
        let placement = placement.with_steps_taken();
        let before = |axis: usize| 0isize.saturating_sub_unsigned(placement.padding[axis]);
        Self {
            start: [before(0), before(1)],
            stride: placement.stride,
            dilation: placement.dilation,
            outputs: placement.output,
            output_start: [0, 0],
            output_stride: [1, 1],
            begin: Begin::Bias,
            halo: Halo::Counts,
        }
    }
}
