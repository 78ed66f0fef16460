//! Winograd's minimal filtering: a convolution with fewer multiplications.
//!
//! The output is cut into tiles of `m x m` pixels. With `P = m + r - 1` points for a kernel of `r x r`,
//! a tile is
//!
//! ```text
//! Y = Aᵀ [ Σ_c (G g_c Gᵀ) ⊙ (Bᵀ d_c B) ] A
//! ```
//!
//! where `d_c` are the `P x P` input pixels that it reads and `g_c` the weights of channel `c`. The sum
//! over the channels is `P²` matrix products, in which every input pixel takes part `P² / m²` times
//! instead of `r²`: 2.25 instead of 9 for F(4, 3).
//!
//! Reference: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016.

mod forward;
mod input;
mod output;
mod points;
mod schedule;
mod weights;

pub use points::Winograd;

use ndarray::ArrayView4;

use super::buffer::Buffer;
use super::conv2d_spec::{Conv2dSpec, OP};
use super::epilogue::Epilogue;
use super::layout::{Block, Layout};
use super::statistics::batch_norm_scratch;
use super::view::{View, ViewMut};
use crate::error::Result;
use forward::Forward;
use schedule::Schedule;

/// A convolution by Winograd's algorithm, without its weights.
///
/// ```
/// use conv_core::blocked::{
///     Buffer, Conv2dSpec, Epilogue, Layout, View, ViewMut, Winograd, WinogradSpec,
/// };
/// use conv_core::{Conv2dOptions, Isa, PaddingValue, ndarray::Array4};
///
/// let conv = Conv2dSpec::new([32, 16, 3, 3], &Conv2dOptions::default(), Isa::best())?;
/// let spec = WinogradSpec::new(Winograd::F4x3, conv)?;
/// let weight = spec.pack(Array4::ones((32, 16, 3, 3)).view())?;
///
/// let from = Layout::blocked(1, 16, [9, 10]).with_halo(spec.halo([9, 10])?);
/// let mut picture = Buffer::zeroed(from.len())?;
/// from.import(Array4::ones((1, 16, 9, 10)).view(), PaddingValue::Zeros, &mut picture)?;
/// let to = Layout::blocked(1, 32, [7, 8]);
/// let mut sums = Buffer::zeroed(to.len())?;
/// let mut scratch = Buffer::zeroed(spec.scratch_len(&from, 1)?)?;
/// let (input, output) = (View::new(from, &picture)?, ViewMut::new(to, &mut sums)?);
/// spec.run(&weight, input, Epilogue::default(), output, &mut scratch)?;
/// assert!((sums[to.at(0, 20, 3, 3)] - 144.0).abs() < 1e-3);
/// # Ok::<(), conv_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WinogradSpec {
    algorithm: Winograd,
    conv: Conv2dSpec,
    weight_len: usize,
}

impl WinogradSpec {
    /// Returns this convolution by this algorithm.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`](crate::Error::Mismatch) for another kernel than the algorithm's, and for
    /// strides, dilations or groups; [`Error::TooLarge`](crate::Error::TooLarge) if no memory can hold
    /// the packed weights.
    pub fn new(algorithm: Winograd, conv: Conv2dSpec) -> Result<Self> {
        let ([kh, kw], taps) = (conv.window.kernel_size, algorithm.taps());
        let ([stride_h, stride_w], [dilation_h, dilation_w]) =
            (conv.window.stride, conv.window.dilation);
        for (what, expected, got) in [
            ("kernel height (axis h)", taps, kh),
            ("kernel width (axis w)", taps, kw),
            ("groups", 1, conv.real_groups),
            ("the stride (axis h)", 1, stride_h),
            ("the stride (axis w)", 1, stride_w),
            ("the dilation (axis h)", 1, dilation_h),
            ("the dilation (axis w)", 1, dilation_w),
        ] {
            super::expect(OP, what, expected, got)?;
        }
        let weight_len = weights::packed_len(algorithm, conv.out_channels, conv.in_channels)?;
        Ok(Self {
            algorithm,
            conv,
            weight_len,
        })
    }

