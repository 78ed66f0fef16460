//! The gradients of a whole graph's training step against finite differences.

use conv_core::Element;
use ndarray::{ArrayD, ArrayViewD};
use nn_layers::{
    Graph, Loss, Params, PlainTrainer, Result, StepKey, Terms, TrainBackend, TrainSpec,
};

use crate::random::random_array;

/// The sum of the products of every output number with a random one: a loss whose gradient leaves
/// nothing out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Projection {
    /// Where the random numbers come from.
    pub seed: u64,
}

impl Projection {
    /// What output `index` is multiplied by: its gradient.
    #[must_use]
    pub fn weights(&self, index: usize, shape: &[usize]) -> ArrayD<f64> {
        random_array(shape, self.seed.wrapping_add(index as u64))
    }
}

impl<T: Element> Loss<T> for Projection {
    fn eval(&self, outputs: &[ArrayViewD<'_, T>], grads: &mut [ArrayD<T>]) -> Result<Terms> {
        let mut total = 0.0;
        for (index, (output, grad)) in outputs.iter().zip(grads).enumerate() {
            let weights = self.weights(index, output.shape());
            let products = output.iter().zip(&weights);
            total += products
                .map(|(y, weight)| y.to_f64().unwrap_or(f64::NAN) * weight)
                .sum::<f64>();
            grad.zip_mut_with(&weights, |grad, &weight| *grad = T::from_f64(weight));
        }
        Ok(Terms {
            total,
            parts: Vec::new(),
        })
    }
}

/// A training step in f64, to be taken at neighbouring parameters and inputs.
#[derive(Debug)]
pub struct StepCheck<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// Its parameters.
    pub params: &'a Params<f64>,
    /// Its inputs.
    pub inputs: &'a [ArrayD<f64>],
    /// What learns; the inputs' gradients are asked for whatever it says.
    pub spec: TrainSpec,
    /// What the outputs are multiplied by.
    pub loss: Projection,
    /// What dropout draws from.
    pub key: StepKey,
}

/// How far the steps of a difference go. Its error is about `STEP²` times the third derivative
/// and the rounding of the loss over `STEP`: for well-behaved losses 1e-10 and 1e-11.
const STEP: f64 = 1e-5;

/// What a difference may be off by besides, in units of what was added up.
const ROUNDING: f64 = 1e-7;

impl<'a> StepCheck<'a> {
    /// A check of everything, by the seed.
    #[must_use]
    pub fn new(
        graph: &'a Graph,
        params: &'a Params<f64>,
        inputs: &'a [ArrayD<f64>],
        seed: u64,
    ) -> Self {
        Self {
            graph,
            params,
            inputs,
            spec: TrainSpec::default(),
            loss: Projection { seed },
            key: StepKey { seed, step: 3 },
        }
    }

    /// Asserts that the gradients of all that learns, and of the inputs, are the slopes of the loss
    /// along random directions and along the axes of some single numbers.
    ///
    /// A slope is the central difference over `h`, and compared within a multiple of how much it
    /// differs from the one over `2h`: that is an estimate of its error where the loss is smooth,
    /// and large where a kink (ReLU, max pool) lies between. Returns how many slopes were compared
    /// and how many of those sharply, to one part in 100,000.
    ///
    /// # Errors
    ///
    /// What the trainer says of graph, parameters or inputs.
    ///
    /// # Panics
    ///
    /// Where a gradient is wrong; the message names it.
    #[track_caller]
    pub fn run(&self) -> Result<Compared> {
        let (loss, gradients) = self.step(self.params, self.inputs)?;
        let mut compared = Compared::default();
        let input_name = |index: usize| {
            let id = self.graph.inputs()[index];
            match self.inputs.len() {
                1 => "input".to_owned(),
                _ => self.graph.nodes()[id.index()].name().to_owned(),
            }
        };
        let names: Vec<String> = (0..self.inputs.len()).map(input_name).collect();
        for (name, gradient) in gradients.iter() {
            for direction in directions(&gradient.value, self.loss.seed) {
                let slope = |step: f64| -> Result<f64> {
                    let at = |step: f64| {
                        let (mut params, mut inputs) = (self.params.clone(), self.inputs.to_vec());
                        if let Some(param) = params.get_mut(name) {
                            param.value.scaled_add(step, &direction);
                        } else if let Some(index) = names.iter().position(|input| input == name) {
                            inputs[index].scaled_add(step, &direction);
                        }
                        Ok(self.step(&params, &inputs)?.0)
                    };
                    Ok((at(step)? - at(-step)?) / (2.0 * step))
                };
                let (slope, wider) = (slope(STEP)?, slope(2.0 * STEP)?);
                let products = || gradient.value.iter().zip(&direction).map(|(g, d)| g * d);
                let claimed: f64 = products().sum();
                let added_up = products().map(f64::abs).sum::<f64>() + loss.abs();
                let bound = 20.0 * (slope - wider).abs() + ROUNDING * (added_up + 1.0);
                assert!(
                    (claimed - slope).abs() <= bound,
                    "{name}: the gradient says {claimed}, differences say {slope} ({wider} over \
                     twice the step)"
                );
                compared.slopes += 1;
                compared.sharp += usize::from(bound <= 1e-5 * (added_up + 1.0));
            }
        }
        Ok(compared)
    }

    /// The loss and all gradients of one step.
    fn step(&self, params: &Params<f64>, inputs: &[ArrayD<f64>]) -> Result<(f64, Params<f64>)> {
        let spec = TrainSpec {
            grad_input: true,
            ..self.spec.clone()
        };
        let mut trainer = PlainTrainer::new(self.graph, params.clone(), spec)?;
        let views: Vec<_> = inputs.iter().map(|input| input.view()).collect();
        let terms = trainer.step(&views, &self.loss, self.key)?;
        Ok((terms.total, trainer.gradients()))
    }
}

/// What a [`StepCheck`] has compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// How many slopes.
    pub slopes: usize,
    /// How many of them to at least one part in 100,000.
    pub sharp: usize,
}

/// Random ones, and the axes of the first number, the last and two between.
fn directions(tensor: &ArrayD<f64>, seed: u64) -> Vec<ArrayD<f64>> {
    let len = tensor.len();
    let mut directions = vec![random_array(tensor.shape(), seed ^ 0xd1)];
    let mut axes = vec![0, len / 3, 2 * len / 3, len.saturating_sub(1)];
    axes.dedup();
    for axis in axes {
        let mut direction = ArrayD::zeros(tensor.raw_dim());
        if let Some(number) = direction.iter_mut().nth(axis) {
            *number = 1.0;
        }
        directions.push(direction);
    }
    directions
}
