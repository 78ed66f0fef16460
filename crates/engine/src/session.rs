//! A session: a plan for one set of input shapes, with the memory for its activations.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use conv_core::PaddingValue;
use conv_core::blocked::{Buffer, Layout, PackedConv2d, View, ViewMut};
use ndarray::{ArrayD, ArrayView, ArrayViewD, ArrayViewMut4, Dimension, Ix4};
use nn_layers::{Infer, Outputs, Shape, Summary};

use crate::arena::{self, Lifetime};
use crate::error::{Error, Result};
use crate::inputs::with_dyn;
use crate::memory::{F32, MemoryUse, bytes};
use crate::plan::Compiled;
use crate::profile::{Profile, StepProfile, median};
use crate::step::{Kernel, Part, PlanStep};

/// Runs a [`Plan`](crate::Plan) on inputs of the shapes that the session was made for.
///
/// A session runs in the caller's rayon pool, and its results are bit-identical for any number of
/// threads. Its activations are allocated when it is made. A run allocates only short lists of rows
/// and columns, a copy of any input that is not in standard layout, and those outputs that
/// [`Outputs`] does not yet hold in the right shape.
///
/// ```
/// use engine::{Options, Plan};
/// use ndarray::ArrayD;
/// use nn_layers::{Conv2d, GraphBuilder, Infer, Outputs, Shape, random_params};
///
/// let mut b = GraphBuilder::new();
/// let image = b.input("image", [1, 3, 8, 8])?;
/// let conv = b.conv2d("conv", image, Conv2d::new(4, [3, 3]).without_bias())?;
/// let graph = b.finish(&[conv])?;
///
/// // One plan, and a session for each picture size.
/// let plan = Plan::compile(&graph, random_params(&graph, 1)?, &Options::default())?;
/// let mut outputs = Outputs::new();
/// for [h, w] in [[8, 8], [20, 30]] {
///     let mut session = plan.session(&[Shape::from([1, 3, h, w])])?;
///     let picture = ArrayD::ones(vec![1, 3, h, w]);
///     session.run(&[picture.view()], &mut outputs)?;
///     assert_eq!(outputs.tensors[0].shape(), [1, 4, h - 2, w - 2]);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Session {
    compiled: Arc<Compiled>,
    inputs: Vec<Shape>,
    outputs: Vec<Shape>,
    /// The layout of each step's result and its position in the arena.
    layouts: Vec<Layout>,
    places: Vec<Range<usize>>,
    /// The position of each step's scratch memory.
    scratch: Vec<Range<usize>>,
    memory: MemoryUse,
    arena: Buffer,
}

/// The memory layout of a session's activations, before the memory is allocated.
pub(crate) struct SessionPlan {
    outputs: Vec<Shape>,
    layouts: Vec<Layout>,
    places: Vec<Range<usize>>,
    scratch: Vec<Range<usize>>,
    arena_len: usize,
    pub(crate) memory: MemoryUse,
}

