//! What a convolution does with its sums before it stores them.

use super::layout::{BLOCK, Layout};
use super::statistics::{batch_statistics, lengths};
use super::view::View;
use crate::activation::Activation;
use crate::error::Result;
use crate::simd::Isa;

/// What a convolution does with its sums before it stores them. The default is nothing.
///
/// ```text
/// output = max_pool(activation(sum + bias + residual))
/// ```
///
/// [`Conv2dSpec`](super::Conv2dSpec) has an example.
#[derive(Debug, Default)]
pub struct Epilogue<'a> {
    /// A value for each output channel, padded with zeros to whole blocks.
    pub bias: Option<&'a [f32]>,
    /// A tensor of the sums' extents, which fuses the end of a residual block.
    pub residual: Option<View<'a>>,
    /// Applied to each sum.
    pub activation: Activation,
    /// Whether only the largest of each four neighbours is stored.
    pub max_pool: Option<MaxPool<'a>>,
    /// Where each output channel's statistics go, if they are wanted.
    pub statistics: Option<Statistics<'a>>,
}

/// A max pool with windows of 2x2 and stride 2, applied to a convolution's sums before they are stored: the
/// sums themselves never reach the memory.
///
/// The output has half the rows and columns. If the sums have an odd number of them, the output's size tells
/// whether the last window, of one row or column, counts: `floor(n / 2)` without it, `ceil(n / 2)` with it.
///
/// ```
/// use conv_core::blocked::{Buffer, Conv2dSpec, Denormals, Epilogue, Layout, MaxPool, View, ViewMut};
/// use conv_core::ndarray::{Array4, array};
/// use conv_core::{Conv2dOptions, Isa, PaddingValue};
///
/// // Six pixels, doubled.
/// let spec = Conv2dSpec::new([1, 1, 1, 1], &Conv2dOptions::default(), Isa::best())?;
/// let weight = spec.pack(Array4::from_elem((1, 1, 1, 1), 2.0).view(), Denormals::Flushed)?;
/// let (from, to) = (spec.input_layout(1, [2, 3]), Layout::blocked(1, 1, [1, 2]));
/// let mut pixels = Buffer::zeroed(from.len())?;
/// let picture = array![[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]];
/// from.import(picture.view(), PaddingValue::Zeros, &mut pixels)?;
///
/// let mut largest = Buffer::zeroed(to.len())?;
/// let mut scratch = vec![0.0; spec.max_pool_scratch(&from, 1)?];
/// let max_pool = Some(MaxPool { scratch: &mut scratch });
/// let epilogue = Epilogue { max_pool, ..Epilogue::default() };
/// spec.run(&weight, View::new(from, &pixels)?, epilogue, ViewMut::new(to, &mut largest)?)?;
/// assert_eq!([largest[0], largest[16]], [10.0, 12.0]);
/// # Ok::<(), conv_core::Error>(())
/// ```
#[derive(Debug)]
pub struct MaxPool<'a> {
    /// Memory for the rows of sums that a window covers, as long as
    /// [`max_pool_scratch`](super::Conv2dSpec::max_pool_scratch) says. Winograd's algorithm needs none.
    pub scratch: &'a mut [f32],
}

