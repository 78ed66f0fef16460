//! Options of a batch normalisation.

/// Batch normalisation of each channel, in evaluation with stored statistics:
///
/// ```text
/// y = (x - running_mean[c]) · factor[c] · weight[c] + bias[c]
/// factor = 1 / sqrt(running_var + ε)      Epsilon::Inside
/// factor = 1 / (sqrt(running_var) + ε)    Epsilon::Outside
/// ```
///
/// Any rank; axis 1 is the channel axis. Parameters `weight` (gamma) and `bias` (beta), buffers
/// `running_mean` and `running_var`, each `[C]`.
///
/// Reference: Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by
/// Reducing Internal Covariate Shift", 2015, section 3.1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BatchNorm2d {
    /// What keeps the division away from zero.
    pub epsilon: Epsilon,
}

/// Where a batch normalisation adds its small number.
///
/// The two agree to within rounding for variances near 1 and differ much for small ones: at a
/// variance of 1e-6, `Inside(1e-6)` divides by 0.00141 and `Outside(1e-6)` by 0.00100.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Epsilon {
    /// Under the root, `1 / sqrt(var + ε)`: the paper and PyTorch.
    Inside(f64),
    /// Beside the root, `1 / (sqrt(var) + ε)`: darknet, with 1e-6.
    Outside(f64),
}

impl Epsilon {
    /// The number itself.
    #[must_use]
    pub fn value(self) -> f64 {
        match self {
            Self::Inside(epsilon) | Self::Outside(epsilon) => epsilon,
        }
    }
}

/// `Inside(1e-5)`, PyTorch's default.
impl Default for Epsilon {
    fn default() -> Self {
        Self::Inside(1e-5)
    }
}
