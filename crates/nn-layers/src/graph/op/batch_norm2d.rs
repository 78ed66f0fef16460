//! Options of a batch normalisation.

/// Batch normalisation of each channel; in evaluation mode, with stored statistics:
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
    /// The term that prevents division by zero.
    pub epsilon: Epsilon,
}

/// Where a batch normalisation adds its epsilon.
///
/// The two agree to within rounding for variances near 1 and differ greatly for small ones: at a
/// variance of 1e-6, `Inside(1e-6)` divides by 0.00141 and `Outside(1e-6)` by 0.00100.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Epsilon {
    /// Inside the square root, `1 / sqrt(var + ε)`: the paper and PyTorch.
    Inside(f64),
    /// Outside the square root, `1 / (sqrt(var) + ε)`: darknet, with 1e-6.
    Outside(f64),
}

impl Epsilon {
    /// Returns the epsilon itself.
    #[must_use]
    pub fn value(self) -> f64 {
        match self {
            Self::Inside(epsilon) | Self::Outside(epsilon) => epsilon,
        }
    }
}

/// Returns `Inside(1e-5)`, PyTorch's default.
impl Default for Epsilon {
    fn default() -> Self {
        Self::Inside(1e-5)
    }
}
