//! An optimiser's state, for checkpoints.

use std::collections::BTreeMap;

use conv_core::Element;

use super::Optimiser;
use crate::{
    backend::TrainBackend,
    error::{Error, Result},
    params::{Params, Slot},
};

/// The state of one parameter.
#[derive(Clone, Debug)]
pub(super) struct State<T> {
    /// The number of updates.
    pub(super) steps: u64,
    /// The method's slots, each with as many values as the parameter.
    pub(super) slots: Vec<Vec<T>>,
}

impl<T: Element> State<T> {
    pub(super) fn zeros(slots: usize, len: usize) -> Self {
        Self {
            steps: 0,
            slots: vec![vec![T::zero(); len]; slots],
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
    /// For each of the method's slots, by PyTorch's names (`momentum_buffer`, `exp_avg`, ...), one
    /// tensor per parameter.
    pub slots: BTreeMap<String, Params<T>>,
}

impl<T: Element> Optimiser<T> {
    /// Returns the optimiser's state; the backend converts it to the parameters' shapes.
    ///
    /// # Errors
    ///
    /// The backend's errors.
    pub fn export<B: TrainBackend<T>>(&self, backend: &B) -> Result<OptimiserState<T>> {
        let mut exported = OptimiserState {
            method: self.options.method.name().to_owned(),
            steps: BTreeMap::new(),
            slots: BTreeMap::new(),
        };
        for name in self.options.method.slots() {
            exported.slots.insert((*name).to_owned(), Params::new());
        }
        for (name, state) in &self.states {
            exported.steps.insert(name.clone(), state.steps);
            for (slot, numbers) in self.options.method.slots().iter().zip(&state.slots) {
                let value = backend.to_canonical(name, numbers).map_err(Error::other)?;
                if let Some(params) = exported.slots.get_mut(*slot) {
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
    /// [`Error::Resume`] for a different method or for a missing or superfluous slot or tensor, and
    /// the backend's errors about shapes. The old state is then kept.
    pub fn import<B: TrainBackend<T>>(
        &mut self,
        state: &OptimiserState<T>,
        backend: &B,
    ) -> Result<()> {
        let method = self.options.method;
        let slots = method.slots();
        if state.method != method.name() {
            return Err(resume("the optimiser", &state.method, method.name()));
        }
        let got: Vec<_> = state.slots.keys().map(String::as_str).collect();
        let mut expected = slots.to_vec();
        expected.sort_unstable();
        if got != expected {
            let [got, expected] = [got, expected].map(|slots| format!("{slots:?}"));
            return Err(resume("the optimiser's state", &got, &expected));
        }
        for (slot, params) in &state.slots {
            let other = params
                .iter()
                .find(|(name, _)| !state.steps.contains_key(*name));
            if let Some((name, _)) = other {
                let what = format!("the count of updates of {slot} of {name:?}");
                return Err(resume(&what, "missing", "present"));
            }
        }
        let mut states = BTreeMap::new();
        for (name, &steps) in &state.steps {
            if !self.settings.contains_key(name) {
                return Err(Error::UnknownParam { name: name.clone() });
            }
            let mut own = Vec::with_capacity(slots.len());
            for slot in slots {
                let param = state.slots.get(*slot).and_then(|params| params.get(name));
                let param = param
                    .ok_or_else(|| resume(&format!("{slot} of {name:?}"), "missing", "present"))?;
                let numbers = backend.from_canonical(name, &param.value);
                own.push(numbers.map_err(Error::other)?);
            }
            states.insert(name.clone(), State { steps, slots: own });
        }
        self.states = states;
        Ok(())
    }
}

fn resume(what: &str, got: &str, expected: &str) -> Error {
    Error::Resume {
        what: what.to_owned(),
        got: got.to_owned(),
        expected: expected.to_owned(),
    }
}
