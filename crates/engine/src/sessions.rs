//! Sessions for inputs of several shapes, which take turns with one arena.

use std::sync::Arc;

use ndarray::{ArrayD, ArrayView, ArrayViewD, Dimension};
use nn_layers::{Infer, Outputs, Shape};

use crate::error::Result;
use crate::inputs::with_dyn;
use crate::memory::{F32, MemoryUse};
use crate::plan::Plan;
use crate::session::{Session, allocate};

/// Runs a [`Plan`] on inputs of any shapes that its graph accepts: pictures of several sizes, or a last
/// batch with fewer of them.
///
/// Inputs of a new shape make a [`Session`], which is kept for the next inputs of that shape. Only one
/// session runs at a time, so all use the same memory for their activations: that of the largest. A run
/// with a shape that is kept allocates no memory for activations.
///
/// A clone shares the weights and starts without sessions: use one clone per thread.
///
/// ```
/// use engine::{Options, Plan, SessionsOptions};
/// use ndarray::ArrayD;
/// use nn_layers::{Conv2d, GraphBuilder, Infer, Outputs, random_params};
///
/// let mut b = GraphBuilder::new();
/// let image = b.input("image", [1, 3, 8, 8])?;
/// let conv = b.conv2d("conv", image, Conv2d::new(4, [3, 3]))?;
/// let graph = b.finish(&[conv])?;
/// let plan = Plan::compile(&graph, random_params(&graph, 1)?, &Options::default())?;
///
/// let mut sessions = plan.sessions(SessionsOptions::default());
/// let mut outputs = Outputs::new();
/// for [n, h, w] in [[4, 8, 8], [4, 20, 30], [4, 8, 8], [3, 8, 8]] {
///     let pictures = ArrayD::ones(vec![n, 3, h, w]);
///     sessions.run(&[pictures.view()], &mut outputs)?;
///     assert_eq!(outputs.tensors[0].shape(), [n, 4, h - 2, w - 2]);
/// }
/// assert_eq!(sessions.shapes().count(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Sessions {
    plan: Plan,
    options: SessionsOptions,
    /// The last used first. That one has the arena, which is as large as the largest needs.
    kept: Vec<Session>,
}

/// How many sessions [`Sessions`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionsOptions {
    /// The most sessions that are kept; default 16. Where there are more, the least recently used is
    /// dropped. The one that ran last is always kept, even with 0.
    pub keep: usize,
}

impl Default for SessionsOptions {
    fn default() -> Self {
        // A session without its arena takes some kilobytes, yet one large picture should not hold its
        // memory for ever.
        Self { keep: 16 }
    }
}

impl Clone for Sessions {
    fn clone(&self) -> Self {
        self.plan.sessions(self.options)
    }
}

impl Sessions {
    pub(crate) fn new(plan: Plan, options: SessionsOptions) -> Self {
        Self {
            plan,
            options,
            kept: Vec::new(),
        }
    }

    /// Returns the session for inputs of these shapes with the memory that it needs, made if it is not
    /// kept: to allocate before the first run, or to [profile](Session::profile).
    ///
    /// ```
    /// # use engine::{Options, Plan, SessionsOptions};
    /// # use nn_layers::{Conv2d, GraphBuilder, Shape, random_params};
    /// # let mut b = GraphBuilder::new();
    /// # let image = b.input("image", [1, 3, 8, 8])?;
    /// # let conv = b.conv2d("conv", image, Conv2d::new(4, [3, 3]))?;
    /// # let graph = b.finish(&[conv])?;
    /// # let plan = Plan::compile(&graph, random_params(&graph, 1)?, &Options::default())?;
    /// let mut sessions = plan.sessions(SessionsOptions::default());
    /// let session = sessions.session(&[Shape::from([1, 3, 20, 30])])?;
    /// println!("{}", session.memory());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Plan::session`]. The sessions that were kept before stay usable.
    pub fn session(&mut self, shapes: &[Shape]) -> Result<&mut Session> {
        self.find(|kept| kept == shapes, || shapes.to_vec())
    }

    /// Runs once and returns the outputs, in the graph's order, in newly allocated tensors. In a loop,
    /// [`run`](Infer::run) avoids this allocation.
    ///
    /// # Errors
    ///
    /// As [`run`](Infer::run): those of [`Plan::session`] and [`Session::run_once`].
    pub fn run_once<D: Dimension>(
        &mut self,
        inputs: &[ArrayView<'_, f32, D>],
    ) -> Result<Vec<ArrayD<f32>>> {
        let mut outputs = Outputs::new();
        with_dyn(inputs, |inputs| self.run(inputs, &mut outputs))?;
        Ok(outputs.tensors)
    }

    /// Returns the input shapes of the sessions that are kept, the last used first.
    pub fn shapes(&self) -> impl ExactSizeIterator<Item = &[Shape]> {
        self.kept.iter().map(Session::input_shapes)
    }

    /// Returns the bytes of memory for activations: those of the largest session that is kept.
    #[must_use]
    pub fn arena_bytes(&self) -> usize {
        self.kept.first().map_or(0, Session::held) * size_of::<f32>()
    }

    /// Returns the plan that the sessions run.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the session whose shapes `fit`, or one for `shapes`, with the arena.
    fn find(
        &mut self,
        fit: impl Fn(&[Shape]) -> bool,
        shapes: impl FnOnce() -> Vec<Shape>,
    ) -> Result<&mut Session> {
        let kept = &mut self.kept;
        let found = kept.iter().position(|one| fit(one.input_shapes()));
        let (index, mut arena) = if let Some(index) = found {
            (index, kept[0].take_arena())
        } else {
            let compiled = Arc::clone(self.plan.compiled());
            let made = Session::without_arena(compiled, &shapes())?;
            let arena = kept.first_mut().map(Session::take_arena);
            kept.truncate(self.options.keep.saturating_sub(1));
            kept.push(made);
            (kept.len() - 1, arena.unwrap_or_default())
        };
        kept[..=index].rotate_right(1);
        let limit = self.plan.compiled().memory_limit;
        // The first alone is within the limit.
        while kept.len() > 1 && memory(kept).total() > limit {
            kept.pop();
        }
        if arena.len() != largest(kept) {
            // The old one first, so that there are never two.
            drop(arena);
            arena = allocate(largest(kept)).inspect_err(|_| kept.clear())?;
        }
        kept[0].give_arena(arena);
        Ok(&mut kept[0])
    }
}

/// Returns the elements of the largest session's activations.
fn largest(kept: &[Session]) -> usize {
    kept.iter().map(Session::arena_len).max().unwrap_or(0)
}

/// Returns the memory while the first session runs.
fn memory(kept: &[Session]) -> MemoryUse {
    MemoryUse {
        activations: largest(kept) as u64 * F32,
        ..kept.first().map(Session::memory).unwrap_or_default()
    }
}

impl Infer for Sessions {
    type Error = crate::Error;

    fn run(&mut self, inputs: &[ArrayViewD<'_, f32>], outputs: &mut Outputs) -> Result<()> {
        let fit = |shapes: &[Shape]| {
            let pairs = shapes.iter().zip(inputs);
            shapes.len() == inputs.len()
                && pairs
                    .into_iter()
                    .all(|(shape, input)| **shape == *input.shape())
        };
        let shapes = || inputs.iter().map(|input| input.shape().into()).collect();
        self.find(fit, shapes)?.run(inputs, outputs)
    }
}
