//! Options of a dense layer.

/// A dense layer: `y[n, o] = bias[o] + Σ weight[o, i] · x[n, i]`, `[N, F]` to
/// `[N, out_features]`.
///
/// Parameters: `weight` `[out_features, F]` and, unless [omitted](Self::without_bias), `bias`
/// `[out_features]`. The nominal shape fixes the number of input features; after a
/// [`Flatten`](crate::Op::Flatten) it fixes the picture's size, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    /// The number of output features.
    pub out_features: usize,
    /// Whether a bias is added to each output feature.
    pub bias: bool,
}

impl Linear {
    /// Returns a dense layer with bias.
    #[must_use]
    pub fn new(out_features: usize) -> Self {
        Self {
            out_features,
            bias: true,
        }
    }

    /// Omits the bias.
    #[must_use]
    pub fn without_bias(mut self) -> Self {
        self.bias = false;
        self
    }
}
