//! Inputs of any dimension type, for the short forms of `run` and `step`.

use ndarray::{ArrayView, ArrayViewD, Dimension};

/// Calls `run` with the same views, whose number of axes is no longer part of their type. For a
/// single input, the usual case, no list is allocated.
pub(crate) fn with_dyn<D: Dimension, R>(
    inputs: &[ArrayView<'_, f32, D>],
    run: impl FnOnce(&[ArrayViewD<'_, f32>]) -> R,
) -> R {
    match inputs {
        [input] => run(&[input.view().into_dyn()]),
        _ => {
            let inputs: Vec<_> = inputs.iter().map(|input| input.view().into_dyn()).collect();
            run(&inputs)
        }
    }
}
