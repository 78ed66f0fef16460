//! The fully connected layer.

use ndarray::{Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;

use super::{contiguous, into_array, zeros};
use crate::element::Element;
use crate::error::{Error, Result};

/// Every output is a weighted sum of all inputs: `[N, I]` to `[N, O]` with weight `[O, I]` and
/// bias `[O]`.
///
/// ```text
/// y[n, o] = b[o] + sum over i of x[n, i] * w[o, i]
/// ```
///
/// The sum starts with the bias and goes over `i` in order.
///
/// ```
/// use conv_core::plain;
/// use conv_core::ndarray::array;
///
/// let (input, weight, bias) = (array![[1.0, 2.0]], array![[3.0, 4.0], [5.0, 6.0]], array![0.5, 0.0]);
/// let output = plain::linear(input.view(), weight.view(), Some(bias.view()))?;
/// assert_eq!(output, array![[11.5, 17.0]]);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Zero`] where there are no inputs or no outputs, [`Error::Mismatch`] where weight or
/// bias do not fit.
pub fn linear<T: Element>(
    input: ArrayView2<'_, T>,
    weight: ArrayView2<'_, T>,
    bias: Option<ArrayView1<'_, T>>,
) -> Result<Array2<T>> {
    let op = "linear";
    let (batch, inputs) = input.dim();
    let (outputs, weight_inputs) = weight.dim();
    for (what, size) in [
        ("inputs (input axis 1)", inputs),
        ("outputs (weight axis 0)", outputs),
    ] {
        if size == 0 {
            return Err(Error::Zero { op, what });
        }
    }
    if weight_inputs != inputs {
        let what = "inputs (weight axis 1)";
        return Err(Error::Mismatch {
            op,
            what,
            expected: inputs,
            got: weight_inputs,
        });
    }
    if let Some(got) = bias.map(|bias| bias.len()).filter(|&len| len != outputs) {
        return Err(Error::Mismatch {
            op,
            what: "bias length",
            expected: outputs,
            got,
        });
    }
    let mut output: Vec<T> = zeros(op, &[batch, outputs])?;

    let input = contiguous(input);
    let weight = contiguous(weight);
    let bias = bias.map(contiguous);
    output.par_iter_mut().enumerate().for_each(|(index, sum)| {
        let (n, o) = (index / outputs, index % outputs);
        *sum = bias.as_ref().map_or(T::zero(), |bias| bias[o]);
        let (x, w) = (
            &input[n * inputs..][..inputs],
            &weight[o * inputs..][..inputs],
        );
        for (&x, &w) in x.iter().zip(w) {
            *sum += x * w;
        }
    });
    into_array(op, [batch, outputs], output)
}
