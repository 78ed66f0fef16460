//! The backend: it runs training steps and owns the parameters during training.

use ndarray::{ArrayD, ArrayViewD};

use crate::{
    graph::param_spec::Slot,
    params::Params,
    train::loss::{Loss, Terms},
};

/// Runs training steps: forward pass, loss, backward pass, update.
///
/// A backend owns the parameters in its own layout, and exports and imports them in the canonical
/// one. [`PlainTrainer`](crate::PlainTrainer) defines the results; faster backends agree with it.
///
/// A [frozen](crate::TrainSpec::frozen) node has no parameter gradients. If it is a batch
/// normalisation, it uses its running statistics and does not change them; if it is a dropout, it
/// drops nothing. The backward pass stops where no further gradient is needed.
pub trait TrainBackend<T> {
    /// The error of a failed step.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Runs the network in training mode, the loss and the backward pass. The parameters' gradients
    /// are **added** to those of earlier steps, so that several steps before an
    /// [`update`](Self::update) accumulate. Running statistics are updated, and so are the counters
    /// `num_batches_tracked`, if there are any.
    ///
    /// # Errors
    ///
    /// Inputs that the network or the loss does not accept, and a batch with one value per channel
    /// for a batch normalisation. Nothing has changed then.
    fn step(
        &mut self,
        inputs: &[ArrayViewD<'_, T>],
        loss: &dyn Loss<T>,
        key: StepKey,
    ) -> Result<Terms, Self::Error>;

    /// Calls `rule(name, numbers, gradient)` for every trainable parameter, in the order of their
    /// names, then sets the gradients to 0. `numbers` holds the parameter's values. They and the
    /// gradient are in the backend's own order, so a rule has to work element by element.
    ///
    /// # Errors
    ///
    /// A trainable parameter that no gradient has reached since the last update, by name. The rule
    /// has not been called then.
    #[expect(
        clippy::type_complexity,
        reason = "a type alias would hide the arguments of a rule"
    )]
    fn update(&mut self, rule: &mut dyn FnMut(&str, &mut [T], &[T])) -> Result<(), Self::Error>;

    /// Calls `visit(name, gradient)` for every trainable parameter, in the order of their names,
    /// and changes nothing. It serves to compute a property of all gradients, such as their norm,
    /// before the first value is updated. A backend with its own order of values passes them in
    /// that order; elements that only pad a parameter are left out or 0.
    ///
    /// # Errors
    ///
    /// A gradient that the backend cannot provide.
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
    /// finite for these inputs, if there is one and the backend can find it. It is called after a
    /// failed step, so it may be slow. It changes nothing.
    fn first_non_finite(&mut self, inputs: &[ArrayViewD<'_, T>], key: StepKey) -> Option<String> {
        let _ = (inputs, key);
        None
    }

    /// The gradients of the trainable parameters, by name and in the canonical layout.
    ///
    /// With [`TrainSpec::grad_input`](crate::TrainSpec::grad_input), they include the last step's
    /// gradient of the input, under the name `input`, or under the names of the input nodes if
    /// there are several.
    fn gradients(&self) -> Params<T>;

    /// All parameters in the canonical layout: weights, running statistics, counters, and all other
    /// imported tensors.
    fn export(&self) -> Params<T>;

    /// Replaces all parameters with these, and sets the gradients to 0.
    ///
    /// # Errors
    ///
    /// Parameters that do not fit the graph. The old ones are then kept.
    fn import(&mut self, params: &Params<T>) -> Result<(), Self::Error>;

    /// Replaces the list of [frozen](crate::TrainSpec::frozen) nodes and scopes, and sets the gradients
    /// to 0. All parameters keep their values. So layers can be unfrozen step by step in the middle
    /// of a training run (Howard and Ruder, "Universal Language Model Fine-tuning for Text
    /// Classification", 2018, section 3.3).
    ///
    /// # Errors
    ///
    /// A name that is neither a node's nor a scope's, and memory that is not available. The old list
    /// then stays.
    fn set_frozen(&mut self, frozen: &[String]) -> Result<(), Self::Error>;

    /// Converts values that belong to a parameter, such as an optimiser's state, from the backend's
    /// own order into the parameter's shape.
    ///
    /// # Errors
    ///
    /// A name that is not a parameter's, or a wrong number of values.
    fn to_canonical(&self, name: &str, numbers: &[T]) -> Result<ArrayD<T>, Self::Error>;

    /// The inverse of [`to_canonical`](Self::to_canonical).
    ///
    /// # Errors
    ///
    /// A name that is not a parameter's, or a wrong shape.
    #[expect(
        clippy::wrong_self_convention,
        reason = "the backend knows its own order"
    )]
    fn from_canonical(&self, name: &str, numbers: &ArrayD<T>) -> Result<Vec<T>, Self::Error>;
}

/// The randomness of a step depends only on this key and the node's name: the same key draws the
/// same dropout mask in every backend and on any number of threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StepKey {
    /// The seed of the training run.
    pub seed: u64,
    /// The number of the step, counted across all epochs.
    pub step: u64,
}

/// A step with seed 0.
impl From<u64> for StepKey {
    fn from(step: u64) -> Self {
        Self { seed: 0, step }
    }
}
