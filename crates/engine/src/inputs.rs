//! Inputs with axes of any type, for the calls that people write by hand.

use ndarray::{ArrayView, ArrayViewD, Dimension};

/// Calls `run` with the same views, whose number of axes is no longer in their type. For the one input
/// that most networks have, nothing is allocated.
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