/// Where a convolution writes each output channel's mean and biased variance over pictures, rows and
/// columns, as [`batch_statistics`](super::batch_statistics) defines them: of the values that it
/// stores, and while they are still in the cache.
///
/// ```
/// use conv_core::blocked::{Buffer, Conv2dSpec, Denormals, Epilogue, Layout, Statistics, View, ViewMut};
/// use conv_core::ndarray::{Array4, array};
/// use conv_core::{Conv2dOptions, Isa, PaddingValue};
///
/// // Two pixels, doubled.
/// let spec = Conv2dSpec::new([1, 1, 1, 1], &Conv2dOptions::default(), Isa::best())?;
/// let weight = spec.pack(Array4::from_elem((1, 1, 1, 1), 2.0).view(), Denormals::Flushed)?;
/// let (from, to) = (spec.input_layout(1, [1, 2]), Layout::blocked(1, 1, [1, 2]));
/// let mut pixels = Buffer::zeroed(from.len())?;
/// from.import(array![[[[1.0, 2.0]]]].view(), PaddingValue::Zeros, &mut pixels)?;
///
/// let mut sums = Buffer::zeroed(to.len())?;
/// let (mut mean, mut variance) = ([0.0; 16], [0.0; 16]);
/// let statistics = Statistics {
///     mean: &mut mean,
///     variance: &mut variance,
///     scratch: &mut vec![0.0; spec.statistics_scratch(&from, &to)?],
/// };
/// let epilogue = Epilogue { statistics: Some(statistics), ..Epilogue::default() };
/// spec.run(&weight, View::new(from, &pixels)?, epilogue, ViewMut::new(to, &mut sums)?)?;
/// assert_eq!((mean[0], variance[0]), (3.0, 1.0));
/// # Ok::<(), conv_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Statistics<'a> {
    /// As long as the channels rounded up to whole blocks.
    pub mean: &'a mut [f64],
    /// As long as the mean.
    pub variance: &'a mut [f64],
    /// Memory for the sums of the tasks, as long as
    /// [`statistics_scratch`](super::Conv2dSpec::statistics_scratch) says.
    pub scratch: &'a mut [f64],
}

impl Epilogue<'_> {
    /// Returns the layout that the sums would have in the output's place: with a pool, their size `[h, w]`
    /// is not the output's, which must be half of it.
    pub(super) fn sums(
        &self,
        op: &'static str,
        size: [usize; 2],
        output: &Layout,
    ) -> Result<Layout> {
        if self.max_pool.is_none() {
            return Ok(*output);
        }
        for (axis, what) in ["the pooled height (axis h)", "the pooled width (axis w)"]
            .into_iter()
            .enumerate()
        {
            let (down, up) = (size[axis] / 2, size[axis].div_ceil(2));
            let expected = output.size[axis].clamp(down, up);
            super::expect(op, what, expected, output.size[axis])?;
        }
        Ok(Layout { size, ..*output })
    }

    /// Checks that everything fits the sums.
    pub(super) fn check(&self, op: &'static str, sums: &Layout) -> Result<()> {
        if let Some(bias) = self.bias {
            let expected = sums.blocks() * BLOCK;
            super::expect(op, "the bias's length", expected, bias.len())?;
        }
        if let Some(residual) = &self.residual {
            let got = residual.layout();
            for (what, expected, got) in [
                ("the residual's batch (axis n)", sums.batch, got.batch),
                (
                    "the residual's channels (axis c)",
                    sums.channels,
                    got.channels,
                ),
                ("the residual's height (axis h)", sums.size[0], got.size[0]),
                ("the residual's width (axis w)", sums.size[1], got.size[1]),
                (
                    "the residual's channel block",
                    sums.block.len(),
                    got.block.len(),
                ),
            ] {
                super::expect(op, what, expected, got)?;
            }
        }
        if let Some(Statistics { mean, variance, .. }) = &self.statistics {
            lengths(op, sums, &[mean.len(), variance.len()])?;
        }
        Ok(())
    }
}

impl Statistics<'_> {
    /// Computes them from the finished output.
    pub(super) fn of(self, isa: Isa, output: View<'_>) -> Result<()> {
        batch_statistics(isa, output, self.mean, self.variance, self.scratch)
    }
}

/// The bias of output channels that have none: zeros for as many blocks as the micro-kernel computes
/// at once, or more.
pub(super) static NO_BIAS: [f32; 4 * BLOCK] = [0.0; 4 * BLOCK];

/// Returns the bias of an output block and of those that the micro-kernel computes with it.
#[inline(always)]
pub(super) fn bias_of(bias: Option<&[f32]>, out_block: usize) -> *const f32 {
    match bias {
        Some(bias) => bias[out_block * BLOCK..].as_ptr(),
        None => NO_BIAS.as_ptr(),
    }
}
