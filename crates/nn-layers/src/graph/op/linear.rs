//! Options of a dense layer.

/// A dense layer: `y[n, o] = bias[o] + Σ weight[o, i] · x[n, i]`, `[N, F]` to
/// `[N, out_features]`.
///
/// Parameters: `weight` `[out_features, F]` and, unless [left out](Self::without_bias), `bias`
/// `[out_features]`. The number of input features is fixed by the nominal shape; behind a
/// [`Flatten`](crate::Op::Flatten) it fixes the picture's size too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    /// How many features come out.
    pub out_features: usize,
    /// Whether a number is added to each output feature.
    pub bias: bool,
}

impl Linear {
    /// A dense layer with bias.
    #[must_use]
    pub fn new(out_features: usize) -> Self {
        Self {
            out_features,
            bias: true,
        }
    }

    /// Leaves the bias out.
    #[must_use]
    pub fn without_bias(mut self) -> Self {
        self.bias = false;
        self
    }
}
