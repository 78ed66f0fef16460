//! Gradient descent.

use conv_core::Element;
use serde::{Deserialize, Serialize};

use super::Update;
use crate::{
    error::Result,
    train::option::{below_1, check},
};

/// Stochastic gradient descent with rate `γ` and momentum `μ`. For each value `p` with gradient
/// `g`:
///
/// ```text
/// b ← μ b + g               from b = 0
/// p ← p - γ b               or p - γ (g + μ b) with Nesterov's momentum
/// ```
///
/// Nesterov's momentum: Sutskever et al., "On the importance of initialization and momentum in deep
/// learning", 2013, section 2, in PyTorch's form, which looks ahead with the same rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sgd {
    /// `μ`, in `[0, 1)`; 0 for none.
    pub momentum: f64,
    /// Whether the gradient is taken one step ahead; requires momentum.
    pub nesterov: bool,
}

impl Sgd {
    pub(super) fn moments(self) -> &'static [&'static str] {
        match self.momentum {
            0.0 => &[],
            _ => &["momentum_buffer"],
        }
    }

    pub(super) fn check(self) -> Result<()> {
        below_1("momentum", self.momentum)?;
        let good = !self.nesterov || self.momentum > 0.0;
        let expected = "a number above 0, as Nesterov's momentum needs one";
        check("momentum", self.momentum, good, expected)
    }

    pub(super) fn apply<T: Element>(
        self,
        update: &Update<T>,
        numbers: &mut [T],
        gradient: &[T],
        buffer: Option<&mut Vec<T>>,
    ) {
        let rate = T::from_f64(update.rate);
        let numbers = numbers.iter_mut().zip(gradient);
        let Some(buffer) = buffer else {
            for (p, &g) in numbers {
                let g = update.gradient(*p, g);
                *p = *p * update.kept - rate * g;
            }
            return;
        };
        let momentum = T::from_f64(update.momentum.unwrap_or(self.momentum));
        if self.nesterov {
            for ((p, &g), b) in numbers.zip(buffer) {
                let g = update.gradient(*p, g);
                *b = *b * momentum + g;
                *p = *p * update.kept - rate * (g + momentum * *b);
            }
        } else {
            for ((p, &g), b) in numbers.zip(buffer) {
                *b = *b * momentum + update.gradient(*p, g);
                *p = *p * update.kept - rate * *b;
            }
        }
    }
}
