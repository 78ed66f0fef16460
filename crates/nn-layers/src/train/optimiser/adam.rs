//! Adam and, with decoupled weight decay, AdamW.

use conv_core::Element;
use serde::{Deserialize, Serialize};

use super::Update;
use crate::{
    error::Result,
    train::option::{at_least_0, below_1},
};

/// Adam with rate `γ`. In step `t`, counted from 1, for each value `p` with gradient `g`:
///
/// ```text
/// m ← m + (1 - β₁) (g - m)                  from m = 0
/// v ← β₂ v + (1 - β₂) g²                    from v = 0
/// p ← p - γ / (1 - β₁^t) · m / (sqrt(v) / sqrt(1 - β₂^t) + ε)
/// ```
///
/// Reference: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2014, algorithm 1. A
/// schedule's momentum replaces `β₁`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adam {
    /// `[β₁, β₂]`, each in `[0, 1)`.
    pub betas: [f64; 2],
    /// `ε`, at least 0.
    pub epsilon: f64,
}

/// Returns 0.9, 0.999 and 1e-8, as in the paper and in PyTorch.
impl Default for Adam {
    fn default() -> Self {
        Self {
            betas: [0.9, 0.999],
            epsilon: 1e-8,
        }
    }
}

impl Adam {
    pub(super) fn check(self) -> Result<()> {
        below_1("the first beta", self.betas[0])?;
        below_1("the second beta", self.betas[1])?;
        at_least_0("epsilon", self.epsilon)
    }

    pub(super) fn apply<T: Element>(
        self,
        update: &Update<T>,
        numbers: &mut [T],
        gradient: &[T],
        mean: &mut [T],
        square: &mut [T],
    ) {
        let beta1 = update.momentum.unwrap_or(self.betas[0]);
        let beta2 = self.betas[1];
        let steps = update.steps as f64;
        let step_size = T::from_f64(update.rate / (1.0 - beta1.powf(steps)));
        let correction = T::from_f64((1.0 - beta2.powf(steps)).sqrt());
        let epsilon = T::from_f64(self.epsilon);
        let (share, left) = (T::from_f64(1.0 - beta1), T::from_f64(beta1));
        let [beta2, new] = [beta2, 1.0 - beta2].map(T::from_f64);
        let near = 1.0 - beta1 < 0.5;
        let moments = mean.iter_mut().zip(square);
        for ((p, &g), (m, v)) in numbers.iter_mut().zip(gradient).zip(moments) {
            let g = update.gradient(*p, g);
            // Interpolation rounds least when it starts from the nearer end.
            *m = if near {
                *m + share * (g - *m)
            } else {
                g - (g - *m) * left
            };
            *v = *v * beta2 + new * g * g;
            *p = *p * update.kept - step_size * *m / (v.sqrt() / correction + epsilon);
        }
    }
}
