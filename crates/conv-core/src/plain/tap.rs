//! The pixels that a tap of the kernel reads along one axis: shared by the inner loops of `conv2d`
//! and its gradients.

use std::ops::Range;

use super::partial_sums::PartialSums;
use crate::element::Element;
use crate::geometry::{PaddingValue, Placement};

/// The pixels that one tap reads along one axis, for all outputs.
///
/// Computed once, so that the inner loops need not check where the padding begins.
pub(super) struct Tap {
    runs: Vec<Run>,
}

/// Neighbouring outputs whose tap moves through the input in even steps.
///
/// Most taps have three such runs: padding, the input itself in steps of the stride, padding. Only
/// reflection moves backwards, and only replication does not move.
struct Run {
    outputs: Range<usize>,
    /// The first pixel and the step to the next; `None` where the outputs read the constant.
    source: Option<(usize, isize)>,
}

/// Pixels `first`, `first + step` and so on, already checked to be inside the input.
fn steps(first: usize, step: isize) -> impl Iterator<Item = usize> {
    let mut next = first;
    std::iter::repeat_with(move || {
        let pixel = next;
        next = next.wrapping_add_signed(step);
        pixel
    })
}

impl Run {
    /// Returns the pixel that the run's `k`-th output reads.
    fn pixel(&self, k: usize) -> Option<usize> {
        // Inside the input, as `Tap::new` has checked.
        let (first, step) = self.source?;
        Some(first.wrapping_add_signed(step.wrapping_mul(k as isize)))
    }

    /// Returns whether an output that reads `pixel` continues the run; a run of one adopts its
    /// step.
    fn takes(&mut self, pixel: Option<usize>) -> bool {
        let len = self.outputs.len();
        if let (1, Some((first, step)), Some(pixel)) = (len, &mut self.source, pixel) {
            *step = (pixel as isize).wrapping_sub(*first as isize);
        }
        let takes = self.pixel(len) == pixel;
        self.outputs.end += usize::from(takes);
        takes
    }
}

impl Tap {
    /// Returns the taps of the kernel along `axis` (0 = h, 1 = w).
    pub(super) fn along(
        placement: &Placement,
        axis: usize,
        padding_value: PaddingValue,
    ) -> Vec<Self> {
        (0..placement.kernel_size[axis])
            .map(|tap| Self::new(placement, axis, padding_value, tap))
            .collect()
    }

    fn new(placement: &Placement, axis: usize, padding_value: PaddingValue, tap: usize) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for output in 0..placement.output[axis] {
            let at = placement.position(axis, output, tap);
            let pixel = padding_value.source(at, placement.input[axis]);
            if !runs.last_mut().is_some_and(|run| run.takes(pixel)) {
                runs.push(Run {
                    outputs: output..output + 1,
                    source: pixel.map(|pixel| (pixel, 0)),
                });
            }
        }
        Self { runs }
    }

    /// Returns every output with the pixel it reads, or `None` for the constant.
    pub(super) fn pixels(&self) -> impl Iterator<Item = (usize, Option<usize>)> {
        self.runs.iter().flat_map(|run| {
            let outputs = run.outputs.clone().enumerate();
            outputs.map(|(k, output)| (output, run.pixel(k)))
        })
    }

    /// Adds `weight * pixel` to each output of a row.
    pub(super) fn accumulate<T: Element>(
        &self,
        weight: T,
        input_row: &[T],
        constant: T,
        output_row: &mut [T],
    ) {
        for run in &self.runs {
            let outputs = &mut output_row[run.outputs.clone()];
            match run.source {
                // Separate from the other cases only because this one compiles to SIMD.
                Some((first, 1)) => {
                    let pixels = &input_row[first..];
                    outputs
                        .iter_mut()
                        .zip(pixels)
                        .for_each(|(y, &x)| *y += weight * x);
                }
                Some((first, step)) => {
                    for (y, pixel) in outputs.iter_mut().zip(steps(first, step)) {
                        *y += weight * input_row[pixel];
                    }
                }
                None => outputs.iter_mut().for_each(|y| *y += weight * constant),
            }
        }
    }

    /// The transpose of [`accumulate`](Self::accumulate): adds `weight * grad` of each output of a
    /// row to the pixel that it reads.
    pub(super) fn scatter<T: Element>(&self, weight: T, grad_output_row: &[T], grad_row: &mut [T]) {
        for run in &self.runs {
            let grads = &grad_output_row[run.outputs.clone()];
            match run.source {
                Some((first, 1)) => {
                    let pixels = &mut grad_row[first..];
                    pixels
                        .iter_mut()
                        .zip(grads)
                        .for_each(|(x, &y)| *x += weight * y);
                }
                Some((first, step)) => {
                    for (&grad, pixel) in grads.iter().zip(steps(first, step)) {
                        grad_row[pixel] += weight * grad;
                    }
                }
                None => {}
            }
        }
    }

    /// Adds `grad * pixel` of each output of a row to the sums: the gradient of the tap's own
    /// weight.
    pub(super) fn correlate<T: Element>(
        &self,
        input_row: &[T],
        constant: T,
        grad_output_row: &[T],
        sums: &mut PartialSums<T>,
    ) {
        for run in &self.runs {
            let grads = &grad_output_row[run.outputs.clone()];
            match run.source {
                Some((first, 1)) => sums.add_products(grads, &input_row[first..][..grads.len()]),
                Some((first, step)) => {
                    let pixels = steps(first, step).map(|pixel| input_row[pixel]);
                    sums.add_terms(grads.iter().zip(pixels).map(|(&grad, x)| grad * x));
                }
                None => sums.add_terms(grads.iter().map(|&grad| grad * constant)),
            }
        }
    }
}
