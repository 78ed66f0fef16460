//! A backend whose own order of values is the reverse of the canonical one.

use std::collections::BTreeMap;

use ndarray::{ArrayD, ArrayViewD, IxDyn};
use nn_layers::{Error, Loss, Params, ParamsError, Result, Slot, StepKey, Terms, TrainBackend};

/// Parameters and gradients without a network. The backend's own order is the reverse of the
/// canonical one.
#[derive(Clone)]
pub(crate) struct Backwards {
    shapes: BTreeMap<String, Vec<usize>>,
    numbers: BTreeMap<String, Vec<f64>>,
    gradients: BTreeMap<String, Vec<f64>>,
}

impl Backwards {
    pub(crate) fn new(params: &Params<f64>) -> Self {
        let mut backend = Self {
            shapes: params
                .iter()
                .map(|(name, param)| (name.to_owned(), param.value.shape().to_vec()))
                .collect(),
            numbers: BTreeMap::new(),
            gradients: BTreeMap::new(),
        };
        backend.import(params).unwrap();
        backend
    }

    pub(crate) fn set_gradient(&mut self, name: &str, gradient: &[f64]) {
        let gradient = gradient.iter().rev().copied().collect();
        self.gradients.insert(name.to_owned(), gradient);
    }

    fn params(&self, numbers: &BTreeMap<String, Vec<f64>>) -> Params<f64> {
        let mut params = Params::new();
        for (name, numbers) in numbers {
            let value = self.to_canonical(name, numbers).unwrap();
            params.insert(name, Slot::Weight, value);
        }
        params
    }
}

impl TrainBackend<f64> for Backwards {
    type Error = Error;

    fn step(&mut self, _: &[ArrayViewD<'_, f64>], _: &dyn Loss<f64>, _: StepKey) -> Result<Terms> {
        unreachable!("the tests give the gradients")
    }

    fn update(&mut self, rule: &mut dyn FnMut(&str, &mut [f64], &[f64])) -> Result<()> {
        for (name, gradient) in &mut self.gradients {
            rule(name, self.numbers.get_mut(name).unwrap(), gradient);
            gradient.fill(0.0);
        }
        Ok(())
    }

    fn gradients(&self) -> Params<f64> {
        self.params(&self.gradients)
    }

    fn export(&self) -> Params<f64> {
        self.params(&self.numbers)
    }

    fn import(&mut self, params: &Params<f64>) -> Result<()> {
        for (name, param) in params.iter() {
            let numbers = self.from_canonical(name, &param.value)?;
            self.numbers.insert(name.to_owned(), numbers);
        }
        Ok(())
    }

    fn set_frozen(&mut self, _: &[String]) -> Result<()> {
        unreachable!("the tests freeze nothing")
    }

    fn to_canonical(&self, name: &str, numbers: &[f64]) -> Result<ArrayD<f64>> {
        let numbers = numbers.iter().rev().copied().collect();
        Ok(ArrayD::from_shape_vec(IxDyn(&self.shapes[name]), numbers).unwrap())
    }

    fn from_canonical(&self, name: &str, numbers: &ArrayD<f64>) -> Result<Vec<f64>> {
        if self.shapes[name] != numbers.shape() {
            return Err(Error::Params(ParamsError::ParamLength {
                name: name.to_owned(),
                expected: self.shapes[name].iter().product(),
                got: numbers.len(),
            }));
        }
        let mut numbers: Vec<f64> = numbers.iter().copied().collect();
        numbers.reverse();
        Ok(numbers)
    }
}
