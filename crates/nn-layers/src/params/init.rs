//! The values that training starts from.

use ndarray::{ArrayD, IxDyn};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::{
    allocate::parameter,
    error::{Error, Result},
    graph::{
        Graph, Node,
        error::GraphError,
        op::Op,
        param_spec::{ParamSpec, Slot},
    },
    params::{Params, random::hash},
};

/// Which products a weight `[O, I, h, w]` or `[O, I]` is scaled by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fan {
    /// `I · h · w`, the numbers that each output is summed over: activations keep their size on
    /// the way forward. With groups, `I` is a group's input channels.
    In,
    /// `O · h · w`: gradients keep their size on the way back. As in PyTorch, `O` is all output
    /// channels, whatever the groups.
    Out,
}

/// How a parameter's numbers are drawn.
///
/// The rules called Kaiming are those of He et al., "Delving Deep into Rectifiers", 2015, section
/// 2.2, for layers followed by ReLU: a standard deviation of `sqrt(2 / fan)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Normal with mean 0 and standard deviation `sqrt(2 / fan)`.
    KaimingNormal {
        /// The fan.
        fan: Fan,
    },
    /// Uniform in `±sqrt(6 / fan)`, which has the same standard deviation.
    KaimingUniform {
        /// The fan.
        fan: Fan,
    },
    /// Normal with mean 0.
    Normal {
        /// The standard deviation, at least 0.
        std: f64,
    },
    /// Normal with mean 0, where numbers outside `±bound` are drawn again. What comes out has a
    /// smaller standard deviation than `std`.
    ///
    /// **The bound is a number, not a multiple of `std`.** TensorFlow's truncated normal, which
    /// Inception-v3 comes from, is cut at two standard deviations, `bound: 2.0 * std`, and what is
    /// left deviates by `0.8796 * std`. torchvision did the same until its pull request 4256
    /// (2021); since then it passes `a=-2, b=2` to PyTorch's `trunc_normal_`, which takes them as
    /// numbers: with torchvision's `std` of 0.1 or less that is 20 deviations away and cuts
    /// nothing.
    TruncatedNormal {
        /// The standard deviation of the normal that is cut, above 0.
        std: f64,
        /// The largest magnitude, above 0.
        bound: f64,
    },
    /// Uniform in `±bound`.
    Uniform {
        /// The bound, at least 0.
        bound: f64,
    },
    /// One number everywhere.
    Constant(f64),
}

/// Starts every parameter that the graph reads, and the counter `num_batches_tracked` of each batch
/// normalisation at 0, so that PyTorch finds every tensor it expects.
///
/// `rule` chooses for each parameter; where it says `None`, PyTorch's default holds: the weight and
/// bias of a convolution or dense layer are uniform in `±1 / sqrt(fan in of the weight)`; the
/// weight of a batch normalisation or affine layer is 1, its bias 0, a running mean 0, a running
/// variance 1.
///
/// Each parameter's numbers depend on the seed and its name alone, so changing one layer leaves
/// the others as they are. They are the same on every machine, but for the last bit where the
/// machine's `ln` and `exp` differ.
///
/// ```
/// use nn_layers::{Conv2d, Fan, GraphBuilder, Init, initialise};
///
/// let mut b = GraphBuilder::new();
/// let x = b.input("image", [1, 3, 32, 32])?;
/// let y = b.conv2d("conv", x, Conv2d::new(64, [7, 7]))?;
/// let graph = b.finish(&[y])?;
///
/// // As torchvision starts the convolutions of a residual network.
/// let params = initialise(&graph, 1, |_, spec| {
///     (spec.local_name() == "weight").then_some(Init::KaimingNormal { fan: Fan::Out })
/// })?;
/// params.check(&graph)?;
/// # Ok::<(), nn_layers::Error>(())
/// ```
///
/// # Errors
///
/// [`GraphError::Value`] for a rule whose numbers are not finite or out of range, or that asks for
/// the fan of a parameter with fewer than two axes; [`Error::OutOfMemory`].
pub fn initialise(
    graph: &Graph,
    seed: u64,
    rule: impl Fn(&Node, &ParamSpec) -> Option<Init>,
) -> Result<Params<f32>> {
    let mut params = Params::new();
    for node in graph.nodes() {
        for spec in node.params() {
            let init = rule(node, spec).unwrap_or_else(|| default(node, spec));
            let draw = Draw::new(node, spec, init)?;
            let mut rng = stream(seed, spec.name());
            let value = parameter(spec.name(), spec.shape(), || draw.next(&mut rng))?;
            params.insert(spec.name(), spec.slot(), value);
        }
        if matches!(node.op(), Op::BatchNorm2d(_)) {
            let name = format!("{}.num_batches_tracked", node.name());
            params.insert(name, Slot::Counter, ArrayD::zeros(IxDyn(&[])));
        }
    }
    Ok(params)
}

