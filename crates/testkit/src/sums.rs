//! The error bounds of convolutions by different algorithms.

use conv_core::PaddingValue;
use ndarray::{ArrayD, Axis};
use nn_layers::{Node, Op};

use crate::close::dot_bound;
use crate::executors::terms;

/// How an executor sums the products of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sums {
    /// As they are defined: within [`dot_bound`] of the sum of the absolute products.
    Direct,
    /// Where it is possible, by Winograd's algorithm, in which an output's sum contains all inputs of its
    /// tile, with signs that cancel: within twice [`dot_bound`] of `Σ_c max |x_c| Σ |w_c|`, with the
    /// largest input of each channel around the output.
    Winograd,
}

/// Output pixels, and input pixels, of the largest tile along an axis.
const OUTPUTS: usize = 4;
const INPUTS: usize = 6;

impl Sums {
    /// Returns the rounding error of a convolution's output beyond that of direct sums; zeros if it has
    /// none. `input` and `weight` are its own, `bound` has the output's shape.
    pub(crate) fn add_to(
        self,
        bound: &mut ArrayD<f64>,
        node: &Node,
        input: &ArrayD<f64>,
        weight: Option<&ArrayD<f64>>,
    ) {
        let (Self::Winograd, Op::Conv2d(conv), Some(weight)) = (self, node.op(), weight) else {
            return;
        };
        let options = &conv.options;
        let (&[_, channels, kh, kw], &[batch, outputs, height, width]) =
            (weight.shape(), bound.shape())
        else {
            return;
        };
        let is_plain =
            options.stride == [1, 1] && options.dilation == [1, 1] && options.groups == 1;
        if !is_plain || ![[3, 3], [5, 5]].contains(&[kh, kw]) {
            return;
        }
        let &[.., h, w] = input.shape() else { return };
        let Ok(placement) = options.window([kh, kw]).place("conv2d", [h, w]) else {
            return;
        };
        let [top, left, ..] = placement.padding;
        let number = terms(node, input.shape()).unwrap_or(1);
        let constant = options.padding_value.constant().abs();
        let is_zero = options.padding_value == PaddingValue::Zeros;
        let around = |at: usize, padding: usize, size: usize| {
            if !is_zero {
                // Padding may repeat any pixel.
                return 0..size;
            }
            let first = (at + 1).saturating_sub(padding + OUTPUTS);
            first..size.min((at + INPUTS).saturating_sub(padding))
        };
        let sums = weight.map(|w| w.abs()).sum_axis(Axis(3)).sum_axis(Axis(2));
        for n in 0..batch {
            for y in 0..height {
                for x in 0..width {
                    let largest: Vec<f64> = (0..channels)
                        .map(|c| {
                            let mut largest = constant;
                            for row in around(y, top, h) {
                                for column in around(x, left, w) {
                                    largest = largest.max(input[[n, c, row, column]].abs());
                                }
                            }
                            largest
                        })
                        .collect();
                    for o in 0..outputs {
                        let products = largest.iter().enumerate().map(|(c, x)| x * sums[[o, c]]);
                        bound[[n, o, y, x]] += 2.0 * dot_bound(number, products.sum());
                    }
                }
            }
        }
    }
}
