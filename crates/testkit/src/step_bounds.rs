//! Error bounds of a training step of one node in f32, from the arithmetic of its operation.

use std::collections::BTreeMap;

use conv_core::PaddingValue;
use ndarray::{ArrayD, ArrayViewD, Axis, IxDyn};
use nn_layers::{
    BatchNorm2d, Epsilon, Graph, Loss, Node, Op, Params, Pass, PlainTrainer, Result, StepKey,
    Terms, TrainBackend, TrainSpec,
};

use crate::close::dot_bound;
use crate::executors::terms;

const EPS: f64 = f32::EPSILON as f64;

/// The results of a step of one node in f64, and the error bound of each value in f32.
#[derive(Clone, Debug)]
pub struct NodeStep {
    /// The node's output in training mode, and its bounds.
    pub output: (ArrayD<f64>, ArrayD<f64>),
    /// The gradients by the names of [`TrainBackend::gradients`], and their bounds.
    pub gradients: BTreeMap<String, (ArrayD<f64>, ArrayD<f64>)>,
    /// The parameters after the step, which has updated the running statistics, and their bounds.
    pub params: BTreeMap<String, (ArrayD<f64>, ArrayD<f64>)>,
}

/// A loss whose gradient is given.
struct Given(ArrayD<f64>);

impl Loss<f64> for Given {
    fn eval(&self, _: &[ArrayViewD<'_, f64>], grads: &mut [ArrayD<f64>]) -> Result<Terms> {
        for grad in grads {
            grad.assign(&self.0);
        }
        Ok(Terms::default())
    }
}

/// Runs a step of `alone`, the graph of this node alone, with a loss that gives its output the
/// gradient `grad`. Parameters, inputs and `grad` must be exact in f32.
///
/// - Sums of products are off by [`dot_bound`] of the sum of their magnitudes, which the same loops
///   compute on absolute values.
/// - An operation that only selects has the magnitude of what it selects, so the loops run on the
///   inputs themselves.
/// - Normalisation, sigmoid and softmax are derived at the functions below.
///
/// # Errors
///
/// The trainer's errors about graph, parameters or inputs.
pub fn node_step(
    alone: &Graph,
    node: &Node,
    params: &Params<f64>,
    inputs: &[ArrayD<f64>],
    grad: &ArrayD<f64>,
    key: StepKey,
) -> Result<NodeStep> {
    let spec = TrainSpec {
        grad_input: true,
        ..TrainSpec::default()
    };
    let run = |params: Params<f64>, inputs: &[ArrayD<f64>], grad: ArrayD<f64>| {
        let mut trainer = PlainTrainer::new(alone, params, spec.clone())?;
        let views: Vec<_> = inputs.iter().map(|input| input.view()).collect();
        let mut output = ArrayD::zeros(IxDyn(&[0]));
        trainer.trace(&views, &Given(grad), key, |pass, _, tensor| {
            if pass == Pass::Forward {
                output = tensor.clone();
            }
        })?;
        Ok::<_, nn_layers::Error>((trainer, output))
    };
    let (exact, output) = run(params.clone(), inputs, grad.clone())?;
    let gradients = exact.gradients();

    let mut bounds = match node.op() {
        Op::BatchNorm2d(norm) => normalisation(
            node,
            norm,
            params,
            &inputs[0],
            grad,
            spec.batch_norm_momentum,
        ),
        Op::Sigmoid => sigmoid(&output, grad),
        Op::Softmax => softmax(&output, grad),
        Op::MaxPool2d(_) | Op::Relu | Op::Relu6 | Op::LeakyRelu { .. } => {
            let magnitudes = run(params.clone(), inputs, grad.mapv(f64::abs))?;
            of_sums(node, inputs, grad, &output.mapv(f64::abs), &magnitudes.0)
        }
        Op::Input
        | Op::Conv2d(_)
        | Op::Linear(_)
        | Op::Affine
        | Op::AvgPool2d(_)
        | Op::GlobalAvgPool2d
        | Op::AdaptiveAvgPool2d(_)
        | Op::Add
        | Op::Concat
        | Op::Slice { .. }
        | Op::PadChannels { .. }
        | Op::Flatten
        | Op::Dropout { .. }
        | Op::Upsample { .. }
        | Op::Reorg { .. }
        | Op::Pad { .. } => {
            let mut absolute = params.clone();
            let names: Vec<String> = params.iter().map(|(name, _)| name.to_owned()).collect();
            for name in names {
                if let Some(param) = absolute.get_mut(&name) {
                    param.value.mapv_inplace(f64::abs);
                }
            }
            let positive: Vec<_> = inputs.iter().map(|x| x.mapv(f64::abs)).collect();
            let (magnitudes, output) = run(absolute, &positive, grad.mapv(f64::abs))?;
            of_sums(node, inputs, grad, &output, &magnitudes)
        }
    };
    // One bound per value; values without one must be exact.
    let mut with_bounds = |what: &str, values: &Params<f64>| {
        let pairs = values.iter().map(|(name, param)| {
            let key = format!("{what} {}", local(name));
            let bound = bounds.remove(&key);
            let bound = bound.unwrap_or_else(|| ArrayD::zeros(param.value.raw_dim()));
            (name.to_owned(), (param.value.clone(), bound))
        });
        pairs.collect::<BTreeMap<_, _>>()
    };
    let mut gradients = gradients;
    // Several inputs are named after their nodes; each has the bounds of its position.
    let renamed: Vec<String> = alone
        .inputs()
        .iter()
        .map(|&id| alone.nodes()[id.index()].name().to_owned())
        .collect();
    let mut pairs = BTreeMap::new();
    if renamed.len() > 1 {
        for (position, name) in renamed.iter().enumerate() {
            if let Some(gradient) = gradients.remove(name) {
                let mut one = Params::new();
                one.insert(format!("input{position}"), gradient.slot, gradient.value);
                pairs.extend(
                    with_bounds("grad", &one)
                        .into_values()
                        .map(|pair| (name.clone(), pair)),
                );
            }
        }
    }
    pairs.extend(with_bounds("grad", &gradients));
    let params = with_bounds("param", exact.params());
    let output_bound = bounds
        .remove("output")
        .unwrap_or_else(|| ArrayD::zeros(output.raw_dim()));
    Ok(NodeStep {
        output: (output, output_bound),
        gradients: pairs,
        params,
    })
}

/// Returns the part of a parameter's name after the node's.
fn local(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, local)| local)
}