/// A parameter's own random numbers.
fn stream(seed: u64, name: &str) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&hash(name).to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// PyTorch's choice.
fn default(node: &Node, spec: &ParamSpec) -> Init {
    match (node.op(), spec.local_name()) {
        (Op::Conv2d(_) | Op::Linear(_), _) => {
            // A bias has its weight's.
            let fan = node.param("weight").and_then(|weight| fan(weight, Fan::In));
            let bound = 1.0 / fan.unwrap_or(1.0).sqrt();
            Init::Uniform { bound }
        }
        (_, "weight" | "running_var") => Init::Constant(1.0),
        _ => Init::Constant(0.0),
    }
}

/// A parameter's fan, where it has two axes.
fn fan(spec: &ParamSpec, fan: Fan) -> Option<f64> {
    let &[outputs, inputs, ref taps @ ..] = spec.shape() else {
        return None;
    };
    let channels = match fan {
        Fan::In => inputs,
        Fan::Out => outputs,
    };
    Some(channels as f64 * taps.iter().map(|&size| size as f64).product::<f64>())
}

/// A rule with its numbers worked out and checked.
#[derive(Clone, Copy)]
enum Draw {
    Normal { std: f64 },
    TruncatedNormal { std: f64, bound: f64 },
    Uniform { bound: f64 },
    Constant(f64),
}

impl Draw {
    fn new(node: &Node, spec: &ParamSpec, init: Init) -> Result<Self> {
        let value = |what, got, expected| {
            Error::Graph(GraphError::Value {
                node: node.name().to_owned(),
                what,
                got,
                expected,
            })
        };
        let at_least_0 = |what, number: f64| match number.is_finite() && number >= 0.0 {
            true => Ok(number),
            false => Err(value(what, number, "a finite number of at least 0")),
        };
        let above_0 = |what, number: f64| match number.is_finite() && number > 0.0 {
            true => Ok(number),
            false => Err(value(what, number, "a finite number above 0")),
        };
        let fan = |which| {
            let axes = spec.shape().len() as f64;
            fan(spec, which).ok_or_else(|| {
                let what = "the number of axes of a parameter started by its fan";
                value(what, axes, "at least 2")
            })
        };
        Ok(match init {
            Init::KaimingNormal { fan: which } => Self::Normal {
                std: (2.0 / fan(which)?).sqrt(),
            },
            Init::KaimingUniform { fan: which } => Self::Uniform {
                bound: (6.0 / fan(which)?).sqrt(),
            },
            Init::Normal { std } => Self::Normal {
                std: at_least_0("the standard deviation", std)?,
            },
            Init::TruncatedNormal { std, bound } => Self::TruncatedNormal {
                std: above_0("the standard deviation", std)?,
                bound: above_0("the bound", bound)?,
            },
            Init::Uniform { bound } => Self::Uniform {
                bound: at_least_0("the bound", bound)?,
            },
            Init::Constant(number) if number.is_finite() => Self::Constant(number),
            Init::Constant(number) => return Err(value("the constant", number, "a finite number")),
        })
    }

    fn next(self, rng: &mut ChaCha8Rng) -> f32 {
        let number = match self {
            Self::Normal { std } => std * rng.sample::<f64, _>(StandardNormal),
            Self::TruncatedNormal { std, bound } => truncated_normal(std, bound, rng),
            Self::Uniform { bound } => bound * unit(rng),
            Self::Constant(number) => number,
        };
        number as f32
    }
}

/// Uniform in -1 .. 1.
fn unit(rng: &mut ChaCha8Rng) -> f64 {
    2.0 * rng.random::<f64>() - 1.0
}

/// Draws until a number is accepted; more than one in three is.
fn truncated_normal(std: f64, bound: f64, rng: &mut ChaCha8Rng) -> f64 {
    loop {
        if bound > 0.5 * std {
            let x = std * rng.sample::<f64, _>(StandardNormal);
            if x.abs() <= bound {
                return x;
            }
        } else {
            // Between near bounds the bell is almost flat: begin with a uniform number.
            let x = bound * unit(rng);
            if rng.random::<f64>() < (-0.5 * (x / std).powi(2)).exp() {
                return x;
            }
        }
    }
}
