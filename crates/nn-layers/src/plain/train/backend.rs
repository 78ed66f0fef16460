//! The plain trainer as a backend of the training loop.

use conv_core::Element;
use ndarray::{ArrayD, ArrayViewD, IxDyn};

use super::PlainTrainer;
use crate::{
    error::{Error, Result},
    graph::{error::GraphError, param_spec::Slot},
    params::{Params, error::ParamsError, load_report::Misfit},
    train::{
        backend::{StepKey, TrainBackend},
        error::TrainError,
        loss::{Loss, Terms},
        spec::TrainSpec,
    },
};

impl<T: Element> TrainBackend<T> for PlainTrainer<T> {
    type Error = Error;

    fn step(
        &mut self,
        inputs: &[ArrayViewD<'_, T>],
        loss: &dyn Loss<T>,
        key: StepKey,
    ) -> Result<Terms> {
        Ok(self.trace(inputs, loss, key, |_, _, _| ())?.terms)
    }

    fn update(&mut self, rule: &mut dyn FnMut(&str, &mut [T], &[T])) -> Result<()> {
        let mut unreached = self.gradients.iter().filter(|(_, sum)| !sum.reached);
        if let Some((name, _)) = unreached.next() {
            return Err(TrainError::NoGradient {
                name: name.clone(),
                more: unreached.count(),
            }
            .into());
        }
        for (name, sum) in &mut self.gradients {
            let numbers = self.params.get_mut(name);
            let numbers = numbers.and_then(|param| param.value.as_slice_mut());
            // Both are in standard layout, as `set_params` ensures.
            let (Some(numbers), Some(gradient)) = (numbers, sum.value.as_slice()) else {
                return Err(Error::internal(name, NOT_STANDARD));
            };
            rule(name, numbers, gradient);
            sum.value.fill(T::zero());
            sum.reached = false;
        }
        Ok(())
    }

    fn visit_gradients(&self, visit: &mut dyn FnMut(&str, &[T])) -> Result<()> {
        for (name, sum) in &self.gradients {
            let gradient = sum.value.as_slice();
            visit(
                name,
                gradient.ok_or_else(|| Error::internal(name, NOT_STANDARD))?,
            );
        }
        Ok(())
    }

    fn first_non_finite(&mut self, inputs: &[ArrayViewD<'_, T>], key: StepKey) -> Option<String> {
        let mut first = None;
        let visit = |_, id, output: &ArrayD<T>| {
            if first.is_none() && output.iter().any(|x| !x.is_finite()) {
                first = Some(id);
            }
        };
        // The step ends at the loss, before anything changes.
        let _ = self.trace(inputs, &Refusal, key, visit);
        let node = self.graph.node(first?)?;
        Some(node.name.clone())
    }

    fn gradients(&self) -> Params<T> {
        let mut gradients = Params::new();
        for (name, sum) in &self.gradients {
            gradients.insert(name, Slot::Weight, sum.value.clone());
        }
        let only = self.graph.inputs.len() == 1;
        for (name, grad) in &self.grad_inputs {
            let name = if only { "input" } else { name };
            gradients.insert(name, Slot::Buffer, grad.clone());
        }
        gradients
    }

    fn export(&self) -> Params<T> {
        self.params.clone()
    }

    fn import(&mut self, params: &Params<T>) -> Result<()> {
        self.set_params(params.clone())
    }

    fn set_frozen(&mut self, frozen: &[String]) -> Result<()> {
        let spec = TrainSpec {
            frozen: frozen.to_vec(),
            ..self.spec.clone()
        };
        self.flow = spec.resolve(&self.graph)?;
        self.spec = spec;
        let params = std::mem::take(&mut self.params);
        self.set_params(params)
    }

    fn to_canonical(&self, name: &str, numbers: &[T]) -> Result<ArrayD<T>> {
        let shape = self.shape_of(name)?;
        let array = ArrayD::from_shape_vec(IxDyn(shape), numbers.to_vec());
        Ok(array.map_err(|_| ParamsError::ParamLength {
            name: name.to_owned(),
            expected: shape.iter().product(),
            got: numbers.len(),
        })?)
    }

    fn from_canonical(&self, name: &str, numbers: &ArrayD<T>) -> Result<Vec<T>> {
        let expected = self.shape_of(name)?;
        if numbers.shape() == expected {
            Ok(numbers.iter().copied().collect())
        } else {
            let misfit = Misfit::Shape {
                name: name.to_owned(),
                expected: expected.to_vec(),
                got: numbers.shape().to_vec(),
            };
            Err(ParamsError::Misfits(vec![misfit]).into())
        }
    }
}

/// The state that [`PlainTrainer::set_params`] rules out.
const NOT_STANDARD: &str = "a parameter or its gradient is not in standard layout";

/// A loss that fails every step.
struct Refusal;

impl<T> Loss<T> for Refusal {
    fn eval(&self, _: &[ArrayViewD<'_, T>], _: &mut [ArrayD<T>]) -> Result<Terms> {
        Err(GraphError::NoOutputs.into())
    }
}
