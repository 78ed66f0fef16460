//! The forward pass of a direct convolution.

use super::conv2d_spec::{Conv2dSpec, OP};
use super::direct::{self, Operands};
use super::epilogue::{Epilogue, MaxPool};
use super::layout::Layout;
use super::pooled;
use super::tasks::{ANY_THREADS, Grid, Tasks};
use super::view::{View, ViewMut};
use super::walk::Walk;
use crate::error::Result;
use crate::geometry::Placement;

impl Conv2dSpec {
    /// Computes the output's interior from the input and its halo, with weights that were
    /// [packed](Self::pack), inside the caller's thread pool. The output's halo is untouched.
    ///
    /// The result is bit-identical for any number of threads: each sum has one order.
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
    ) -> Result<()> {
        let size = self.place(input.layout().size)?.output;
        let sums = epilogue.sums(OP, size, &output.layout())?;
        let placement = self.check_direct(&input.layout(), &sums)?;
        Self::check_weight(self.weight_len(), weight)?;
        epilogue.check(OP, &sums)?;
        let Epilogue {
            bias,
            residual,
            activation,
            max_pool,
            statistics,
        } = epilogue;
        if output.layout().is_empty() {
            return match statistics {
                Some(statistics) => statistics.of(self.isa, output.as_view()),
                None => Ok(()),
            };
        }
        let operands = Operands {
            spec: self,
            weight,
            input,
            bias,
            residual,
            activation,
        };
        let walk = Walk::new(&placement);
        // SAFETY: the checks have compared the layouts with each other and with this convolution, the
        // input's halo with what the window reaches, and the lengths of weights and bias; a residual
        // has the extents of the sums, a window's output pixels are contiguous, and pooled pixels are half
        // of the sums.
        unsafe {
            match max_pool {
                None => direct::run(operands, &walk, statistics, &mut output),
                Some(MaxPool { scratch }) => {
                    pooled::run(operands, &walk, scratch, &mut output)?;
                    statistics.map_or(Ok(()), |all| all.of(self.isa, output.as_view()))
                }
            }
        }
    }

    /// Returns the number of elements of scratch memory that a [`MaxPool`] of the sums needs for a run on
    /// this many threads. With less, it uses fewer threads.
    ///
    /// # Errors
    ///
    /// As [`Window::place`](crate::Window::place), and [`Error::TooLarge`](crate::Error::TooLarge) for
    /// layouts that no memory can hold.
    pub fn max_pool_scratch(&self, input: &Layout, threads: usize) -> Result<usize> {
        input.checked_len(OP)?;
        let [_, columns] = self.place(input.size)?.output;
        let strip = pooled::strip(self, columns).checked_len(OP)?;
        Ok(strip.saturating_mul(threads.max(1)))
    }

    /// Returns the number of elements of scratch memory that
    /// [`Statistics`](super::Statistics) need for tensors of these layouts.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn statistics_scratch(&self, input: &Layout, output: &Layout) -> Result<usize> {
        input.checked_len(OP)?;
        output.checked_len(OP)?;
        let walk = Walk::new(&self.check_direct(input, output)?);
        if output.is_empty() {
            return Ok(0);
        }
        let grid = Grid::new(self, &walk, input, &[*output]);
        let tasks = Tasks::new(self, grid, &ANY_THREADS);
        Ok(tasks.count() * tasks.sums())
    }

    /// Checks the layouts that the direct loops read and write.
    pub(super) fn check_direct(&self, input: &Layout, output: &Layout) -> Result<Placement> {
        let halo = self.halo(input.size)?;
        self.check(self.grouping.block, halo, input, output)
    }
}
