//! A convolution packed for the algorithm that computes it.

use ndarray::{ArrayView1, ArrayView4};

use super::algorithm::Algorithm;
use super::direct_conv2d::DirectConv2d;
use super::layout::Layout;
use super::view::{View, ViewMut};
use super::winograd::WinogradConv2d;
use crate::activation::Activation;
use crate::error::Result;
use crate::options::Conv2dOptions;
use crate::simd::Isa;

/// A convolution with its weights packed for one algorithm, its bias and its activation.
///
/// Built once per layer, run many times, from many threads.
#[derive(Clone, Debug)]
pub enum PackedConv2d {
    /// See [`Algorithm::Direct`].
    Direct(DirectConv2d),
    /// See [`Algorithm::Winograd`].
    Winograd(WinogradConv2d),
}

impl PackedConv2d {
    /// Packs `weight` `[O, I / groups, kh, kw]` and `bias` `[O]` for `isa`.
    ///
    /// # Errors
    ///
    /// Those of [`DirectConv2d::new`] or [`WinogradConv2d::new`].
    pub fn new(
        algorithm: Algorithm,
        weight: ArrayView4<'_, f32>,
        bias: Option<ArrayView1<'_, f32>>,
        options: &Conv2dOptions,
        activation: Activation,
        isa: Isa,
    ) -> Result<Self> {
        Ok(match algorithm {
            Algorithm::Direct => {
                Self::Direct(DirectConv2d::new(weight, bias, options, activation, isa)?)
            }
            Algorithm::Winograd(winograd) => Self::Winograd(WinogradConv2d::new(
                winograd, weight, bias, options, activation, isa,
            )?),
        })
    }

    /// Returns the number of elements of weights of this shape `[O, I / groups, kh, kw]` and their bias
    /// once packed.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`](crate::Error::TooLarge) if no memory can hold that many.
    pub fn packed_len(algorithm: Algorithm, weight: [usize; 4], groups: usize) -> Result<usize> {
        match algorithm {
            Algorithm::Direct => DirectConv2d::packed_len(weight, groups),
            Algorithm::Winograd(winograd) => WinogradConv2d::packed_len(winograd, weight),
        }
    }

    /// Returns the number of elements of the packed weights and bias.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Direct(conv) => conv.weight().len() + conv.bias().len(),
            Self::Winograd(conv) => conv.len(),
        }
    }

    /// Returns whether there are no weights: never, since sizes of 0 are refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A short name of the loop in use, for reports.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Direct(conv) => conv.algorithm(),
            Self::Winograd(conv) => conv.winograd().name(),
        }
    }

    /// Returns the number of input channels.
    #[must_use]
    pub fn in_channels(&self) -> usize {
        match self {
            Self::Direct(conv) => conv.in_channels(),
            Self::Winograd(conv) => conv.in_channels(),
        }
    }

    /// Returns the halo `[top, left, bottom, right]` that the input needs.
    ///
    /// # Errors
    ///
    /// As [`Window::place`](crate::Window::place).
    pub fn halo(&self, input: [usize; 2]) -> Result<[usize; 4]> {
        match self {
            Self::Direct(conv) => conv.halo(input),
            Self::Winograd(conv) => conv.halo(input),
        }
    }

    /// Returns the elements of scratch memory for [`run`](Self::run) on this many threads.
    ///
    /// # Errors
    ///
    /// As [`Window::place`](crate::Window::place).
    pub fn scratch_len(&self, input: &Layout, threads: usize) -> Result<usize> {
        match self {
            Self::Direct(_) => Ok(0),
            Self::Winograd(conv) => conv.scratch_len(input, threads),
        }
    }

    /// Computes the output's interior from the input and its halo, `activation(conv(input) + residual)`,
    /// inside the caller's thread pool. The output's halo is untouched.
    ///
    /// The result is bit-identical for any number of threads: each sum has one order.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`](crate::Error::Mismatch) where a layout does not fit the convolution or its data,
    /// and for too little scratch memory.
    pub fn run(
        &self,
        input: View<'_>,
        residual: Option<View<'_>>,
        output: ViewMut<'_>,
        scratch: &mut [f32],
    ) -> Result<()> {
        match (self, residual) {
            (Self::Direct(conv), None) => conv.run(input, output),
            (Self::Direct(conv), Some(residual)) => conv.run_with_residual(input, residual, output),
            (Self::Winograd(conv), residual) => conv.run(input, residual, output, scratch),
        }
    }
}
