//! A convolution packed for the algorithm that computes it.

use ndarray::{ArrayView1, ArrayView4};

use super::algorithm::Algorithm;
use super::algorithm_spec::AlgorithmSpec;
use super::buffer::Buffer;
use super::conv2d_spec::{Conv2dSpec, Denormals};
use super::epilogue::{Epilogue, MaxPool};
use super::layout::Layout;
use super::loops::Loops;
use super::view::{View, ViewMut};
use crate::activation::Activation;
use crate::error::Result;

/// A convolution with its weights packed for one algorithm, its bias and its activation.
///
/// Built once per layer, run many times, from many threads.
///
/// ```
/// use conv_core::blocked::{Algorithm, Buffer, Conv2dSpec, Layout, PackedConv2d, View, ViewMut};
/// use conv_core::ndarray::{Array1, Array4};
/// use conv_core::{Activation, Conv2dOptions, Isa, PaddingValue};
///
/// let options = Conv2dOptions::default();
/// let algorithm = Algorithm::choose([64, 64, 3, 3], &options, 1, [20, 30]);
/// let spec = Conv2dSpec::new([64, 64, 3, 3], &options, Isa::best())?;
/// let (weight, bias) = (Array4::zeros((64, 64, 3, 3)), Array1::ones(64));
/// let (weight, bias) = (weight.view(), Some(bias.view()));
/// let conv = PackedConv2d::new(algorithm, spec, weight, bias, Activation::Relu)?;
///
/// let from = Layout::blocked(1, 64, [20, 30]).with_halo(conv.halo([20, 30])?);
/// let mut picture = Buffer::zeroed(from.len())?;
/// from.import(Array4::ones((1, 64, 20, 30)).view(), PaddingValue::Zeros, &mut picture)?;
/// let to = Layout::blocked(1, 64, [18, 28]);
/// let mut sums = Buffer::zeroed(to.len())?;
/// let mut scratch = Buffer::zeroed(conv.scratch_len(&from, 2)?)?;
/// let (input, output) = (View::new(from, &picture)?, ViewMut::new(to, &mut sums)?);
/// conv.run(input, None, output, &mut scratch)?;
/// assert_eq!(sums[to.at(0, 63, 17, 27)], 1.0);
/// # Ok::<(), conv_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PackedConv2d {
    method: AlgorithmSpec,
    weight: Buffer,
    bias: Buffer,
    activation: Activation,
    pools: bool,
}

impl PackedConv2d {
    /// Packs `weight` `[O, I / groups, kh, kw]` and `bias` `[O]`.
    ///
    /// # Errors
    ///
    /// Those of [`Conv2dSpec::pack`], [`Conv2dSpec::pack_bias`], [`AlgorithmSpec::new`] and
    /// [`WinogradSpec::pack`](super::WinogradSpec::pack).
    pub fn new(
        algorithm: Algorithm,
        spec: Conv2dSpec,
        weight: ArrayView4<'_, f32>,
        bias: Option<ArrayView1<'_, f32>>,
        activation: Activation,
    ) -> Result<Self> {
        let method = AlgorithmSpec::new(algorithm, spec)?;
        let bias = spec.pack_bias(bias)?;
        let weight = match &method {
            AlgorithmSpec::Direct(spec) => spec.pack(weight, Denormals::Flushed)?,
            AlgorithmSpec::Winograd(spec) => spec.pack(weight)?,
        };
        Ok(Self {
            method,
            weight,
            bias,
            activation,
            pools: false,
        })
    }

    /// Pools its results by a [`MaxPool`].
    #[must_use]
    pub fn with_max_pool(self) -> Self {
        Self {
            pools: true,
            ..self
        }
    }

    /// Returns the convolution without its weights.
    #[must_use]
    pub fn spec(&self) -> &Conv2dSpec {
        self.method.conv()
    }

    /// Returns the loops that compute it.
    #[must_use]
    pub fn loops(&self) -> Loops {
        self.method.loops()
    }

    /// Returns the halo `[top, left, bottom, right]` that the input needs.
    ///
    /// # Errors
    ///
    /// As [`Window::place`](crate::Window::place).
    pub fn halo(&self, input: [usize; 2]) -> Result<[usize; 4]> {
        self.method.halo(input)
    }

    /// Returns the elements of scratch memory for [`run`](Self::run) on this many threads.
    ///
    /// # Errors
    ///
    /// As [`Window::place`](crate::Window::place).
    pub fn scratch_len(&self, input: &Layout, threads: usize) -> Result<usize> {
        match self.pools {
            false => self.method.scratch_len(input, threads),
            true => self.method.max_pool_scratch(input, threads),
        }
    }

    /// Computes the output's interior from the input and its halo, `activation(conv(input) + residual)` or
    /// the max pool of that, inside the caller's thread pool. The output's halo is untouched.
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
        let mut epilogue = Epilogue {
            bias: Some(&self.bias),
            residual,
            activation: self.activation,
            ..Epilogue::default()
        };
        match &self.method {
            AlgorithmSpec::Direct(spec) => {
                epilogue.max_pool = self.pools.then_some(MaxPool { scratch });
                spec.run(&self.weight, input, epilogue, output)
            }
            AlgorithmSpec::Winograd(spec) => {
                epilogue.max_pool = self.pools.then_some(MaxPool { scratch: &mut [] });
                spec.run(&self.weight, input, epilogue, output, scratch)
            }
        }
    }
}
