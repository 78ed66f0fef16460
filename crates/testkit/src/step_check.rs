//! The gradients of a whole graph's training step against finite differences.

use conv_core::{Element, plain};
use ndarray::{ArrayD, ArrayViewD, Axis, Ix4};
use nn_layers::{
    Epsilon, Graph, Loss, Node, Op, ParamSpec, Params, Pass, PlainTrainer, Result, StepKey, Terms,
    TrainBackend, TrainSpec,
};

use crate::random::random_array;

/// The sum of the products of every output value with a random one: a loss whose gradient omits
/// nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Projection {
    /// The seed of the random values.
    pub seed: u64,
}

impl Projection {
    /// Returns the factors of output `index`, which are its gradient.
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

/// A training step in f64, evaluated at neighbouring parameters and inputs.
#[derive(Debug)]
pub struct StepCheck<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// Its parameters.
    pub params: &'a Params<f64>,
    /// Its inputs.
    pub inputs: &'a [ArrayD<f64>],
    /// What is trainable; the inputs' gradients are computed in any case.
    pub spec: TrainSpec,
    /// The seed of the outputs' factors.
    pub loss: Projection,
    /// The key that dropout draws from.
    pub key: StepKey,
}

/// The steps of a difference; the first that crosses no kink is used. The error of a difference is
/// about the square of the step times the third derivative, plus the rounding of the loss divided
/// by the step. For well-behaved losses these are 1e-10 and 1e-11 at the first step.
const STEPS: [f64; 3] = [1e-5, 1e-6, 1e-7];

/// The additional error allowed for a difference, relative to the sum of its magnitudes.
const ROUNDING: f64 = 1e-7;

/// Which side of its kink each value is on.
type Piece = Vec<usize>;

impl<'a> StepCheck<'a> {
    /// Returns a check of everything, with this seed.
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

    /// Asserts that the gradients of all trainable parameters and of the inputs are the slopes of
    /// the loss along random directions and along the axes of some single values.
    ///
    /// A slope is the central difference over `h`. If a ReLU or a max pool selects differently at
    /// one of its ends, a smaller `h` is tried. Its difference from the slopes over `2h` and `4h`
    /// estimates its error, and a multiple of that is allowed. Returns the number of slopes, and
    /// how many of them were compared sharply, to one part in 100,000.
    ///
    /// # Errors
    ///
    /// The trainer's errors about graph, parameters or inputs.
    ///
    /// # Panics
    ///
    /// If a gradient is wrong; the message names it.
    #[track_caller]
    pub fn run(&self) -> Result<Compared> {
        let Point {
            loss,
            gradients,
            piece,
            amplification,
        } = self.point(self.params, self.inputs)?;
        let mut compared = Compared::default();
        for (name, gradient) in gradients.iter() {
            for direction in directions(&gradient.value, self.loss.seed) {
                compared.slopes += 1;
                let Some(slopes) = self.slopes(name, &direction, &piece)? else {
                    continue;
                };
                let (step, [slope, wider, widest]) = slopes;
                let blur = (slope - wider).abs() + (wider - widest).abs();
                let products = || gradient.value.iter().zip(&direction).map(|(g, d)| g * d);
                let claimed: f64 = products().sum();
                let added_up = products().map(f64::abs).sum::<f64>() + loss.abs() + 1.0;
                let rounding = ROUNDING + 8.0 * f64::EPSILON * amplification / step;
                let bound = 10.0 * blur + rounding * added_up;
                assert!(
                    (claimed - slope).abs() <= bound,
                    "{name}: the gradient is {claimed}, the difference quotient {slope} ({wider} \
                     over twice the step, {widest} over four times)"
                );
                compared.sharp += usize::from(bound <= 1e-5 * added_up);
            }
        }
        Ok(compared)
    }

