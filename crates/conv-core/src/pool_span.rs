//! The input pixels that each output of a pool covers along one axis.

use crate::error::{Error, Result};
use crate::geometry::Placement;

/// The input pixels `start, start + step, ..` before `end` that one output covers along one axis,
/// at least one, and the number of taps that a mean divides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PoolSpan {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) step: usize,
    pub(crate) divisor: usize,
}

/// The pixels that the outputs of a pool cover: the rows under each output row, the columns under
/// each output column.
pub(crate) struct PoolSpans {
    pub(crate) rows: Vec<PoolSpan>,
    pub(crate) columns: Vec<PoolSpan>,
}

impl PoolSpan {
    /// Returns the pixels.
    pub(crate) fn pixels(&self) -> impl Iterator<Item = usize> + use<> {
        (self.start..self.end).step_by(self.step)
    }

    /// Returns the pixel at `at` alone.
    pub(crate) fn of_one(at: usize) -> Self {
        Self {
            start: at,
            end: at + 1,
            step: 1,
            divisor: 1,
        }
    }

    /// Returns the number of pixels.
    pub(crate) fn len(&self) -> usize {
        (self.end - self.start).div_ceil(self.step)
    }

    /// Returns the taps of a max pool that fall on the input.
    fn of_max(placement: &Placement, axis: usize, output: usize) -> Option<Self> {
        let step = placement.dilation[axis];
        let last_pixel = placement.input[axis].checked_sub(1)?;
        let (first, before) = (output * placement.stride[axis], placement.padding[axis]);
        // The taps that fall on the padding in front, and the tap after the last one on the input.
        let skipped = before.saturating_sub(first).div_ceil(step);
        let start = (first + skipped * step).checked_sub(before)?;
        let fit = last_pixel.checked_sub(start)? / step + 1;
        let taps = placement.kernel_size[axis].checked_sub(skipped)?.min(fit);
        Some(Self {
            start,
            end: start + taps.checked_sub(1)? * step + 1,
            step,
            divisor: 1,
        })
    }

    /// Returns the taps of an average pool that fall on the input; the divisor counts those, or all
    /// that fall on the padded input.
    fn of_avg(
        placement: &Placement,
        axis: usize,
        output: usize,
        count_include_pad: bool,
    ) -> Option<Self> {
        let (before, after) = (placement.padding[axis], placement.padding[axis + 2]);
        let len = placement.input[axis];
        // In the padded input: where the window begins, and where it ends once clipped at the edge.
        let first = output * placement.stride[axis];
        let behind = (first + placement.kernel_size[axis]).min(before + len + after);
        let unpadded = |at: usize| at.saturating_sub(before).min(len);
        let (start, end) = (unpadded(first), unpadded(behind));
        let inside = end.checked_sub(start).filter(|&pixels| pixels > 0)?;
        Some(Self {
            start,
            end,
            step: 1,
            divisor: if count_include_pad {
                behind - first
            } else {
                inside
            },
        })
    }

    /// Returns the pixels of bin `k` of `bins` over `len` pixels,
    /// `floor(k * len / bins) .. ceil((k + 1) * len / bins)`.
    fn of_bin(k: usize, bins: usize, len: usize) -> Self {
        // In u128, which holds the product of any two sizes.
        let [k, bins, len] = [k, bins, len].map(|size| size as u128);
        let start = (k * len / bins) as usize;
        let end = ((k + 1) * len).div_ceil(bins) as usize;
        Self {
            start,
            end,
            step: 1,
            divisor: end - start,
        }
    }
}

impl PoolSpans {
    /// The spans of a max pool.
    pub(crate) fn of_max(op: &'static str, placement: &Placement) -> Result<Self> {
        Self::of(op, placement, |axis, output| {
            PoolSpan::of_max(placement, axis, output)
        })
    }

    /// The spans of an average pool.
    pub(crate) fn of_avg(
        op: &'static str,
        placement: &Placement,
        count_include_pad: bool,
    ) -> Result<Self> {
        Self::of(op, placement, |axis, output| {
            PoolSpan::of_avg(placement, axis, output, count_include_pad)
        })
    }

    /// The spans of an adaptive pool from an input of this size to this many bins.
    ///
    /// # Errors
    ///
    /// [`Error::Zero`] if either has a size of 0.
    pub(crate) fn of_bins(op: &'static str, input: [usize; 2], bins: [usize; 2]) -> Result<Self> {
        check_bins(op, input, bins)?;
        let [rows, columns] = [0, 1].map(|axis| {
            (0..bins[axis])
                .map(|k| PoolSpan::of_bin(k, bins[axis], input[axis]))
                .collect()
        });
        Ok(Self { rows, columns })
    }

    fn of(
        op: &'static str,
        placement: &Placement,
        span: impl Fn(usize, usize) -> Option<PoolSpan>,
    ) -> Result<Self> {
        let spans = |axis: usize| -> Result<Vec<PoolSpan>> {
            (0..placement.output[axis])
                .map(|output| {
                    span(axis, output).ok_or(Error::Internal {
                        op,
                        broken: "a pool's window covers no pixel of the input",
                    })
                })
                .collect()
        };
        Ok(Self {
            rows: spans(0)?,
            columns: spans(1)?,
        })
    }

    /// Returns whether a pool over `rows` input rows takes less work if each row is reduced for
    /// every output column first, and those results then down the columns. A window then costs the
    /// sum of its sizes instead of their product, but the intermediate results are written to
    /// memory.
    pub(crate) fn are_large(&self, rows: usize) -> bool {
        let total = |spans: &[PoolSpan]| {
            let lens = spans.iter().map(PoolSpan::len);
            lens.fold(0, usize::saturating_add)
        };
        let (down, along) = (total(&self.rows), total(&self.columns));
        let separate = rows
            .saturating_mul(along)
            .saturating_add(down.saturating_mul(self.columns.len()));
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
                for (output, span) in spans.iter().flat_map(|spans| spans.rows.iter().enumerate()) {
                    assert_eq!(
                        span.pixels().collect::<Vec<_>>(),
                        inside(output),
                        "{window:?}"
                    );
                    assert_eq!(span.len(), inside(output).len());
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