impl SessionPlan {
    pub(crate) fn new(compiled: &Compiled, inputs: &[Shape]) -> Result<Self> {
        let shapes = compiled.graph.infer(inputs)?;
        let outputs: Vec<Shape> = compiled
            .graph
            .outputs()
            .iter()
            .map(|id| shapes[id.index()].clone())
            .collect();
        let steps = &compiled.program.steps;

        let mut layouts: Vec<Layout> = steps
            .iter()
            .map(|step| layout(&shapes[step.node.index()], step.block))
            .collect();
        let mut lifetimes: Vec<Lifetime> = (0..steps.len())
            .map(|i| Lifetime {
                len: 0,
                first: i,
                last: i,
            })
            .collect();
        for (index, step) in steps.iter().enumerate() {
            for &input in &step.inputs {
                lifetimes[input].last = index;
            }
            if let (Kernel::Conv { conv, .. }, &[input, ..]) = (&step.kernel, &step.inputs[..]) {
                let halo = conv
                    .halo(layouts[input].size)
                    .map_err(Error::at(&step.name))?;
                for (side, needed) in layouts[input].halo.iter_mut().zip(halo) {
                    *side = needed.max(*side);
                }
            }
        }
        for &output in &compiled.program.outputs {
            lifetimes[output].last = steps.len();
        }
        for ((lifetime, layout), step) in lifetimes.iter_mut().zip(&layouts).zip(steps) {
            lifetime.len = layout
                .checked_len("session")
                .map_err(Error::at(&step.name))?;
        }
        for (index, step) in steps.iter().enumerate() {
            let len = match (&step.kernel, &step.inputs[..]) {
                (Kernel::Conv { conv, .. }, &[input, ..]) => conv
                    .scratch_len(&layouts[input], rayon::current_num_threads())
                    .map_err(Error::at(&step.name))?,
                _ => 0,
            };
            lifetimes.push(Lifetime {
                len,
                first: index,
                last: index,
            });
        }
        let arena = arena::place(&lifetimes)?;
        let mut places: Vec<Range<usize>> = arena
            .starts
            .iter()
            .zip(&lifetimes)
            .map(|(&start, l)| start..start + l.len)
            .collect();
        let scratch = places.split_off(steps.len());
        let memory = MemoryUse {
            parameters: compiled.program.packed_bytes(),
            activations: arena.len as u64 * F32,
            outputs: bytes(&outputs),
            ..MemoryUse::default()
        };
        Ok(Self {
            outputs,
            layouts,
            places,
            scratch,
            arena_len: arena.len,
            memory,
        })
    }
}

impl Session {
    pub(crate) fn new(compiled: Arc<Compiled>, inputs: &[Shape]) -> Result<Self> {
        let SessionPlan {
            outputs,
            layouts,
            places,
            scratch,
            arena_len,
            memory,
        } = SessionPlan::new(&compiled, inputs)?;
        memory.check(compiled.memory_limit)?;
        let arena = Buffer::zeroed(arena_len).map_err(|_| Error::OutOfMemory {
            what: "activations",
            bytes: arena_len as u128 * u128::from(F32),
        })?;
        Ok(Self {
            inputs: inputs.to_vec(),
            outputs,
            layouts,
            places,
            scratch,
            memory,
            arena,
            compiled,
        })
    }

    /// Returns the memory of the session, including its plan's parameters.
    #[must_use]
    pub fn memory(&self) -> MemoryUse {
        self.memory
    }

    /// Returns the input shapes that the session was made for.
    #[must_use]
    pub fn input_shapes(&self) -> &[Shape] {
        &self.inputs
    }

    /// Returns the bytes of memory for activations.
    #[must_use]
    pub fn arena_bytes(&self) -> usize {
        self.arena.len() * size_of::<f32>()
    }

    /// Returns the bytes that the activations would take without reuse.
    #[must_use]
    pub fn activation_bytes(&self) -> usize {
        arena::bytes_without_reuse(&self.layouts)
    }