    /// Returns a step `h` that crosses no kink, and the differences over `h`, `2h` and `4h`, if
    /// there is one.
    fn slopes(
        &self,
        name: &str,
        direction: &ArrayD<f64>,
        piece: &Piece,
    ) -> Result<Option<(f64, [f64; 3])>> {
        'steps: for step in STEPS {
            let mut slopes = [0.0; 3];
            for (slope, factor) in slopes.iter_mut().zip([1.0, 2.0, 4.0]) {
                let ahead = self.moved(name, direction, factor * step)?;
                let behind = self.moved(name, direction, -factor * step)?;
                if ahead.piece != *piece || behind.piece != *piece {
                    continue 'steps;
                }
                *slope = (ahead.loss - behind.loss) / (2.0 * factor * step);
            }
            return Ok(Some((step, slopes)));
        }
        Ok(None)
    }

    /// Runs a step with the parameter or input of this name moved.
    fn moved(&self, name: &str, direction: &ArrayD<f64>, by: f64) -> Result<Point> {
        let (mut params, mut inputs) = (self.params.clone(), self.inputs.to_vec());
        if let Some(param) = params.get_mut(name) {
            param.value.scaled_add(by, direction);
        } else {
            let ids = self.graph.inputs().iter().zip(&mut inputs);
            for (id, input) in ids {
                if name == "input" || name == self.graph.nodes()[id.index()].name() {
                    input.scaled_add(by, direction);
                }
            }
        }
        self.point(&params, &inputs)
    }

    /// Bounds the factor by which the normalisations of a path together may multiply a rounding
    /// error: weight over deviation of each, where that exceeds 1. Values that are nearly equal
    /// have a small deviation, and a loss is rounded as coarsely as the values derived from them.
    fn amplification(&self, tensors: &[ArrayD<f64>]) -> f64 {
        let of_node = |node: &Node| {
            let (Op::BatchNorm2d(norm), [input]) = (node.op(), node.inputs()) else {
                return 1.0;
            };
            let weight = node.param("weight").map(ParamSpec::name);
            let Some(weight) = weight.and_then(|name| self.params.get(name)) else {
                return 1.0;
            };
            let channels = tensors[input.index()].axis_iter(Axis(1));
            let scales = channels.zip(&weight.value).map(|(x, weight)| {
                let variance = x.var(0.0);
                weight.abs()
                    / match norm.epsilon {
                        Epsilon::Inside(epsilon) => (variance + epsilon).sqrt(),
                        Epsilon::Outside(epsilon) => variance.sqrt() + epsilon,
                    }
            });
            scales.fold(1.0, f64::max)
        };
        self.graph.nodes().iter().map(of_node).product()
    }

    /// Runs one step.
    fn point(&self, params: &Params<f64>, inputs: &[ArrayD<f64>]) -> Result<Point> {
        let spec = TrainSpec {
            grad_input: true,
            ..self.spec.clone()
        };
        let mut trainer = PlainTrainer::new(self.graph, params.clone(), spec)?;
        let views: Vec<_> = inputs.iter().map(|input| input.view()).collect();
        let mut tensors = Vec::new();
        let visit = |pass, _, tensor: &ArrayD<f64>| {
            if pass == Pass::Forward {
                tensors.push(tensor.clone());
            }
        };
        let trace = trainer.trace(&views, &self.loss, self.key, visit)?;
        Ok(Point {
            amplification: self.amplification(&tensors),
            loss: trace.terms.total,
            gradients: trainer.gradients(),
            piece: piece(self.graph, &tensors),
        })
    }
}

/// The results of a step.
struct Point {
    loss: f64,
    gradients: Params<f64>,
    piece: Piece,
    /// See [`StepCheck::amplification`].
    amplification: f64,
}

/// For every ReLU, the signs of its input; for every ReLU6, the parts of its input's range; for every max pool, the indices of its maxima.
fn piece(graph: &Graph, tensors: &[ArrayD<f64>]) -> Piece {
    let mut piece = Vec::new();
    for node in graph.nodes() {
        let Some(input) = node.inputs().first().map(|id| &tensors[id.index()]) else {
            continue;
        };
        match node.op() {
            Op::Relu | Op::LeakyRelu { .. } => {
                piece.extend(input.iter().map(|&x| usize::from(x > 0.0)));
            }
            Op::Relu6 => {
                let part = |x: &f64| usize::from(*x > 0.0) + usize::from(*x >= 6.0);
                piece.extend(input.iter().map(part));
            }
            Op::MaxPool2d(options) => {
                let argmax = (input.view().into_dimensionality::<Ix4>().ok())
                    .and_then(|input| plain::max_pool2d_with_argmax(input, options).ok());
                piece.extend(argmax.iter().flat_map(|(_, argmax)| argmax));
            }
            _ => {}
        }
    }
    piece
}

/// The comparisons made by a [`StepCheck`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// The number of slopes.
    pub slopes: usize,
    /// How many of them were compared to at least one part in 100,000.
    pub sharp: usize,
}

/// Random directions, and the axes of the first value, the last and two in between.
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