/// Bounds by name: `output`, `grad weight`, `grad input` or, for several inputs, `grad input0`,
/// ..., `param running_mean`, ...
type Bounds = BTreeMap<String, ArrayD<f64>>;

/// Returns the bounds of an operation whose values are all sums of products, given their
/// magnitudes.
fn of_sums(
    node: &Node,
    inputs: &[ArrayD<f64>],
    grad: &ArrayD<f64>,
    output: &ArrayD<f64>,
    magnitudes: &PlainTrainer<f64>,
) -> Bounds {
    let mut bounds = Bounds::new();
    let shapes: Vec<&[usize]> = inputs.iter().map(ArrayD::shape).collect();
    if let Some(terms) = terms(node, shapes[0]) {
        bounds.insert("output".to_owned(), output.mapv(|m| dot_bound(terms, m)));
    }
    let several = inputs.len() > 1;
    let names = magnitudes.graph().inputs().iter().enumerate();
    let names: BTreeMap<&str, usize> = names
        .map(|(position, id)| (magnitudes.graph().nodes()[id.index()].name(), position))
        .collect();
    for (name, magnitude) in magnitudes.gradients().iter() {
        let (key, terms) = match names.get(name) {
            Some(position) if several => (format!("grad input{position}"), input_terms(node, grad)),
            _ if name == "input" => ("grad input".to_owned(), input_terms(node, grad)),
            // A weight's gradient is summed over all outputs of its channel.
            _ => (
                format!("grad {}", local(name)),
                1 + grad.len() / grad.shape()[1],
            ),
        };
        let bound = magnitude.value.mapv(|m| dot_bound(terms, m));
        bounds.insert(key, bound);
    }
    bounds
}

