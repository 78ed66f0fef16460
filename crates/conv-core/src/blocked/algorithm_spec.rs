//! A convolution by one algorithm, without its weights.

use super::algorithm::Algorithm;
use super::conv2d_spec::Conv2dSpec;
use super::layout::Layout;
use super::loops::Loops;
use super::winograd::WinogradSpec;
use crate::error::Result;

/// A convolution by one algorithm, without its weights: what it needs of memory is known before any
/// weight exists. With its weights, it is a [`PackedConv2d`](super::PackedConv2d).
///
/// ```
/// use conv_core::blocked::{Algorithm, AlgorithmSpec, Conv2dSpec, Layout, Loops, Winograd};
/// use conv_core::{Conv2dOptions, Isa};
///
/// let conv = Conv2dSpec::new([64, 32, 3, 3], &Conv2dOptions::default(), Isa::best())?;
/// let direct = AlgorithmSpec::new(Algorithm::Direct, conv)?;
/// let winograd = AlgorithmSpec::new(Algorithm::Winograd(Winograd::F4x3), conv)?;
/// assert_eq!(winograd.loops(), Loops::Winograd(Winograd::F4x3));
///
/// // A bias for each output channel, and 9 weights for each pair of channels, or 36.
/// assert_eq!(direct.packed_len(), 64 + 9 * 64 * 32);
/// assert_eq!(winograd.packed_len(), 64 + 36 * 64 * 32);
///
/// // The output of 7x9 pixels is computed in tiles of 4x4.
/// assert_eq!(direct.halo([9, 11])?, [0, 0, 0, 0]);
/// assert_eq!(winograd.halo([9, 11])?, [0, 0, 1, 3]);
/// let input = Layout::blocked(1, 32, [9, 11]);
/// assert_eq!(direct.scratch_len(&input, 2)?, 0);
/// assert!(winograd.scratch_len(&input, 2)? > 0);
/// # Ok::<(), conv_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlgorithmSpec {
    /// The sum of products as it is defined.
    Direct(Conv2dSpec),
    /// Winograd's algorithm.
    Winograd(WinogradSpec),
}

impl AlgorithmSpec {
    /// Returns this convolution by this algorithm.
    ///
    /// # Errors
    ///
    /// Those of [`WinogradSpec::new`].
    pub fn new(algorithm: Algorithm, conv: Conv2dSpec) -> Result<Self> {
        Ok(match algorithm {
            Algorithm::Direct => Self::Direct(conv),
            Algorithm::Winograd(winograd) => Self::Winograd(WinogradSpec::new(winograd, conv)?),
        })
    }

    /// Returns the convolution.
    #[must_use]
    pub fn conv(&self) -> &Conv2dSpec {
        match self {
            Self::Direct(spec) => spec,
            Self::Winograd(spec) => spec.conv(),
        }
    }

    /// Returns the loops that compute it.
    #[must_use]
    pub fn loops(&self) -> Loops {
        match self {
            Self::Direct(spec) => spec.loops(),
            Self::Winograd(spec) => Loops::Winograd(spec.algorithm()),
        }
    }

    /// Returns the number of elements of the packed weights and bias.
    #[must_use]
    pub fn packed_len(&self) -> usize {
        let weight_len = match self {
            Self::Direct(spec) => spec.weight_len(),
            Self::Winograd(spec) => spec.weight_len(),
        };
        // The lengths leave far more headroom than one sum.
        weight_len + self.conv().bias_len()
    }

    /// Returns the halo `[top, left, bottom, right]` that the input needs.
    ///
    /// # Errors
    ///
    /// As [`Window::place`](crate::Window::place).
    pub fn halo(&self, input: [usize; 2]) -> Result<[usize; 4]> {
        match self {
            Self::Direct(spec) => spec.halo(input),
            Self::Winograd(spec) => spec.halo(input),
        }
    }

    /// Returns the elements of scratch memory for a run on this many threads.
    ///
    /// # Errors
    ///
    /// As [`WinogradSpec::scratch_len`].
    pub fn scratch_len(&self, input: &Layout, threads: usize) -> Result<usize> {
        match self {
            Self::Direct(_) => Ok(0),
            Self::Winograd(spec) => spec.scratch_len(input, threads),
        }
    }

    /// As [`scratch_len`](Self::scratch_len), for a run whose sums are [pooled](super::MaxPool).
    ///
    /// # Errors
    ///
    /// As [`Conv2dSpec::max_pool_scratch`].
    pub fn max_pool_scratch(&self, input: &Layout, threads: usize) -> Result<usize> {
        match self {
            Self::Direct(spec) => spec.max_pool_scratch(input, threads),
            Self::Winograd(spec) => spec.scratch_len(input, threads),
        }
    }
}
