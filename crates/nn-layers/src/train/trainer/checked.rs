//! A loss that checks for values that are not finite.

use std::cell::RefCell;

use conv_core::Element;
use ndarray::{ArrayD, ArrayViewD};

use crate::{
    error::{Error, Result},
    graph::param_spec::Slot,
    params::Params,
    train::{
        error::TrainError,
        loss::{Loss, Objective, Terms},
        optimiser::first_non_finite,
    },
};

/// An objective with the targets of a batch. It refuses outputs and losses that are not finite
/// before the backend has changed anything.
pub(in crate::train) struct Checked<'a, O, Y> {
    objective: &'a O,
    targets: &'a Y,
    /// The original error, since backends wrap it in their own.
    fault: RefCell<Option<Error>>,
}

impl<'a, O, Y> Checked<'a, O, Y> {
    pub(in crate::train) fn new(objective: &'a O, targets: &'a Y) -> Self {
        Self {
            objective,
            targets,
            fault: RefCell::new(None),
        }
    }

    /// The error, if the loss returned one.
    pub(in crate::train) fn fault(&self) -> Option<Error> {
        self.fault.take()
    }

    fn try_eval<T: Element>(
        &self,
        outputs: &[ArrayViewD<'_, T>],
        grads: &mut [ArrayD<T>],
    ) -> Result<Terms>
    where
        O: Objective<T, Targets = Y>,
    {
        for (index, output) in outputs.iter().enumerate() {
            check(output, || format!("output {index} of the network"))?;
        }
        let terms = self.objective.eval(self.targets, outputs, grads)?;
        check(&[terms.total], || "the loss".to_owned())?;
        for (name, part) in &terms.parts {
            check(&[*part], || format!("the loss's part {name:?}"))?;
        }
        Ok(terms)
    }
}

impl<T: Element, O: Objective<T>> Loss<T> for Checked<'_, O, O::Targets> {
    fn eval(&self, outputs: &[ArrayViewD<'_, T>], grads: &mut [ArrayD<T>]) -> Result<Terms> {
        let terms = self.try_eval(outputs, grads);
        if let Err(error) = &terms {
            self.fault.replace(Some(error.clone()));
        }
        terms
    }
}

/// Refuses NaN and infinity.
pub(super) fn check<'a, T: Element>(
    numbers: impl IntoIterator<Item = &'a T>,
    tensor: impl Fn() -> String,
) -> Result<()> {
    match first_non_finite(numbers) {
        None => Ok(()),
        Some((index, got)) => Err(TrainError::NonFinite {
            tensor: tensor(),
            index,
            got,
            node: None,
        }
        .into()),
    }
}

/// Refuses parameters with values that are not finite; training could not continue from them.
pub(super) fn check_params<T: Element>(params: &Params<T>) -> Result<()> {
    for (name, param) in params.iter() {
        if param.slot != Slot::Counter {
            check(&param.value, || format!("parameter {name:?}"))?;
        }
    }
    Ok(())
}