/// Returns the maximum number of products summed for the gradient of one input value. A product
/// whose factor was itself rounded, such as a mean's share, counts as two.
fn input_terms(node: &Node, grad: &ArrayD<f64>) -> usize {
    let of_picture = grad.len() / grad.shape()[0].max(1);
    match node.op() {
        Op::Conv2d(conv) if conv.options.padding_value == PaddingValue::Zeros => {
            let weight = node.param("weight").map_or(&[][..], |spec| spec.shape());
            let group_in = weight.get(1).copied().unwrap_or(1).max(1);
            1 + (weight.iter().product::<usize>() / group_in).min(of_picture)
        }
        Op::Linear(linear) => 1 + linear.out_features,
        // Padding may contribute one input to many outputs.
        Op::Conv2d(_) | Op::Pad { .. } => 1 + of_picture,
        Op::MaxPool2d(options) => options.kernel_size.iter().product(),
        Op::AvgPool2d(options) => 2 + options.kernel_size.iter().product::<usize>(),
        Op::GlobalAvgPool2d | Op::AdaptiveAvgPool2d(_) => {
            2 + grad.shape()[2..].iter().product::<usize>()
        }
        Op::Upsample { scale } => scale.iter().product(),
        // The slope, or the factor of a dropout, is rounded; a tensor may be read several times.
        Op::Affine | Op::Relu | Op::Relu6 | Op::LeakyRelu { .. } | Op::Dropout { .. } => 2,
        Op::Add | Op::Concat => node.inputs().len(),
        Op::Input
        | Op::BatchNorm2d(_)
        | Op::Sigmoid
        | Op::Softmax
        | Op::Slice { .. }
        | Op::PadChannels { .. }
        | Op::Flatten
        | Op::Reorg { .. } => 1,
    }
}

/// `y = 1 / (1 + exp(-x))`: the exponential, the sum and the quotient round `y` by `2 eps`
/// relative. For the gradient `g y (1 - y)`, whose slope along `y` is at most `|g|`, that makes
/// `2 eps |g| y`, and its own three operations on values of at most `|g| y` add the same again.
fn sigmoid(y: &ArrayD<f64>, grad: &ArrayD<f64>) -> Bounds {
    Bounds::from([
        ("output".to_owned(), y.mapv(|y| dot_bound(1, y))),
        (
            "grad input".to_owned(),
            (y * &grad.mapv(f64::abs)).mapv(|m| dot_bound(1, m)),
        ),
    ])
}

/// `y[c] = exp(x[c] - m) / sum`: the sum has as many terms as there are channels, and the rounding
/// of an exponent `z <= 0` changes `exp(z)` by `eps |z| exp(z)`, which is less than `eps`.
///
/// The gradient is `y[c] (g[c] - sum of g y)`. Of its magnitude `M = y[c] (|g[c]| + sum of |g| y)`,
/// the sum that `y[c]` was divided by contributes one bound, that of the `y` within the sum
/// another, and the sum itself a third; a rounded exponent adds `eps` for each `y`.
fn softmax(y: &ArrayD<f64>, grad: &ArrayD<f64>) -> Bounds {
    let terms = 4 + y.shape()[1];
    let size = grad.mapv(f64::abs);
    let mean = (&size * y).sum_axis(Axis(1)).insert_axis(Axis(1));
    let all = size.sum_axis(Axis(1)).insert_axis(Axis(1));
    let magnitude = y * &(&size + &mean);
    let exponents = &size + &mean + &(y * &all);
    Bounds::from([
        ("output".to_owned(), y.mapv(|y| dot_bound(terms, y) + EPS)),
        (
            "grad input".to_owned(),
            magnitude.mapv(|m| 3.0 * dot_bound(terms, m)) + exponents * EPS,
        ),
    ])
}

