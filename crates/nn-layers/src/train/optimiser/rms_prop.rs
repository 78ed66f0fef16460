//! RMSprop.

use conv_core::Element;
use serde::{Deserialize, Serialize};

use super::Update;
use crate::{
    error::Result,
    train::option::{at_least_0, below_1},
};

/// RMSprop with rate `γ`. For each value `p` with gradient `g`:
///
/// ```text
/// v ← α v + (1 - α) g²                  from v = 0
/// b ← μ b + g / (sqrt(v) + ε)           from b = 0
/// p ← p - γ b
/// ```
///
/// Reference: Tieleman and Hinton, lecture 6.5 of "Neural Networks for Machine Learning", 2012. As
/// in PyTorch, `ε` is outside the square root; in TensorFlow's version, which Inception-v3 was
/// trained with, it is inside.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RmsProp {
    /// `α`, in `[0, 1)`.
    pub alpha: f64,
    /// `ε`, at least 0.
    pub epsilon: f64,
    /// `μ`, in `[0, 1)`; 0 for none.
    pub momentum: f64,
}

/// Returns 0.99, 1e-8 and no momentum, as in PyTorch.
impl Default for RmsProp {
    fn default() -> Self {
        Self {
            alpha: 0.99,
            epsilon: 1e-8,
            momentum: 0.0,
        }
    }
}

impl RmsProp {
    pub(super) fn moments(self) -> &'static [&'static str] {
        match self.momentum {
            0.0 => &["square_avg"],
            _ => &["square_avg", "momentum_buffer"],
        }
    }

    pub(super) fn check(self) -> Result<()> {
        below_1("alpha", self.alpha)?;
        at_least_0("epsilon", self.epsilon)?;
        below_1("momentum", self.momentum)
    }

    pub(super) fn apply<T: Element>(
        self,
        update: &Update<T>,
        numbers: &mut [T],
        gradient: &[T],
        square: &mut [T],
        buffer: Option<&mut Vec<T>>,
    ) {
        let [alpha, new] = [self.alpha, 1.0 - self.alpha].map(T::from_f64);
        let epsilon = T::from_f64(self.epsilon);
        let rate = T::from_f64(update.rate);
        let numbers = numbers.iter_mut().zip(gradient).zip(square);
        let Some(buffer) = buffer else {
            for ((p, &g), v) in numbers {
                let g = update.gradient(*p, g);
                *v = *v * alpha + new * g * g;
                *p = *p * update.kept - rate * g / (v.sqrt() + epsilon);
            }
            return;
        };
        let momentum = T::from_f64(update.momentum.unwrap_or(self.momentum));
        for (((p, &g), v), b) in numbers.zip(buffer) {
            let g = update.gradient(*p, g);
            *v = *v * alpha + new * g * g;
            *b = *b * momentum + g / (v.sqrt() + epsilon);
            *p = *p * update.kept - rate * *b;
        }
    }
}
