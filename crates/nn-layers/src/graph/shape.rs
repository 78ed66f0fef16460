//! The shape of a tensor.

use std::{fmt, ops::Deref};

use serde::Serialize;

/// The sizes of a tensor's axes.
///
/// Networks use two kinds of tensors: pictures and feature maps of rank 4, `[n, c, h, w]`, and
/// vectors of rank 2, `[n, f]`. In both, axis 1 is that of the channels or features.
///
/// ```
/// # use nn_layers::Shape;
/// let shape = Shape::from([1, 3, 416, 416]);
/// assert_eq!(shape.to_string(), "1x3x416x416");
/// assert_eq!(shape.elements(), Some(519_168));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// The number of axes.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The product of the sizes, or `None` if it overflows.
    #[must_use]
    pub fn elements(&self) -> Option<usize> {
        conv_core::checked_len("shape", "the tensor", &self.0).ok()
    }

    /// `[n, c, h, w]`, or `None` for another rank.
    #[must_use]
    pub fn nchw(&self) -> Option<[usize; 4]> {
        self.0.as_slice().try_into().ok()
    }

    /// The name of an axis: one of `n c h w` for rank 4, one of `n f` for other ranks.
    pub(crate) fn axis_name(&self, axis: usize) -> &'static str {
        let names: &[&str] = if self.rank() == 4 {
            &["n", "c", "h", "w"]
        } else {
            &["n", "f"]
        };
        names.get(axis).copied().unwrap_or("?")
    }
}

impl Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&join(&self.0))
    }
}

/// The sizes joined by `x`, or `scalar` if there are none.
pub(crate) fn join(sizes: &[usize]) -> String {
    if sizes.is_empty() {
        return "scalar".to_owned();
    }
    sizes
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("x")
}

impl<const RANK: usize> From<[usize; RANK]> for Shape {
    fn from(sizes: [usize; RANK]) -> Self {
        Self(sizes.to_vec())
    }
}

impl From<Vec<usize>> for Shape {
    fn from(sizes: Vec<usize>) -> Self {
        Self(sizes)
    }
}

impl From<&[usize]> for Shape {
    fn from(sizes: &[usize]) -> Self {
        Self(sizes.to_vec())
    }
}