/// With the mean `m`, the variance `v` and the deviation `s` of the `K` values of a channel, and
/// `d = x - m`, a step computes
///
/// ```text
/// y       = w d / s + b
/// grad_b  = sum of g                  grad_w = sum of g d / s
/// grad_x  = w / s (g - mean(g) - d mean(g d) / p)
/// p = s^2 for an epsilon inside the root, s sqrt(v) outside
/// ```
///
/// Write `r` for the [`dot_bound`] of a magnitude: all sums have `K` terms, plus a few further
/// roundings.
///
/// - `d` cancels: it is off by `r` of `a = |x| + mean|x|`, however small it is itself.
/// - So `v = mean(d^2)` is off by `r` of `2 mean(|d| a)`. The relative error of `s` is half of that
///   over `p`, and that of `p` is all of it over the smaller of `p` and `v`: call it `q`, in units
///   of `r`.
/// - A product of these is off by `r` of its magnitude with each `d` in turn replaced by its `a`,
///   and by `1 + q` of its own magnitude.
///
/// Everything is multiplied by `w / s`, which is large if the values of a channel are nearly equal.
fn normalisation(
    node: &Node,
    norm: &BatchNorm2d,
    params: &Params<f64>,
    x: &ArrayD<f64>,
    grad: &ArrayD<f64>,
    momentum: f64,
) -> Bounds {
    let mut output = ArrayD::zeros(x.raw_dim());
    let mut input = ArrayD::zeros(x.raw_dim());
    let channels = x.shape()[1];
    let mut of_channels = [(); 4].map(|()| ArrayD::zeros(IxDyn(&[channels])));
    let param = |local: &str, c: usize| {
        let spec = node.param(local);
        let param = spec.and_then(|spec| params.get(spec.name()));
        param.map_or(f64::NAN, |param| param.value[[c]])
    };
    for c in 0..channels {
        let numbers: Vec<f64> = x.index_axis(Axis(1), c).iter().copied().collect();
        let grads: Vec<f64> = grad
            .index_axis(Axis(1), c)
            .iter()
            .map(|g| g.abs())
            .collect();
        let count = numbers.len() as f64;
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / count;
        let rounds = |magnitude: f64| dot_bound(8 + numbers.len(), magnitude);

        let middle = mean(&mut numbers.iter().copied());
        let size = mean(&mut numbers.iter().map(|x| x.abs()));
        let near: Vec<f64> = numbers.iter().map(|x| (x - middle).abs()).collect();
        let from: Vec<f64> = numbers.iter().map(|x| x.abs() + size).collect();
        let dot = |a: &[f64], b: &[f64]| mean(&mut a.iter().zip(b).map(|(a, b)| a * b));
        let variance = dot(&near, &near);
        let (deviation, product, smaller) = match norm.epsilon {
            Epsilon::Inside(epsilon) => {
                let square = variance + epsilon;
                (square.sqrt(), square, square)
            }
            Epsilon::Outside(epsilon) => {
                let deviation = variance.sqrt() + epsilon;
                (deviation, deviation * variance.sqrt(), variance)
            }
        };
        let spread = 2.0 * dot(&near, &from);
        // If all values are equal, an executor finds them equal, too.
        let over = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
        let relative = 1.0 + over(spread, smaller);
        let scale = param("weight", c).abs() / deviation;

        let (g_mean, g_near, g_from) = (
            mean(&mut grads.iter().copied()),
            dot(&grads, &near),
            dot(&grads, &from),
        );
        let fill = |target: &mut ArrayD<f64>, bound: &dyn Fn(usize) -> f64| {
            let mut channel = target.index_axis_mut(Axis(1), c);
            channel
                .iter_mut()
                .enumerate()
                .for_each(|(at, target)| *target = bound(at));
        };
        fill(&mut output, &|at| {
            rounds(scale * (from[at] + relative * near[at]) + param("bias", c).abs())
        });
        fill(&mut input, &|at| {
            let direct = grads[at] + g_mean;
            let through = over(near[at] * g_near, product);
            let moved = over(near[at] * g_from + from[at] * g_near, product);
            rounds(scale * (relative * (direct + through) + moved))
        });
        let [weight, bias, running_mean, running_var] = &mut of_channels;
        weight[[c]] = rounds(count * (g_from + relative * g_near) / deviation);
        bias[[c]] = rounds(count * g_mean);
        let moves =
            |local: &str, by: f64| rounds((1.0 - momentum) * param(local, c).abs() + momentum * by);
        running_mean[[c]] = moves("running_mean", size);
        running_var[[c]] = moves("running_var", (variance + spread) * count / (count - 1.0));
    }
    let [weight, bias, running_mean, running_var] = of_channels;
    [
        ("output", output),
        ("grad input", input),
        ("grad weight", weight),
        ("grad bias", bias),
        ("param running_mean", running_mean),
        ("param running_var", running_var),
    ]
    .map(|(name, bounds)| (name.to_owned(), bounds))
    .into()
}
