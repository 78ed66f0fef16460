//! Which input columns the taps of a kernel row read: what the inner loops of `conv2d` and of its
//! gradients have in common.

use std::ops::Range;

use super::partial_sums::PartialSums;
use crate::element::Element;
use crate::geometry::{PaddingValue, Placement};

/// Which input columns one tap of a kernel row reads for the outputs of a row.
///
/// Worked out once, so that the inner loop needs no check of where the padding begins.
pub(super) struct Columns {
    /// The outputs that read the input itself ...
    inside: Range<usize>,
    /// ... from this column on, in steps of `stride`.
    first: usize,
    stride: usize,
    /// The outputs that read padding, each with the column it shows or `None` for the constant.
    outside: Vec<(usize, Option<usize>)>,
}

impl Columns {
    /// Those of each tap of a kernel row.
    pub(super) fn of_taps(placement: &Placement, padding_value: PaddingValue) -> Vec<Self> {
        (0..placement.kernel_size[1])
            .map(|tap| Self::new(placement, padding_value, tap))
            .collect()
    }

    fn new(placement: &Placement, padding_value: PaddingValue, tap: usize) -> Self {
        let outputs = placement.output[1];
        let is_inside = |&output: &usize| placement.index(1, output, tap).is_some();
        let start = (0..outputs).find(is_inside).unwrap_or(outputs);
        let end = (start..outputs)
            .find(|output| !is_inside(output))
            .unwrap_or(outputs);
        let source = |output| {
            let at = placement.position(1, output, tap);
            (output, padding_value.source(at, placement.input[1]))
        };
        Self {
            inside: start..end,
            first: (start < end)
                .then(|| placement.index(1, start, tap))
                .flatten()
                .unwrap_or(0),
            stride: placement.stride[1],
            outside: (0..start).chain(end..outputs).map(source).collect(),
        }
    }

    /// Adds `tap * column` to each output of the row.
    pub(super) fn accumulate<T: Element>(
        &self,
        tap: T,
        row: &[T],
        constant: T,
        output_row: &mut [T],
    ) {
        for &(output, source) in &self.outside {
            output_row[output] += tap * source.map_or(constant, |column| row[column]);
        }
        let inside = &mut output_row[self.inside.clone()];
        let row = &row[self.first..];
        if self.stride == 1 {
            // Apart from the other case only because this one compiles to SIMD.
            inside.iter_mut().zip(row).for_each(|(y, &x)| *y += tap * x);
        } else {
            inside
                .iter_mut()
                .zip(row.iter().step_by(self.stride))
                .for_each(|(y, &x)| *y += tap * x);
        }
    }

    /// The transpose of [`accumulate`](Self::accumulate): adds `tap * grad` of each output to the
    /// column that it reads.
    pub(super) fn scatter<T: Element>(&self, tap: T, grad_output_row: &[T], grad_row: &mut [T]) {
        for &(output, source) in &self.outside {
            if let Some(column) = source {
                grad_row[column] += tap * grad_output_row[output];
            }
        }
        let inside = &grad_output_row[self.inside.clone()];
        let grad_row = &mut grad_row[self.first..];
        if self.stride == 1 {
            // Apart from the other case for the same reason as above.
            grad_row
                .iter_mut()
                .zip(inside)
                .for_each(|(x, &y)| *x += tap * y);
        } else {
            grad_row
                .iter_mut()
                .step_by(self.stride)
                .zip(inside)
                .for_each(|(x, &y)| *x += tap * y);
        }
    }

    /// Adds `grad * column` of each output of the row: what the tap's own gradient consists of.
    pub(super) fn correlate<T: Element>(
        &self,
        row: &[T],
        constant: T,
        grad_output_row: &[T],
        sums: &mut PartialSums<T>,
    ) {
        for &(output, source) in &self.outside {
            sums.add(grad_output_row[output] * source.map_or(constant, |column| row[column]));
        }
        let inside = &grad_output_row[self.inside.clone()];
        let row = &row[self.first..];
        if self.stride == 1 {
            let row = &row[..inside.len()];
            sums.add_products(inside, row);
        } else {
            let row = row.iter().step_by(self.stride);
            sums.add_terms(inside.iter().zip(row).map(|(&y, &x)| y * x));
        }
    }
}

/// The input rows that the taps of a kernel column read, at `[tap * outputs + output]`; `None` for
/// padding that has no source.
pub(super) fn rows_of_taps(
    placement: &Placement,
    padding_value: PaddingValue,
) -> Vec<Option<usize>> {
    let outputs = placement.output[0];
    (0..placement.kernel_size[0])
        .flat_map(|tap| (0..outputs).map(move |output| (tap, output)))
        .map(|(tap, output)| {
            padding_value.source(placement.position(0, output, tap), placement.input[0])
        })
        .collect()
}
