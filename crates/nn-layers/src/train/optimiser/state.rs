//! An optimiser's state, for checkpoints.

use std::collections::BTreeMap;

use conv_core::Element;

use super::Optimiser;
use crate::{
    error::{Error, Result},
    graph::param_spec::Slot,
    params::{Params, error::ParamsError},
    train::{backend::TrainBackend, error::TrainError},
};

/// The state of one parameter.
#[derive(Clone, Debug)]
pub(super) struct State<T> {
    /// The number of updates.
    pub(super) steps: u64,
    /// The method's moments, each with as many numbers as the parameter.
    pub(super) moments: Vec<Vec<T>>,
}

impl<T: Element> State<T> {
    pub(super) fn zeros(moments: usize, len: usize) -> Self {
        Self {
            steps: 0,
            moments: vec![vec![T::zero(); len]; moments],
        }
    }
}

/// An optimiser's state, in the parameters' own shapes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OptimiserState<T> {
    /// The [method's name](super::Method::name).
    pub method: String,
    /// The number of updates of each parameter; parameters never updated are absent.
    pub steps: BTreeMap<String, u64>,
    /// For each of the method's moments, by PyTorch's names (`momentum_buffer`, `exp_avg`, ...), a
    /// tensor for each parameter.
    pub moments: BTreeMap<String, Params<T>>,
}

impl<T: Element> Optimiser<T> {
    /// Returns the bytes of the optimiser's state once every parameter that the backend trains has
    /// been updated: one value for each moment of the method and each value of the parameter, in the
    /// backend's own order, any zeros that pad it included. Gradient descent without momentum needs
    /// none, Adam twice the gradients' memory.
    ///
    /// # Errors
    ///
    /// The backend's errors.
    ///
    /// ```
    /// use ndarray::ArrayD;
    /// use nn_layers::{
    ///     Adam, GraphBuilder, Linear, Optimiser, PlainTrainer, TrainSpec, random_params,
    /// };
    ///
    /// let mut b = GraphBuilder::new();
    /// let x = b.input("x", [1, 4])?;
    /// let fc = b.linear("fc", x, Linear::new(3))?;
    /// let graph = b.finish(&[fc])?;
    /// let params = random_params(&graph, 1)?;
    /// let optimiser = Optimiser::new(Adam::default(), &params)?;
    /// let backend = PlainTrainer::new(&graph, params, TrainSpec::default())?;
    /// // Two moments of 3 x 4 weights and 3 biases in f32.
    /// assert_eq!(optimiser.state_bytes(&backend)?, 2 * (3 * 4 + 3) * 4);
    /// # Ok::<(), nn_layers::Error>(())
    /// ```
    pub fn state_bytes<B: TrainBackend<T>>(&self, backend: &B) -> Result<u64> {
        let mut values = 0;
        let count = &mut |_: &str, gradient: &[T]| values += gradient.len() as u64;
        backend.visit_gradients(count).map_err(Error::other)?;
        let moments = self.options.method.moments().len() as u64;
        Ok(moments * values * size_of::<T>() as u64)
    }

    /// Returns the optimiser's state; the backend converts it to the parameters' shapes.
    ///
    /// # Errors
    ///
    /// The backend's errors.
    pub fn export<B: TrainBackend<T>>(&self, backend: &B) -> Result<OptimiserState<T>> {
        let mut exported = OptimiserState {
            method: self.options.method.name().to_owned(),
            steps: BTreeMap::new(),
            moments: BTreeMap::new(),
        };
        for name in self.options.method.moments() {
            exported.moments.insert((*name).to_owned(), Params::new());
        }
        for (name, state) in &self.states {
            exported.steps.insert(name.clone(), state.steps);
            for (moment, numbers) in self.options.method.moments().iter().zip(&state.moments) {
                let value = backend.to_canonical(name, numbers).map_err(Error::other)?;
                if let Some(params) = exported.moments.get_mut(*moment) {
                    params.insert(name, Slot::Weight, value);
                }
            }
        }
        Ok(exported)
    }

    /// Resumes from the state of another optimiser.
    ///
    /// # Errors
    ///
    /// [`TrainError::Resume`] for another method, a moment or tensor that is missing or too much,
    /// and what the backend says about shapes. The old state stays then.
    pub fn import<B: TrainBackend<T>>(
        &mut self,
        state: &OptimiserState<T>,
        backend: &B,
    ) -> Result<()> {
        let method = self.options.method;
        let moments = method.moments();
        if state.method != method.name() {
            return Err(resume("the optimiser", &state.method, method.name()));
        }
        let got: Vec<_> = state.moments.keys().map(String::as_str).collect();
        let mut expected = moments.to_vec();
        expected.sort_unstable();
        if got != expected {
            let [got, expected] = [got, expected].map(|moments| format!("{moments:?}"));
            return Err(resume("the optimiser's state", &got, &expected));
        }
        for (moment, params) in &state.moments {
            let other = params
                .iter()
                .find(|(name, _)| !state.steps.contains_key(*name));
            if let Some((name, _)) = other {
                let what = format!("the count of updates of {moment} of {name:?}");
                return Err(resume(&what, "missing", "present"));
            }
        }
        let mut states = BTreeMap::new();
        for (name, &steps) in &state.steps {
            if !self.settings.contains_key(name) {
                return Err(ParamsError::UnknownParam { name: name.clone() }.into());
            }
            let mut own = Vec::with_capacity(moments.len());
            for moment in moments {
                let param = state
                    .moments
                    .get(*moment)
                    .and_then(|params| params.get(name));
                let param = param.ok_or_else(|| {
                    resume(&format!("{moment} of {name:?}"), "missing", "present")
                })?;
                let numbers = backend.from_canonical(name, &param.value);
                own.push(numbers.map_err(Error::other)?);
            }
            states.insert(
                name.clone(),
                State {
                    steps,
                    moments: own,
                },
            );
        }
        self.states = states;
        Ok(())
    }
}

fn resume(what: &str, got: &str, expected: &str) -> Error {
    Error::Train(TrainError::Resume {
        what: what.to_owned(),
        got: got.to_owned(),
        expected: expected.to_owned(),
    })
}
