//! The input pixels that each output of a pool covers along one axis.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::geometry::{Placement, checked_len};

/// The input pixels `start, start + step, ..` before `end` that one output covers along one axis,
/// at least one, and the number of taps that a mean divides by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PoolSpan {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) step: usize,
    pub(crate) divisor: usize,
}

/// The spans of a pool: the rows under each output row, the columns under each output column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolSpans {
    pub(crate) rows: PoolAxis,
    pub(crate) columns: PoolAxis,
}

/// The spans along one axis. They are computed where they are needed, so a pool allocates no list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolAxis {
    windows: Windows,
    outputs: usize,
    /// The sum of the spans' lengths.
    pixels: usize,
}

#[derive(Clone, Copy, Debug)]
enum Windows {
    /// A window that moves by a stride over `len` pixels, with padding `before` them.
    Moving {
        len: usize,
        before: usize,
        /// The pixels with the padding on both sides.
        padded: usize,
        stride: usize,
        /// The pixels from the window's first tap to its last.
        reach: usize,
        dilation: usize,
        count_include_pad: bool,
    },
    /// Bins over `len` pixels.
    Bins { len: usize, bins: usize },
}

impl PoolSpan {
    /// Returns the pixels.
    pub(crate) fn pixels(&self) -> impl Iterator<Item = usize> + use<> {
        (self.start..self.end).step_by(self.step)
    }

    /// Returns the number of pixels.
    pub(crate) fn len(&self) -> usize {
        (self.end - self.start).div_ceil(self.step)
    }

    /// Returns whether a pixel is one of them.
    pub(crate) fn contains(&self, pixel: usize) -> bool {
        (self.start..self.end).contains(&pixel)
            && (self.step == 1 || (pixel - self.start).is_multiple_of(self.step))
    }

    /// Returns the pixels of bin `k` of `bins` over `len` pixels,
    /// `floor(k * len / bins) .. ceil((k + 1) * len / bins)`. The product `len * bins` fits.
    fn of_bin(k: usize, bins: usize, len: usize) -> Self {
        let start = k * len / bins;
        let end = ((k + 1) * len).div_ceil(bins);
        Self {
            start,
            end,
            step: 1,
            divisor: end - start,
        }
    }
}

impl PoolAxis {
    /// Checks that every output covers a pixel.
    fn new(op: &'static str, windows: Windows, outputs: usize) -> Result<Self> {
        let mut axis = Self {
            windows,
            outputs,
            pixels: 0,
        };
        for span in axis.spans() {
            if span.start >= span.end {
                return Err(Error::Internal {
                    op,
                    broken: "a pool's window covers no pixel of the input",
                });
            }
            axis.pixels = axis.pixels.saturating_add(span.len());
        }
        Ok(axis)
    }

    /// A window along an axis.
    fn moving(
        op: &'static str,
        placement: &Placement,
        axis: usize,
        count_include_pad: bool,
    ) -> Result<Self> {
        let (len, dilation) = (placement.input[axis], placement.dilation[axis]);
        let (before, after) = (placement.padding[axis], placement.padding[axis + 2]);
        let windows = Windows::Moving {
            len,
            before,
            padded: before + len + after,
            stride: placement.stride[axis],
            reach: (placement.kernel_size[axis] - 1) * dilation + 1,
            dilation,
            count_include_pad,
        };
        Self::new(op, windows, placement.output[axis])
    }

    /// Returns the number of outputs.
    pub(crate) fn len(&self) -> usize {
        self.outputs
    }

    /// Returns the span of an output.
    #[inline(always)]
    pub(crate) fn span(&self, output: usize) -> PoolSpan {
        match self.windows {
            Windows::Moving {
                len,
                before,
                padded,
                stride,
                reach,
                dilation,
                count_include_pad,
            } => {
                // In the padded input: where the window begins, and where it ends once clipped at the
                // edge.
                let first = output * stride;
                let behind = (first + reach).min(padded);
                // Only windows at the edge pay for a division.
                let start = match before.saturating_sub(first) {
                    0 => first - before,
                    missing if dilation == 1 => first + missing - before,
                    missing => first + missing.next_multiple_of(dilation) - before,
                };
                let end = behind.min(before + len).saturating_sub(before);
                PoolSpan {
                    start,
                    end,
                    step: dilation,
                    divisor: if count_include_pad {
                        behind - first
                    } else {
                        end.saturating_sub(start)
                    },
                }
            }
            Windows::Bins { len, bins } => PoolSpan::of_bin(output, bins, len),
        }
    }

    /// Returns the span of each output.
    #[inline(always)]
    pub(crate) fn spans(&self) -> impl Iterator<Item = PoolSpan> + use<> {
        let axis = *self;
        (0..axis.outputs).map(move |output| axis.span(output))
    }

    /// Returns the outputs whose windows reach over a pixel. With a dilation, a window may step over it.
    pub(crate) fn outputs_over(&self, pixel: usize) -> Range<usize> {
        match self.windows {
            Windows::Moving {
                before,
                stride,
                reach,
                ..
            } => {
                let at = pixel + before;
                let first = (at + 1).saturating_sub(reach).div_ceil(stride);
                first..self.outputs.min(at / stride + 1)
            }
            // The outputs over a pixel are a bin of the outputs.
            Windows::Bins { len, bins } => {
                let PoolSpan { start, end, .. } = PoolSpan::of_bin(pixel, len, bins);
                start..end
            }
        }
    }
}

