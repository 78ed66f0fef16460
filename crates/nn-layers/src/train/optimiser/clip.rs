//! Limits on gradients.

use conv_core::Element;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    train::{error::TrainError, option},
};

/// A limit on gradients, which prevents a single bad batch from ruining the parameters (Pascanu et
/// al., "On the difficulty of training Recurrent Neural Networks", 2012, section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clip {
    /// Each value of a gradient is clamped to `±limit`.
    Value(f64),
    /// All gradients are multiplied by `limit / (norm + 1e-6)` if that is below 1, where `norm` is
    /// the Euclidean norm of all parameters' gradients together; the 1e-6 is PyTorch's.
    Norm(f64),
}

impl Clip {
    pub(super) fn check(self) -> Result<()> {
        let (Self::Value(limit) | Self::Norm(limit)) = self;
        option::positive("the limit of gradients", limit)
    }

    /// Returns the factor for gradients of this norm.
    pub(super) fn factor(self, norm: f64) -> f64 {
        match self {
            Self::Value(_) => 1.0,
            Self::Norm(limit) => (limit / (norm + 1e-6)).min(1.0),
        }
    }

    /// Returns the largest allowed magnitude of a single value.
    pub(super) fn limit(self) -> f64 {
        match self {
            Self::Value(limit) => limit,
            Self::Norm(_) => f64::INFINITY,
        }
    }
}

/// Scans all gradients before any is used.
#[derive(Default)]
pub(super) struct Scan {
    sum: f64,
    fault: Option<Error>,
}

impl Scan {
    pub(super) fn add<T: Element>(&mut self, name: &str, gradient: &[T]) {
        let sum = sum_of_squares(gradient);
        // The square of a finite f32 is never infinite in f64, but that of a large f64 is.
        if !sum.is_finite() && self.fault.is_none() {
            self.fault = first_non_finite(gradient.iter()).map(|(index, got)| {
                Error::Train(TrainError::NonFinite {
                    tensor: format!("the gradient of {name:?}"),
                    index,
                    got,
                    node: None,
                })
            });
        }
        self.sum += sum;
    }

    /// Returns the norm of all gradients added so far.
    pub(super) fn norm(self) -> Result<f64> {
        match self.fault {
            Some(fault) => Err(fault),
            None if self.sum.is_finite() => Ok(self.sum.sqrt()),
            None => Err(TrainError::NonFinite {
                tensor: "the norm of all gradients".to_owned(),
                index: 0,
                got: self.sum.sqrt(),
                node: None,
            }
            .into()),
        }
    }
}

/// Sums in f64, in an order fixed by the length alone: eight partial sums, then added one after the
/// other.
fn sum_of_squares<T: Element>(numbers: &[T]) -> f64 {
    let (chunks, rest) = numbers.as_chunks::<8>();
    let wide = |x: T| x.to_f64().unwrap_or(f64::NAN);
    let mut sums = [0.0; 8];
    for chunk in chunks {
        for (sum, &x) in sums.iter_mut().zip(chunk) {
            *sum += wide(x) * wide(x);
        }
    }
    let rest = rest.iter().map(|&x| wide(x) * wide(x));
    sums.into_iter().chain(rest).sum()
}

/// Returns the first value that is NaN or infinite, and its index.
pub(crate) fn first_non_finite<'a, T: Element>(
    numbers: impl IntoIterator<Item = &'a T>,
) -> Option<(usize, f64)> {
    let mut numbers = numbers.into_iter().enumerate();
    let (index, x) = numbers.find(|(_, x)| !x.is_finite())?;
    Some((index, x.to_f64().unwrap_or(f64::NAN)))
}
