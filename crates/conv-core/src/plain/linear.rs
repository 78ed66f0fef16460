//! The fully connected layer and its gradients.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;

use crate::arrays::{contiguous, into_array, zeros};
use crate::element::Element;
use crate::error::{Error, Result};

/// Computes every output as a weighted sum of all inputs: `[N, I]` to `[N, O]` with weight `[O, I]`
/// and bias `[O]`.
///
/// ```text
/// y[n, o] = b[o] + sum over i of x[n, i] * w[o, i]
/// ```
///
/// The sum starts with the bias and runs over `i` in order.
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
/// # Gradients
///
/// [`linear_grad_input`], [`linear_grad_weight`] and [`linear_grad_bias`].
///
/// # Errors
///
/// [`Error::Zero`] if there are no inputs or no outputs, [`Error::Mismatch`] if weight or bias do
/// not fit.
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

    let input = contiguous(op, input)?;
    let weight = contiguous(op, weight)?;
    let bias = bias.map(|bias| contiguous(op, bias)).transpose()?;
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

/// The gradient of [`linear`] with respect to its input: `[N, I]` from `grad_output` `[N, O]` and
/// weight `[O, I]`.
///
/// ```text
/// grad_input[n, i] = sum over o of grad_output[n, o] * w[o, i]
/// ```
///
/// The sum runs over `o` in order.
///
/// ```
/// use conv_core::plain;
/// use conv_core::ndarray::array;
///
/// let (grad_output, weight) = (array![[1.0, 10.0]], array![[3.0, 4.0], [5.0, 6.0]]);
/// let grad_input = plain::linear_grad_input(grad_output.view(), weight.view())?;
/// assert_eq!(grad_input, array![[53.0, 64.0]]);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Zero`] if there are no inputs or no outputs, [`Error::Mismatch`] if `grad_output` and
/// the weight differ in the number of outputs.
pub fn linear_grad_input<T: Element>(
    grad_output: ArrayView2<'_, T>,
    weight: ArrayView2<'_, T>,
) -> Result<Array2<T>> {
    let op = "linear_grad_input";
    let (batch, got) = grad_output.dim();
    let (outputs, inputs) = weight.dim();
    for (what, size) in [
        ("inputs (weight axis 1)", inputs),
        ("outputs (weight axis 0)", outputs),
    ] {
        if size == 0 {
            return Err(Error::Zero { op, what });
        }
    }
    if got != outputs {
        return Err(Error::Mismatch {
            op,
            what: "outputs (grad_output axis 1)",
            expected: outputs,
            got,
        });
    }
    let mut grad_input: Vec<T> = zeros(op, &[batch, inputs])?;

    let grad_output = contiguous(op, grad_output)?;
    let weight = contiguous(op, weight)?;
    grad_input
        .par_chunks_mut(inputs)
        .zip(grad_output.par_chunks(outputs))
        .for_each(|(grad_input, grads)| {
            for (&grad, weights) in grads.iter().zip(weight.chunks_exact(inputs)) {
                add_scaled(grad_input, grad, weights);
            }
        });
    into_array(op, [batch, inputs], grad_input)
}

/// The gradient of [`linear`] with respect to its weight: `[O, I]` from input `x` `[N, I]` and
/// `grad_output` `[N, O]`.
///
/// ```text
/// grad_weight[o, i] = sum over n of grad_output[n, o] * x[n, i]
/// ```
///
/// The sum runs over `n` in order.
///
/// ```
/// use conv_core::plain;
/// use conv_core::ndarray::array;
///
/// let (input, grad_output) = (array![[1.0, 2.0]], array![[3.0, -1.0]]);
/// let grad_weight = plain::linear_grad_weight(input.view(), grad_output.view())?;
/// assert_eq!(grad_weight, array![[3.0, 6.0], [-1.0, -2.0]]);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Zero`] if there are no inputs or no outputs, [`Error::Mismatch`] if `grad_output` and
/// the input differ in the number of pictures, [`Error::TooLarge`] for a gradient that does not fit
/// in memory.
pub fn linear_grad_weight<T: Element>(
    input: ArrayView2<'_, T>,
    grad_output: ArrayView2<'_, T>,
) -> Result<Array2<T>> {
    let op = "linear_grad_weight";
    let (batch, inputs) = input.dim();
    let (got, outputs) = grad_output.dim();
    for (what, size) in [
        ("inputs (input axis 1)", inputs),
        ("outputs (grad_output axis 1)", outputs),
    ] {
        if size == 0 {
            return Err(Error::Zero { op, what });
        }
    }
    if got != batch {
        return Err(Error::Mismatch {
            op,
            what: "pictures (grad_output axis 0)",
            expected: batch,
            got,
        });
    }
    let mut grad_weight: Vec<T> = zeros(op, &[outputs, inputs])?;

    let input = contiguous(op, input)?;
    let grad_output = contiguous(op, grad_output)?;
    grad_weight
        .par_chunks_mut(inputs)
        .enumerate()
        .for_each(|(o, grad_weight)| {
            let grads = grad_output.chunks_exact(outputs).map(|grads| grads[o]);
            for (grad, input) in grads.zip(input.chunks_exact(inputs)) {
                add_scaled(grad_weight, grad, input);
            }
        });
    into_array(op, [outputs, inputs], grad_weight)
}

/// The gradient of [`linear`] with respect to its bias, `[O]`: the sum over the pictures, in order.
///
/// ```text
/// grad_bias[o] = sum over n of grad_output[n, o]
/// ```
///
/// ```
/// use conv_core::plain;
/// use conv_core::ndarray::array;
///
/// let grad_output = array![[1.0, 2.0], [3.0, 5.0]];
/// assert_eq!(plain::linear_grad_bias(grad_output.view())?, array![4.0, 7.0]);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::TooLarge`] or [`Error::OutOfMemory`] for a gradient that does not fit in memory.
pub fn linear_grad_bias<T: Element>(grad_output: ArrayView2<'_, T>) -> Result<Array1<T>> {
    let op = "linear_grad_bias";
    let outputs = grad_output.ncols();
    let mut grad_bias: Vec<T> = zeros(op, &[outputs])?;
    // Not `rows`: an array without columns may have any number of rows.
    for grads in grad_output.rows().into_iter().take(grad_output.len()) {
        for (sum, &grad) in grad_bias.iter_mut().zip(grads) {
            *sum += grad;
        }
    }
    into_array(op, [outputs], grad_bias)
}

/// Computes `sums += factor * values`.
fn add_scaled<T: Element>(sums: &mut [T], factor: T, values: &[T]) {
    for (sum, &value) in sums.iter_mut().zip(values) {
        *sum += factor * value;
    }
}