impl PoolSpans {
    /// The spans of a max pool.
    pub(crate) fn of_max(op: &'static str, placement: &Placement) -> Result<Self> {
        Self::of_avg(op, placement, false)
    }

    /// The spans of an average pool; a mean divides by the number of taps on the input, or on the padded
    /// input.
    pub(crate) fn of_avg(
        op: &'static str,
        placement: &Placement,
        count_include_pad: bool,
    ) -> Result<Self> {
        Ok(Self {
            rows: PoolAxis::moving(op, placement, 0, count_include_pad)?,
            columns: PoolAxis::moving(op, placement, 1, count_include_pad)?,
        })
    }

    /// The spans of an adaptive pool from an input of this size to this many bins.
    ///
    /// # Errors
    ///
    /// [`Error::Zero`] if either has a size of 0, [`Error::TooLarge`] if their product overflows.
    pub(crate) fn of_bins(op: &'static str, input: [usize; 2], bins: [usize; 2]) -> Result<Self> {
        check_bins(op, input, bins)?;
        let along = |axis: usize| {
            let (len, bins) = (input[axis], bins[axis]);
            checked_len(op, "the input's size times the output's", &[len, bins])?;
            PoolAxis::new(op, Windows::Bins { len, bins }, bins)
        };
        Ok(Self {
            rows: along(0)?,
            columns: along(1)?,
        })
    }

    /// Returns whether a pool over `rows` input rows takes less work if each row is reduced for
    /// every output column first, and those results then down the columns. A window then costs the
    /// sum of its sizes instead of their product, but the intermediate results are written to
    /// memory.
    pub(crate) fn are_large(&self, rows: usize) -> bool {
        let (down, along) = (self.rows.pixels, self.columns.pixels);
        let separate = rows
            .saturating_mul(along)
            .saturating_add(down.saturating_mul(self.columns.outputs));
        separate.saturating_mul(2) < down.saturating_mul(along)
    }
}

/// Checks the sizes of an adaptive pool.
pub(crate) fn check_bins(op: &'static str, input: [usize; 2], bins: [usize; 2]) -> Result<()> {
    for (what, sizes) in [("input size", input), ("output size", bins)] {
        if sizes.contains(&0) {
            return Err(Error::Zero { op, what });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Padding, Window};

    /// Compared with a test of every tap individually.
    #[test]
    fn spans_are_the_taps_on_the_input() {
        for (kernel, stride, dilation, padding, len) in [
            (3, 1, 1, [1, 1], 5),
            (2, 2, 3, [3, 0], 4),
            (5, 3, 2, [7, 8], 2),
            (4, 2, 1, [3, 3], 1),
            (9, 1, 1, [4, 4], 3),
        ] {
            for ceil_mode in [false, true] {
                let window = Window {
                    kernel_size: [kernel, 1],
                    stride: [stride, 1],
                    dilation: [dilation, 1],
                    padding: Padding::Explicit([padding[0], 0, padding[1], 0]),
                    ceil_mode,
                };
                let placement = window.place("test", [len, 1]).unwrap();
                let inside = |output: usize| -> Vec<usize> {
                    (0..kernel)
                        .filter_map(|tap| placement.index(0, output, tap))
                        .collect()
                };
                let all_see = (0..placement.output[0]).all(|output| !inside(output).is_empty());
                let spans = PoolSpans::of_max("test", &placement);
                assert_eq!(spans.is_ok(), all_see, "{window:?}");
                for (output, span) in spans
                    .iter()
                    .flat_map(|spans| spans.rows.spans().enumerate())
                {
                    assert_eq!(
                        span.pixels().collect::<Vec<_>>(),
                        inside(output),
                        "{window:?}"
                    );
                    assert_eq!(span.len(), inside(output).len());
                }
                for (spans, pixel) in spans
                    .iter()
                    .flat_map(|spans| (0..len).map(move |y| (spans, y)))
                {
                    let over = spans.rows.outputs_over(pixel);
                    for output in 0..placement.output[0] {
                        let covers = inside(output).contains(&pixel);
                        assert_eq!(spans.rows.span(output).contains(pixel), covers);
                        assert!(over.contains(&output) || !covers, "{window:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_outputs_over_a_pixel_are_those_whose_bins_hold_it() {
        for (len, bins) in [
            (1, 1),
            (7, 7),
            (7, 3),
            (3, 7),
            (13, 5),
            (5, 1),
            (1, 5),
            (12, 4),
        ] {
            let spans = PoolSpans::of_bins("test", [len, 1], [bins, 1]).unwrap();
            for pixel in 0..len {
                let over = spans.rows.outputs_over(pixel);
                for (output, span) in spans.rows.spans().enumerate() {
                    assert_eq!(
                        over.contains(&output),
                        span.contains(pixel),
                        "{len} to {bins}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_window_without_a_pixel_is_named_as_a_broken_invariant() {
        let window = Window {
            padding: Padding::all(4),
            ..Window::new([1, 1])
        };
        let placement = window.place("test", [1, 1]).unwrap();
        let broken = |spans: Result<PoolSpans>| matches!(spans, Err(Error::Internal { .. }));
        assert!(broken(PoolSpans::of_max("test", &placement)));
        assert!(broken(PoolSpans::of_avg("test", &placement, true)));
    }
}
