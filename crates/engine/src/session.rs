//! A session: a plan for one set of input shapes, with the memory for its activations.

mod profiling;

use std::ops::Range;
use std::sync::Arc;

use conv_core::blocked::{self, Buffer, Layout, View, ViewMut};
use conv_core::{Isa, PaddingValue};
use ndarray::{ArrayD, ArrayView, ArrayViewD, ArrayViewMut4, Axis, Dimension, Ix4};
use nn_layers::{Infer, Outputs, Shape};

use crate::arena;
use crate::by_picture::ByPicture;
use crate::error::{Error, Result};
use crate::halos::{Halos, Written};
use crate::inputs::with_dyn;
use crate::ir::{Instruction, Ir};
use crate::kernel::{Kernel, Part};
use crate::memory::{F32, MemoryUse};
use crate::pack::Step;
use crate::plan::Compiled;
use crate::session_plan::SessionPlan;

/// Runs a [`Plan`](crate::Plan) on inputs of the shapes that the session was made for. For inputs of
/// several shapes, use [`Sessions`](crate::Sessions).
///
/// A session runs in the caller's rayon pool, and its results are bit-identical for any number of
/// threads. Its activations are allocated, and their pages touched, when it is made. A run allocates
/// nothing but those outputs that [`Outputs`] does not yet hold in the right shape. On a thread outside
/// the pool, it also hands one job to the pool, whose queue allocates a block for about 60 jobs at a time.
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
/// let plan = Plan::compile(&graph, random_params(&graph, 1)?, &Options::default())?;
/// let mut session = plan.session(&[Shape::from([2, 3, 20, 30])])?;
/// let mut outputs = Outputs::new();
/// for _ in 0..3 {
///     let pictures = ArrayD::ones(vec![2, 3, 20, 30]);
///     session.run(&[pictures.view()], &mut outputs)?;
///     assert_eq!(outputs.tensors[0].shape(), [2, 4, 18, 28]);
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
    by_picture: ByPicture,
    halos: Halos,
    memory: MemoryUse,
    arena_len: usize,
    /// At least `arena_len` elements, unless the session is one of several that take turns with one
    /// arena. A run writes all that it reads, so what another session left there does not matter.
    arena: Buffer,
}

impl Session {
    pub(crate) fn new(compiled: Arc<Compiled>, inputs: &[Shape]) -> Result<Self> {
        let mut session = Self::without_arena(compiled, inputs)?;
        session.arena = allocate(session.arena_len)?;
        Ok(session)
    }

    /// Returns a session that cannot run before it is [given](Self::give_arena) an arena.
    pub(crate) fn without_arena(compiled: Arc<Compiled>, inputs: &[Shape]) -> Result<Self> {
        let ir = &compiled.program.ir;
        let SessionPlan {
            outputs,
            layouts,
            places,
            scratch,
            by_picture,
            arena_len,
            memory,
            ..
        } = SessionPlan::new(ir, &compiled.graph, compiled.isa, inputs)?;
        memory.check(compiled.memory_limit)?;
        let halos = Halos::new((0..layouts.len()).map(|step| {
            ir.runs(step).then(|| Written {
                layout: layouts[step],
                place: &places[step],
                scratch: &scratch[step],
            })
        }));
        Ok(Self {
            by_picture,
            halos,
            inputs: inputs.to_vec(),
            outputs,
            layouts,
            places,
            scratch,
            memory,
            arena_len,
            arena: Buffer::default(),
            compiled,
        })
    }

    /// Returns the elements that its activations take.
    pub(crate) fn arena_len(&self) -> usize {
        self.arena_len
    }

    /// Returns the elements of the arena that it has.
    pub(crate) fn held(&self) -> usize {
        self.arena.len()
    }

    pub(crate) fn take_arena(&mut self) -> Buffer {
        std::mem::take(&mut self.arena)
    }

    /// Sets the arena, of at least [`arena_len`](Self::arena_len) elements.
    pub(crate) fn give_arena(&mut self, arena: Buffer) {
        self.arena = arena;
        self.halos.forget();
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
        self.arena_len * size_of::<f32>()
    }

    /// Returns the bytes that the activations would take if none used the memory of another. Those of the
    /// first layers are computed picture by picture, and have the memory of one.
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

    /// Calls `run` for every step, in order: for the first ones with each picture in turn.
    fn for_each_step(
        &mut self,
        mut run: impl FnMut(&mut Self, usize, Option<usize>) -> Result<()>,
    ) -> Result<()> {
        let (first, all) = (self.by_picture.steps, self.layouts.len());
        let batch = self
            .outputs
            .first()
            .and_then(|shape| shape.first().copied());
        for picture in 0..batch.unwrap_or(0) {
            (0..first).try_for_each(|index| run(self, index, Some(picture)))?;
        }
        (first..all).try_for_each(|index| run(self, index, None))
    }

    /// Returns the layout and the place of a value, or of one picture of it.
    fn tensor(&self, value: usize, picture: Option<usize>) -> (Layout, Range<usize>) {
        let (layout, place) = (self.layouts[value], &self.places[value]);
        match picture {
            Some(picture) if !self.by_picture.alone[value] => {
                let start = place.start + picture * layout.picture_step();
                let layout = layout.of_one_picture();
                (layout, start..start + layout.len())
            }
            Some(_) | None => (layout, place.clone()),
        }
    }

