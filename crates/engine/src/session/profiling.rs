//! Runs that measure the time of each step.

use std::sync::Arc;
use std::time::Instant;

use conv_core::blocked::Layout;
use ndarray::{ArrayView, ArrayViewD, Dimension};
use nn_layers::Summary;

use super::Session;
use crate::error::{Error, Result};
use crate::inputs::with_dyn;
use crate::ir::Operation;
use crate::pack::Step;
use crate::peak;
use crate::profile::{Profile, StepProfile, median, rate};

impl Session {
    /// Runs `runs` times, but at least once, and returns the median time of each step. Before and
    /// after, it measures the machine's peak on all threads of the caller's pool, which takes some
    /// hundredths of a second.
    ///
    /// ```
    /// use engine::{Options, Plan};
    /// use ndarray::Array4;
    /// use nn_layers::{Conv2d, GraphBuilder, Shape, random_params};
    ///
    /// let mut b = GraphBuilder::new();
    /// let image = b.input("image", [1, 32, 8, 8])?;
    /// let conv = b.conv2d("conv", image, Conv2d::new(16, [1, 1]))?;
    /// let graph = b.finish(&[conv])?;
    /// let plan = Plan::compile(&graph, random_params(&graph, 1)?, &Options::default())?;
    /// let mut session = plan.session(&[Shape::from([1, 32, 8, 8])])?;
    ///
    /// let profile = session.profile(&[Array4::ones((1, 32, 8, 8)).view()], 3)?;
    /// let conv = profile.steps.last().ok_or("no steps")?;
    /// assert_eq!(conv.multiply_adds, 32 * 16 * 8 * 8);
    /// // The input, the output, the weights and the bias.
    /// assert_eq!(conv.bytes, 4 * (32 * 8 * 8 + 16 * 8 * 8 + 32 * 16 + 16));
    /// assert!(profile.peak_gflops > 0.0);
    /// println!("{profile}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run`](nn_layers::Infer::run).
    pub fn profile<D: Dimension>(
        &mut self,
        inputs: &[ArrayView<'_, f32, D>],
        runs: usize,
    ) -> Result<Profile> {
        with_dyn(inputs, |inputs| self.profile_dyn(inputs, runs))
    }

    fn profile_dyn(&mut self, inputs: &[ArrayViewD<'_, f32>], runs: usize) -> Result<Profile> {
        self.check(inputs)?;
        let summary = Summary::new(&self.compiled.graph, &self.inputs)?;
        let compiled = Arc::clone(&self.compiled);
        let count = compiled.program.steps.len();
        let mut seconds = vec![Vec::new(); count];
        let before = peak::gflops(compiled.isa);
        for _ in 0..runs.max(1) {
            let clear = self.halos.begin();
            rayon::scope(|_| {
                let mut of_run = vec![0.0; count];
                self.for_each_step(|session, index, picture| {
                    let start = Instant::now();
                    session.step(&compiled, index, picture, clear, inputs)?;
                    of_run[index] += start.elapsed().as_secs_f64();
                    Ok(())
                })?;
                for (all, of_run) in seconds.iter_mut().zip(of_run) {
                    all.push(of_run);
                }
                Ok::<(), Error>(())
            })?;
            self.halos.end();
        }
        let peak_gflops = before.max(peak::gflops(compiled.isa));
        let ir = &compiled.program.ir;
        let shapes = ir.shapes(&compiled.graph, &self.inputs)?;
        // Of the whole batch.
        let layouts = self.layouts.iter().zip(&shapes);
        let layouts: Vec<Layout> = layouts
            .map(|(&layout, shape)| Layout {
                batch: shape.first().copied().unwrap_or(1),
                ..layout
            })
            .collect();
        let mut steps = Vec::with_capacity(count);
        for (index, seconds) in seconds.into_iter().enumerate() {
            let algorithm = match &compiled.program.steps[index] {
                Step::Conv(conv) => conv.loops().name(),
                Step::Input(_) => "input",
                Step::ScaleShift { .. } => "scale and shift",
                Step::Kernel(kernel) => kernel.name(),
            };
            let multiply_adds = match &ir.instructions[index].operation {
                Operation::Conv(conv) => {
                    let layers = conv.filters.iter().map(|filters| filters.layer.index());
                    layers.map(|layer| summary.rows[layer].multiply_adds).sum()
                }
                Operation::Input(_)
                | Operation::Norm(_)
                | Operation::Dropout(_)
                | Operation::Kernel(_) => 0,
            };
            let seconds = median(seconds);
            steps.push(StepProfile {
                name: ir.instructions[index].name.clone(),
                algorithm,
                output: shapes[index].to_vec(),
                multiply_adds,
                bytes: ir.traffic(index, &layouts, compiled.isa)?,
                seconds,
                peak_share: rate(multiply_adds.saturating_mul(2), seconds) / peak_gflops,
            });
        }
        Ok(Profile {
            isa: compiled.isa.name(),
            peak_gflops,
            steps,
        })
    }
}
