//! Weights of classes, for data in which some classes are rarer than others.

use serde::{Deserialize, Serialize};

use crate::{
    error::Result,
    train::{error::TrainError, option::at_least_0},
};

/// The weight of each class in a [`CrossEntropy`](super::CrossEntropy), in the order of the classes.
///
/// Without weights, a network that always answers with the commonest class does well on data in
/// which one class is far commoner than the others. In TOML and JSON, the weights are a list.
///
/// ```
/// use nn_layers::{ClassWeights, CrossEntropy};
///
/// // 60 pictures of cats, 20 each of dogs and foxes.
/// let weights = ClassWeights::balanced(&[60, 20, 20])?;
/// assert_eq!(weights.values(), [100.0 / 180.0, 100.0 / 60.0, 100.0 / 60.0]);
/// let loss = CrossEntropy {
///     class_weights: Some(weights),
///     ..CrossEntropy::default()
/// };
/// # let _ = loss;
/// # Ok::<(), nn_layers::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClassWeights(Vec<f64>);

impl ClassWeights {
    /// The weights with which every class counts the same, whatever its number of samples:
    /// `n / (k · n_c)` for class `c` with `n_c` of the `n` samples of `k` classes. Their mean over
    /// the samples is 1. These are scikit-learn's `class_weight="balanced"`.
    ///
    /// # Errors
    ///
    /// [`TrainError::Value`] for a class without samples, which cannot be learnt.
    pub fn balanced(counts: &[usize]) -> Result<Self> {
        let all: f64 = counts.iter().map(|&count| count as f64).sum();
        let weight = |&count: &usize| match count {
            0 => Err(TrainError::Value {
                what: "the number of samples of a class",
                got: 0.0,
                expected: "at least 1 for balanced class weights",
            }
            .into()),
            count => Ok(all / (counts.len() as f64 * count as f64)),
        };
        counts.iter().map(weight).collect::<Result<_>>().map(Self)
    }

    /// The weights.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    pub(super) fn check(&self) -> Result<()> {
        let mut weights = self.0.iter();
        weights.try_for_each(|&weight| at_least_0("a class weight", weight))
    }
}

/// Weights of your own choice, each at least 0.
impl From<Vec<f64>> for ClassWeights {
    fn from(weights: Vec<f64>) -> Self {
        Self(weights)
    }
}
