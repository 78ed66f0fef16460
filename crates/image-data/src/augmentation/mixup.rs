//! Mixing the pictures of a batch.

use std::fmt;

use ndarray::{Array2, Array4, Axis};
use rand_distr::{Beta, Distribution};
use serde::{Deserialize, Serialize};

use super::{SampleKey, check_range};
use crate::error::{Error, Result};
use crate::loader::resize;
use crate::random::{Purpose, keyed};

/// Mixes each picture of a batch with the next one, and the last with the first:
/// `l x_i + (1 - l) x_j`, and the targets of their classes likewise. `l` is drawn from
/// Beta(alpha, alpha), once for the batch.
///
/// The pairs are random because the order of the samples is. A batch of one picture is unchanged.
///
/// Reference: H. Zhang et al., "mixup: Beyond Empirical Risk Minimization" (2017), section 2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mixup {
    /// From 0.001 (almost no mixing) through 1 (uniform) to 1000 (almost equal shares). Default
    /// 0.2, the paper's value for `ImageNet`.
    pub alpha: f64,
}

impl Default for Mixup {
    fn default() -> Self {
        Self { alpha: 0.2 }
    }
}

impl Mixup {
    pub(super) fn check(&self) -> Result<()> {
        check_range(
            "mixup",
            "alpha",
            self.alpha,
            [0.001, 1000.0],
            "0.001 to 1000",
        )
    }

    /// Mixes `[n, c, h, w]` in place and returns the targets `[n, classes]`, whose rows sum to 1.
    /// The key's `sample` is the index of the batch in the epoch.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for an alpha outside its range, [`Error::Length`] if the number of labels
    /// differs from the number of pictures, [`Error::Label`] for a label of `classes` or more,
    /// [`Error::NoMemory`].
    ///
    /// ```
    /// # use image_data::{Mixup, SampleKey};
    /// # use ndarray::Array4;
    /// let mut inputs = Array4::from_shape_fn((2, 1, 1, 1), |(n, ..)| n as f32);
    /// let targets = Mixup { alpha: 1.0 }.apply(&mut inputs, &[0, 2], 3, SampleKey::default())?;
    /// // The first picture was all 0. Its new value is the second picture's share in the mixture.
    /// assert_eq!(inputs[[0, 0, 0, 0]], targets[[0, 2]]);
    /// assert_eq!(targets.row(0).sum(), 1.0);
    /// # Ok::<(), image_data::Error>(())
    /// ```
    pub fn apply(
        &self,
        inputs: &mut Array4<f32>,
        labels: &[usize],
        classes: usize,
        key: SampleKey,
    ) -> Result<Array2<f32>> {
        self.check()?;
        let count = inputs.len_of(Axis(0));
        if labels.len() != count {
            return Err(Error::Length {
                what: "the labels",
                got: labels.len(),
                expected: count,
            });
        }
        let first = self.draw(key)?;
        let second = 1.0 - first;
        // The number of classes comes from the dataset, so the allocation may fail.
        let mut targets = Vec::new();
        resize(&mut targets, count.saturating_mul(classes))?;
        let mut targets =
            Array2::from_shape_vec((count, classes), targets).map_err(|_| Error::Internal {
                broken: "the number of mixup targets differs from their shape",
            })?;

        if count > 1 {
            let start = inputs.index_axis(Axis(0), 0).to_owned();
            for index in 0..count - 1 {
                let (mut before, after) = inputs.view_mut().split_at(Axis(0), index + 1);
                let mut here = before.index_axis_mut(Axis(0), index);
                let next = after.index_axis(Axis(0), 0);
                here.zip_mut_with(&next, |here, next| *here = first * *here + second * next);
            }
            let mut last = inputs.index_axis_mut(Axis(0), count - 1);
            last.zip_mut_with(&start, |here, next| *here = first * *here + second * next);
        }
        for (index, &label) in labels.iter().enumerate() {
            let next = labels[(index + 1) % count];
            for (index, label, share) in [(index, label, first), (index, next, second)] {
                let target = targets.get_mut([index, label]).ok_or(Error::Label {
                    index,
                    label,
                    classes,
                })?;
                *target += share;
            }
        }
        Ok(targets)
    }

    fn draw(&self, key: SampleKey) -> Result<f32> {
        let beta = Beta::new(self.alpha, self.alpha).map_err(|_| Error::Option {
            what: "mixup",
            field: "alpha",
            got: self.alpha.to_string(),
            expected: "0.001 to 1000",
        })?;
        let mut random = keyed(Purpose::Mixup, [key.seed, key.epoch, key.sample]);
        Ok((beta.sample(random.generator()) as f32).clamp(0.0, 1.0))
    }
}

impl fmt::Display for Mixup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mixup {}", self.alpha)
    }
}