    /// Runs once and returns the outputs, in the graph's order, in newly allocated tensors. In a
    /// loop, [`run`](Infer::run) avoids this allocation.
    ///
    /// ```
    /// use engine::{Options, Plan};
    /// use ndarray::Array4;
    /// use nn_layers::{Conv2d, GraphBuilder, Shape, random_params};
    ///
    /// let mut b = GraphBuilder::new();
    /// let image = b.input("image", [1, 3, 8, 8])?;
    /// let conv = b.conv2d("conv", image, Conv2d::new(4, [3, 3]))?;
    /// let graph = b.finish(&[conv])?;
    /// let plan = Plan::compile(&graph, random_params(&graph, 1)?, &Options::default())?;
    ///
    /// let mut session = plan.session(&[Shape::from([1, 3, 8, 8])])?;
    /// let outputs = session.run_once(&[Array4::ones((1, 3, 8, 8)).view()])?;
    /// assert_eq!(outputs[0].shape(), [1, 4, 6, 6]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run`](Infer::run).
    pub fn run_once<D: Dimension>(
        &mut self,
        inputs: &[ArrayView<'_, f32, D>],
    ) -> Result<Vec<ArrayD<f32>>> {
        let mut outputs = Outputs::new();
        with_dyn(inputs, |inputs| self.run(inputs, &mut outputs))?;
        Ok(outputs.tensors)
    }

    /// Runs `runs` times, but at least once, and returns the median time of each step.
    ///
    /// # Errors
    ///
    /// As [`run`](Infer::run).
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
        let steps = &compiled.program.steps;
        let mut seconds = vec![Vec::new(); steps.len()];
        for _ in 0..runs.max(1) {
            rayon::scope(|_| {
                for (index, step) in steps.iter().enumerate() {
                    let start = Instant::now();
                    self.step(index, step, inputs)?;
                    seconds[index].push(start.elapsed().as_secs_f64());
                }
                Ok::<(), Error>(())
            })?;
        }
        let shapes = compiled.graph.infer(&self.inputs)?;
        let steps = steps.iter().zip(seconds).map(|(step, seconds)| {
            let multiply_adds = if let Kernel::Conv { layer, .. } = step.kernel {
                summary.rows[layer.index()].multiply_adds
            } else {
                0
            };
            StepProfile {
                name: step.name.clone(),
                algorithm: step.kernel.algorithm(),
                output: shapes[step.node.index()].to_vec(),
                multiply_adds,
                seconds: median(seconds),
            }
        });
        Ok(Profile {
            isa: compiled.isa.name(),
            steps: steps.collect(),
        })
    }

    /// Checks that the inputs have the number and the shapes that the session was made for.
    fn check(&self, inputs: &[ArrayViewD<'_, f32>]) -> Result<()> {
        if inputs.len() != self.inputs.len() {
            return Err(Error::InputCount {
                expected: self.inputs.len(),
                got: inputs.len(),
            });
        }
        for ((input, expected), id) in inputs
            .iter()
            .zip(&self.inputs)
            .zip(self.compiled.graph.inputs())
        {
            if *input.shape() != **expected {
                return Err(Error::InputShape {
                    node: self.compiled.graph.nodes()[id.index()].name().to_owned(),
                    expected: expected.clone(),
                    got: Shape::from(input.shape().to_vec()),
                });
            }
        }
        Ok(())
    }

    /// Runs one step.
    fn step(
        &mut self,
        index: usize,
        step: &PlanStep,
        inputs: &[ArrayViewD<'_, f32>],
    ) -> Result<()> {
        let isa = self.compiled.isa;
        let layout = self.layouts[index];
        self.layouts[index].clear_halo(&mut self.arena[self.places[index].clone()]);
        match &step.kernel {
            Kernel::Input(number) => {
                let input = inputs.get(*number).ok_or(Error::InputCount {
                    expected: self.inputs.len(),
                    got: inputs.len(),
                })?;
                let input = rank_4(input, &step.name)?;
                let target = &mut self.arena[self.places[index].clone()];
                layout
                    .import(input, PaddingValue::Zeros, target)
                    .map_err(Error::at(&step.name))
            }
            Kernel::Conv { conv, .. } => self.convolution(index, step, conv),
            kernel => {
                let mut first_channel = 0;
                for (number, &input) in step.inputs.iter().enumerate() {
                    let part = Part {
                        number,
                        first_channel,
                    };
                    self.pair(index, input, step, |input, output| {
                        kernel.run(isa, part, input, output)
                    })?;
                    first_channel += self.layouts[input].channels;
                }
                Ok(())
            }
        }
    }

    /// Runs a convolution. A second input is added to its sum.
    fn convolution(&mut self, index: usize, step: &PlanStep, conv: &PackedConv2d) -> Result<()> {
        let (input, residual) = match step.inputs[..] {
            [input] => (input, None),
            [input, residual] => (input, Some(residual)),
            _ => {
                let broken = "a convolution has other inputs than its own and a residual";
                return Err(Error::internal(&step.name, broken));
            }
        };
        let layouts = &self.layouts;
        let run = |from: &[f32], added: Option<View<'_>>, to: &mut [f32], scratch: &mut [f32]| {
            let from = View::new(layouts[input], from)?;
            conv.run(from, added, ViewMut::new(layouts[index], to)?, scratch)
        };
        let at = |step: usize| self.places[step].clone();
        let scratch = self.scratch[index].clone();
        let done = match residual {
            Some(residual) if residual != input => {
                let places = [at(input), at(residual), at(index), scratch];
                let [from, added, to, scratch] = arena::parts(&mut self.arena, places, &step.name)?;
                View::new(layouts[residual], added)
                    .and_then(|added| run(from, Some(added), to, scratch))
            }
            residual => {
                let places = [at(input), at(index), scratch];
                let [from, to, scratch] = arena::parts(&mut self.arena, places, &step.name)?;
                let added = residual
                    .map(|_| View::new(layouts[input], from))
                    .transpose();
                added.and_then(|added| run(from, added, to, scratch))
            }
        };
        done.map_err(Error::at(&step.name))
    }

    /// Calls `run` with the tensors of an input step and of the step itself.
    fn pair(
        &mut self,
        index: usize,
        input: usize,
        step: &PlanStep,
        run: impl FnOnce(View<'_>, ViewMut<'_>) -> conv_core::Result<()>,
    ) -> Result<()> {
        let places = [self.places[input].clone(), self.places[index].clone()];
        let [from, to] = arena::parts(&mut self.arena, places, &step.name)?;
        View::new(self.layouts[input], from)
            .and_then(|input| run(input, ViewMut::new(self.layouts[index], to)?))
            .map_err(Error::at(&step.name))
    }
}

impl Infer for Session {
    type Error = Error;

