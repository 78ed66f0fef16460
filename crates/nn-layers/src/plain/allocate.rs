//! New tensors whose size a caller's input or graph determines. One that does not fit in memory is
//! an error here, not an abort.

use conv_core::Element;
use ndarray::{ArrayD, ArrayViewD, Dimension, IxDyn};

use crate::allocate;
use crate::error::{Error, Result};

/// Returns a tensor of zeros for this node.
pub(super) fn zeros<T: Element>(node: &str, shape: IxDyn) -> Result<ArrayD<T>> {
    let len = shape.size();
    let mut values = reserve(node, len)?;
    values.resize(len, T::zero());
    shaped(node, shape, values)
}

/// Returns a copy of a tensor that a caller passed to this node. A broadcast view may be far larger
/// than memory.
pub(super) fn owned<T: Element>(node: &str, x: &ArrayViewD<'_, T>) -> Result<ArrayD<T>> {
    let mut values = reserve(node, x.len())?;
    match x.as_slice() {
        Some(slice) => values.extend_from_slice(slice),
        None => values.extend(x.iter().copied()),
    }
    shaped(node, x.raw_dim(), values)
}

fn reserve<T>(node: &str, count: usize) -> Result<Vec<T>> {
    allocate::reserve(count, || format!("the tensor of node {node:?}"))
}

fn shaped<T>(node: &str, shape: IxDyn, values: Vec<T>) -> Result<ArrayD<T>> {
    let array = ArrayD::from_shape_vec(shape, values);
    array.map_err(|_| Error::internal(node, "a new tensor does not have its elements"))
}
