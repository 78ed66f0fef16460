//! The forward pass of a packed convolution.

use super::direct;
use super::direct_conv2d::{DirectConv2d, OP};
use super::layout::Layout;
use super::statistics::{batch_statistics, lengths};
use super::tasks::{Grid, Tasks};
use super::view::{View, ViewMut};
use super::walk::Walk;
use crate::error::Result;

impl DirectConv2d {
    /// Computes the output's interior from the input and its halo, inside the caller's thread pool.
    /// The output's halo is untouched.
    ///
    /// The result is bit-identical for any number of threads: each sum has one order.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`](crate::Error::Mismatch) where a layout does not fit the convolution or its data.
    pub fn run(&self, input: View<'_>, output: ViewMut<'_>) -> Result<()> {
        self.compute(input, None, output)
    }

    /// Like [`run`](Self::run), but adds `residual`, a tensor of the output's extents, to the sum
    /// before the activation: `output = activation(conv(input) + residual)`, which fuses the end of
    /// a residual block.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run), and [`Error::Mismatch`](crate::Error::Mismatch) if the residual's
    /// extents differ.
    pub fn run_with_residual(
        &self,
        input: View<'_>,
        residual: View<'_>,
        output: ViewMut<'_>,
    ) -> Result<()> {
        self.compute(input, Some(residual), output)
    }

    /// Like [`run`](Self::run), and also computes each output channel's mean and biased variance
    /// over pictures, rows and columns, as [`batch_statistics`](super::batch_statistics) would, but
    /// while the output is still in the cache. `mean` and `variance` are as long as the channels
    /// rounded up to whole blocks; [`statistics_scratch`](Self::statistics_scratch) returns the
    /// length of `scratch`.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run), and [`Error::Mismatch`](crate::Error::Mismatch) if a length does not
    /// fit.
    pub fn run_with_statistics(
        &self,
        input: View<'_>,
        mut output: ViewMut<'_>,
        mean: &mut [f64],
        variance: &mut [f64],
        scratch: &mut [f64],
    ) -> Result<()> {
        let walk = Walk::new(&self.check(&input.layout(), &output.layout())?);
        lengths(OP, &output.layout(), &[mean.len(), variance.len()])?;
        if output.layout().is_empty() {
            return batch_statistics(self.isa, output.as_view(), mean, variance, scratch);
        }
        // SAFETY: as in `compute`; a window's output pixels are contiguous.
        unsafe {
            direct::run_with_statistics(self, &walk, input, &mut output, mean, variance, scratch)
        }
    }

    /// Returns the number of elements of scratch memory that
    /// [`run_with_statistics`](Self::run_with_statistics) needs for tensors of these layouts.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn statistics_scratch(&self, input: &Layout, output: &Layout) -> Result<usize> {
        input.checked_len(OP)?;
        output.checked_len(OP)?;
        let walk = Walk::new(&self.check(input, output)?);
        if output.is_empty() {
            return Ok(0);
        }
        let tasks = Tasks::new(self, Grid::new(self, &walk, input, &[*output]));
        Ok(tasks.count() * tasks.sums())
    }

    fn compute(
        &self,
        input: View<'_>,
        residual: Option<View<'_>>,
        mut output: ViewMut<'_>,
    ) -> Result<()> {
        let placement = self.check(&input.layout(), &output.layout())?;
        if let Some(residual) = residual {
            let layout = residual.layout();
            let Layout {
                batch, channels, ..
            } = layout;
            output.check(OP, batch, channels, layout.size, layout.block)?;
        }
        if output.layout().is_empty() {
            return Ok(());
        }
        // SAFETY: `check` has compared the layouts with each other and with this convolution, and
        // the input's halo with what the window reaches; a residual has the output's extents.
        unsafe { direct::run(self, &Walk::new(&placement), input, residual, &mut output) };
        Ok(())
    }
}
