//! What runs training steps, and owns the parameters while it does.

use ndarray::{ArrayD, ArrayViewD};

use crate::{
    graph::param_spec::Slot,
    params::Params,
    train::loss::{Loss, Terms},
};

/// Runs the steps of a training: forward, loss, backward, update.
///
/// A backend owns the parameters in its own layout, and gives and takes them in the canonical one.
/// [`PlainTrainer`](crate::PlainTrainer) is the one by definition; faster ones agree with it.
///
/// What is [frozen](crate::TrainSpec::frozen) gets no gradient, normalises with its running
/// statistics and leaves them as they are, and drops nothing out; the backward pass stops where
/// nothing below is learnt.
pub trait TrainBackend<T> {
    /// Why a step can fail.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Runs the network in training mode, the loss, and the backward pass; **adds** into the
    /// parameters' gradients, so that several steps before an [`update`](Self::update) accumulate.
    /// Running statistics move, and counters `num_batches_tracked` count where there are any.
    ///
    /// # Errors
    ///
    /// Inputs that the network or the loss does not take, and a batch that leaves a batch
    /// normalisation one value a channel. Nothing has changed then.
    fn step(
        &mut self,
        inputs: &[ArrayViewD<'_, T>],
        loss: &dyn Loss<T>,
        key: StepKey,
    ) -> Result<Terms, Self::Error>;

    /// Calls `rule(name, numbers, gradient)` for every parameter that is learnt, in the order of
    /// the names, then sets the gradients to 0. Numbers and gradient are in the backend's own
    /// order, so a rule may only go element by element.
    ///
    /// # Errors
    ///
    /// A parameter that should learn and that no gradient reached, by name. No rule has been called
    /// then.
    #[expect(
        clippy::type_complexity,
        reason = "a name would hide what a rule is given"
    )]
    fn update(&mut self, rule: &mut dyn FnMut(&str, &mut [T], &[T])) -> Result<(), Self::Error>;

    /// Calls `visit(name, gradient)` for every parameter that is learnt, in the order of the names,
    /// and changes nothing: what has to be known of all gradients before the first number moves,
    /// such as their norm. A backend with its own order of numbers gives it in that, without
    /// numbers that belong to no parameter, or with zeros in their place.
    ///
    /// # Errors
    ///
    /// What the backend cannot give.
    fn visit_gradients(&self, visit: &mut dyn FnMut(&str, &[T])) -> Result<(), Self::Error>
    where
        T: Clone,
    {
        for (name, param) in self.gradients().iter() {
            // The gradients of inputs are buffers.
            if param.slot == Slot::Weight {
                match param.value.as_slice() {
                    Some(gradient) => visit(name, gradient),
                    None => visit(name, &param.value.iter().cloned().collect::<Vec<_>>()),
                }
            }
        }
        Ok(())
    }

    /// The name of the first node, in the graph's order, whose output in training mode is not
    /// finite for these inputs, where there is one and the backend can tell. It is asked when a step
    /// has failed, so it may be slow; it changes nothing.
    fn first_non_finite(&mut self, inputs: &[ArrayViewD<'_, T>], key: StepKey) -> Option<String> {
        let _ = (inputs, key);
        None
    }

    /// The gradients of the trainable parameters, by name and in the canonical layout.
    ///
    /// With [`TrainSpec::grad_input`](crate::TrainSpec::grad_input) the last step's gradient of
    /// the input is there too, as `input`; of several inputs, by the names of their nodes.
    fn gradients(&self) -> Params<T>;

    /// All parameters in the canonical layout: weights, running statistics, counters, and whatever
    /// else was imported.
    fn export(&self) -> Params<T>;

    /// Puts these in the place of all parameters, and sets the gradients to 0.
    ///
    /// # Errors
    ///
    /// Parameters that do not fit the graph; the old ones stay then.
    fn import(&mut self, params: &Params<T>) -> Result<(), Self::Error>;

    /// Numbers that belong to a parameter, such as an optimiser's state, from the backend's own
    /// order into the parameter's shape.
    ///
    /// # Errors
    ///
    /// A name that is no parameter's, or another number of numbers.
    fn to_canonical(&self, name: &str, numbers: &[T]) -> Result<ArrayD<T>, Self::Error>;

    /// The inverse of [`to_canonical`](Self::to_canonical).
    ///
    /// # Errors
    ///
    /// A name that is no parameter's, or another shape.
    #[expect(
        clippy::wrong_self_convention,
        reason = "the backend knows its own order"
    )]
    fn from_canonical(&self, name: &str, numbers: &ArrayD<T>) -> Result<Vec<T>, Self::Error>;
}

/// What the randomness of a step depends on, together with a node's name and nothing else: the same
/// key draws the same dropout in every backend and on any number of threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StepKey {
    /// The training's seed.
    pub seed: u64,
    /// The step's number, counted through all epochs.
    pub step: u64,
}

/// A step of the training with seed 0.
impl From<u64> for StepKey {
    fn from(step: u64) -> Self {
        Self { seed: 0, step }
    }
}