    #[tracing::instrument(level = "debug", skip_all)]
    fn run(&mut self, inputs: &[ArrayViewD<'_, f32>], outputs: &mut Outputs) -> Result<()> {
        self.check(inputs)?;
        let compiled = Arc::clone(&self.compiled);
        // The whole run is inside the pool: entering it for each step would cost more than the
        // smaller steps take.
        rayon::scope(|_| {
            compiled
                .program
                .steps
                .iter()
                .enumerate()
                .try_for_each(|(index, step)| self.step(index, step, inputs))
        })?;
        let tensors = outputs.prepare(self.outputs.iter())?;
        for (tensor, &step) in tensors.iter_mut().zip(&compiled.program.outputs) {
            let name = &compiled.program.steps[step].name;
            let (layout, data) = (self.layouts[step], &self.arena[self.places[step].clone()]);
            let dim = (
                layout.batch,
                layout.channels,
                layout.size[0],
                layout.size[1],
            );
            let target = tensor
                .as_slice_mut()
                .and_then(|numbers| ArrayViewMut4::from_shape(dim, numbers).ok())
                .ok_or_else(|| Error::internal(name, "an output is not in standard layout"))?;
            layout.export(data, target).map_err(Error::at(name))?;
        }
        Ok(())
    }
}

/// Returns the layout of a tensor of this shape: `[N, C, H, W]`, or `[N, F]` as pictures of one
/// pixel.
fn layout(shape: &Shape, block: usize) -> Layout {
    let size = |axis| shape.get(axis).copied().unwrap_or(1);
    Layout {
        block,
        ..Layout::blocked(size(0), size(1), [size(2), size(3)])
    }
}

fn rank_4<'a>(input: &'a ArrayViewD<'_, f32>, name: &str) -> Result<ndarray::ArrayView4<'a, f32>> {
    let view = match input.ndim() {
        2 => input
            .view()
            .insert_axis(ndarray::Axis(2))
            .insert_axis(ndarray::Axis(3)),
        _ => input.view(),
    };
    view.into_dimensionality::<Ix4>()
        .map_err(|_| Error::internal(name, "an input has neither two axes nor four"))
}
