//! The activations that a convolution can apply to its sums before they leave the registers.

/// An elementwise function applied after the bias.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Activation {
    /// `y = x`.
    #[default]
    Identity,
    /// `y = max(0, x)`.
    Relu,
    /// `y = min(max(0, x), 6)`.
    Relu6,
    /// `y = x` where `x > 0`, else `slope * x`.
    LeakyRelu(f32),
}

impl Activation {
    /// Applies the activation to one value; `NaN` stays `NaN`.
    ///
    /// ```
    /// # use conv_core::Activation;
    /// assert_eq!(Activation::LeakyRelu(0.1).apply(-2.0), -0.2);
    /// ```
    #[must_use]
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Self::Identity => x,
            Self::Relu if x <= 0.0 => 0.0,
            Self::Relu => x,
            Self::Relu6 if x <= 0.0 => 0.0,
            Self::Relu6 if x >= 6.0 => 6.0,
            Self::Relu6 => x,
            Self::LeakyRelu(slope) if x <= 0.0 => slope * x,
            Self::LeakyRelu(_) => x,
        }
    }

    /// Calls `body` with this activation as a constant, so that a loop within is compiled once for each
    /// activation and has no branch for it.
    #[inline(always)]
    pub(crate) fn specialize(self, body: impl FnOnce(Self)) {
        match self {
            Self::Identity => body(Self::Identity),
            Self::Relu => body(Self::Relu),
            Self::Relu6 => body(Self::Relu6),
            Self::LeakyRelu(slope) => body(Self::LeakyRelu(slope)),
        }
    }
}
