//! What is measured: ours and each peer.

use std::time::Duration;

use conv_core::ndarray::Array4;

use crate::Result;

/// A library that computes the layer it was made for.
pub(crate) trait Side {
    /// Runs forward and backward once and returns the time.
    fn step(&mut self) -> Result<Duration>;

    /// The results of the last step.
    fn answers(&self) -> Result<Answers>;
}

/// Output `[N, O, Ho, Wo]`, and the gradients of weight `[O, C, Kh, Kw]` and input `[N, C, H, W]`.
pub(crate) struct Answers {
    pub(crate) output: Array4<f32>,
    pub(crate) grad_weight: Array4<f32>,
    pub(crate) grad_input: Array4<f32>,
}