    /// Runs one step, for one picture or for all. With `clear`, its halo is cleared although nothing has
    /// been written over it.
    fn step(
        &mut self,
        compiled: &Compiled,
        index: usize,
        picture: Option<usize>,
        clear: bool,
        inputs: &[ArrayViewD<'_, f32>],
    ) -> Result<()> {
        let (isa, ir) = (compiled.isa, &compiled.program.ir);
        let instruction = &ir.instructions[index];
        if !ir.runs(index) {
            return Ok(());
        }
        let (layout, place) = self.tensor(index, picture);
        if clear || self.halos.is_overwritten(index) {
            layout.clear_halo(&mut self.arena[place.clone()]);
        }
        let (name, values) = (&instruction.name, &instruction.inputs[..]);
        match &compiled.program.steps[index] {
            Step::Input(number) => {
                let input = inputs.get(*number).ok_or(Error::InputCount {
                    expected: self.inputs.len(),
                    got: inputs.len(),
                })?;
                let mut input = rank_4(input, name)?;
                if let Some(picture) = picture {
                    input.collapse_axis(Axis(0), picture);
                }
                let target = &mut self.arena[place];
                layout
                    .import(input, PaddingValue::Zeros, target)
                    .map_err(Error::at(name))
            }
            Step::Conv(conv) => self.sum(index, picture, values, name, |x, added, y, scratch| {
                conv.run(x, added, y, scratch)
            }),
            Step::ScaleShift {
                scale,
                shift,
                activation,
            } => self.sum(index, picture, values, name, |x, added, y, _| {
                blocked::scale_shift(isa, x, scale, shift, added, *activation, y)
            }),
            Step::Kernel(kernel) => self.kernel(index, picture, ir, kernel, isa),
        }
    }

    /// Calls `run` with the tensors of a step's first input, of its second, which it adds to the sum,
    /// and of the step itself, and with its scratch memory.
    fn sum(
        &mut self,
        index: usize,
        picture: Option<usize>,
        inputs: &[usize],
        name: &str,
        run: impl FnOnce(View<'_>, Option<View<'_>>, ViewMut<'_>, &mut [f32]) -> conv_core::Result<()>,
    ) -> Result<()> {
        let (input, residual) = match *inputs {
            [input] => (input, None),
            [input, residual] => (input, Some(residual)),
            _ => {
                let broken = "a sum has other inputs than its own and a residual";
                return Err(Error::internal(name, broken));
            }
        };
        let of_input = self.tensor(input, picture);
        let of_residual = residual.map(|value| self.tensor(value, picture));
        let of_output = self.tensor(index, picture);
        let added = of_residual
            .as_ref()
            .map_or(0..0, |(_, place)| place.clone());
        let (reads, writes) = (
            [of_input.1, added],
            [of_output.1, self.scratch[index].clone()],
        );
        let ([from, added], [to, scratch]) = arena::borrow(&mut self.arena, reads, writes, name)?;
        let all = || {
            let from = View::new(of_input.0, from)?;
            let added = of_residual.map(|(layout, _)| View::new(layout, added));
            let to = ViewMut::new(of_output.0, to)?;
            run(from, added.transpose()?, to, scratch)
        };
        all().map_err(Error::at(name))
    }

    /// Runs a kernel on each of its inputs.
    fn kernel(
        &mut self,
        index: usize,
        picture: Option<usize>,
        ir: &Ir,
        kernel: &Kernel,
        isa: Isa,
    ) -> Result<()> {
        let Instruction { name, inputs, .. } = &ir.instructions[index];
        let mut first_channel = 0;
        for (number, &input) in inputs.iter().enumerate() {
            let part = Part {
                number,
                first_channel,
            };
            first_channel += self.layouts[input].channels;
            if !ir.reads_input(index, input) {
                continue;
            }
            let (of_input, of_output) = (self.tensor(input, picture), self.tensor(index, picture));
            let (reads, writes) = ([of_input.1], [of_output.1]);
            let ([from], [to]) = arena::borrow(&mut self.arena, reads, writes, name)?;
            View::new(of_input.0, from)
                .and_then(|x| kernel.run(isa, part, x, ViewMut::new(of_output.0, to)?))
                .map_err(Error::at(name))?;
        }
        Ok(())
    }

    /// Copies the results into the output tensors.
    fn export(&self, ir: &Ir, outputs: &mut Outputs) -> Result<()> {
        let tensors = outputs.prepare(self.outputs.iter())?;
        for (tensor, &step) in tensors.iter_mut().zip(&ir.outputs) {
            let name = &ir.instructions[step].name;
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

impl Infer for Session {
    type Error = Error;

    #[tracing::instrument(level = "debug", skip_all)]
    fn run(&mut self, inputs: &[ArrayViewD<'_, f32>], outputs: &mut Outputs) -> Result<()> {
        self.check(inputs)?;
        let compiled = Arc::clone(&self.compiled);
        // The whole run is inside the pool: entering it for each step would cost more than the
        // smaller steps take.
        let clear = self.halos.begin();
        rayon::scope(|_| {
            self.for_each_step(|session, index, picture| {
                session.step(&compiled, index, picture, clear, inputs)
            })?;
            self.halos.end();
            self.export(&compiled.program.ir, outputs)
        })
    }
}

/// Allocates an arena.
pub(crate) fn allocate(len: usize) -> Result<Buffer> {
    Buffer::zeroed(len).map_err(|_| Error::OutOfMemory {
        what: "activations",
        bytes: len as u128 * u128::from(F32),
    })
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