    /// Returns the algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Winograd {
        self.algorithm
    }

    /// Returns the convolution.
    #[must_use]
    pub fn conv(&self) -> &Conv2dSpec {
        &self.conv
    }

    /// Returns the number of elements of packed weights.
    #[must_use]
    pub fn weight_len(&self) -> usize {
        self.weight_len
    }

    /// Transforms a weight `[O, I, r, r]` and packs it: `[out block][point][in block][16 in][16 out]`.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`](crate::Error::Mismatch) if the array has a different shape,
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn pack(&self, weight: ArrayView4<'_, f32>) -> Result<Buffer> {
        self.conv.check_shape(weight.dim().into())?;
        let mut packed = Buffer::zeroed(self.weight_len)?;
        weights::pack(self.algorithm, weight, self.conv.isa, &mut packed)?;
        Ok(packed)
    }

    /// Returns the halo `[top, left, bottom, right]` that the input needs: its last tiles may reach
    /// beyond the padding.
    ///
    /// # Errors
    ///
    /// As [`Window::place`](crate::Window::place).
    pub fn halo(&self, input: [usize; 2]) -> Result<[usize; 4]> {
        let placement = self.conv.place(input)?;
        let mut halo = placement.padding;
        let outputs = self.algorithm.outputs();
        for (axis, size) in placement.output.into_iter().enumerate() {
            let read = size.next_multiple_of(outputs) + self.algorithm.taps() - 1;
            halo[axis + 2] = read.saturating_sub(input[axis] + halo[axis]);
        }
        Ok(halo)
    }

    /// Computes the output's interior from the input and its halo, with weights that were
    /// [packed](Self::pack): see [`Conv2dSpec::run`]. Statistics are computed in a pass of their own.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`](crate::Error::Mismatch) where a layout or a length does not fit.
    pub fn run(
        &self,
        weight: &[f32],
        input: View<'_>,
        epilogue: Epilogue<'_>,
        mut output: ViewMut<'_>,
        scratch: &mut [f32],
    ) -> Result<()> {
        let (from, to) = (input.layout(), output.layout());
        let halo = self.halo(from.size)?;
        let sums = epilogue.sums(OP, self.conv.place(from.size)?.output, &to)?;
        let placement = self.conv.check(Block::Channels16, halo, &from, &sums)?;
        Conv2dSpec::check_weight(self.weight_len, weight)?;
        epilogue.check(OP, &sums)?;
        if !to.is_empty() {
            let schedule = self.schedule(&from);
            super::at_least(OP, "the scratch memory", schedule.scratch(1), scratch.len())?;
            Forward::new(
                self,
                weight,
                &placement,
                schedule,
                input,
                &epilogue,
                &mut output,
            )
            .run(scratch);
        }
        match epilogue.statistics {
            Some(statistics) => statistics.of(self.conv.isa, output.as_view()),
            None => Ok(()),
        }
    }

    /// Returns the elements of scratch memory for [`run`](Self::run) on this many threads. With less,
    /// it uses fewer threads.
    ///
    /// # Errors
    ///
    /// As [`Window::place`](crate::Window::place), and [`Error::TooLarge`](crate::Error::TooLarge) for
    /// a layout that no memory can hold.
    pub fn scratch_len(&self, input: &Layout, threads: usize) -> Result<usize> {
        input.checked_len(OP)?;
        self.conv.place(input.size)?;
        Ok(self.schedule(input).scratch(threads.max(1)))
    }

    /// Returns the number of elements of scratch memory that [`Statistics`](super::Statistics) need
    /// for an output of this layout.
    #[must_use]
    pub fn statistics_scratch(&self, output: &Layout) -> usize {
        batch_norm_scratch(output)
    }

    /// For an input that has an output.
    fn schedule(&self, input: &Layout) -> Schedule {
        let placement = self.conv.place(input.size);
        let size = placement.map_or([0, 0], |placement| placement.output);
        let [rows, columns] = self.grid(size);
        Schedule::new(self, input.batch * rows * columns)
    }

    /// Tiles of a picture `[h, w]`.
    fn grid(&self, output: [usize; 2]) -> [usize; 2] {
        output.map(|size| size.div_ceil(self.algorithm.outputs()))
    }
}
