//! Algorithms that were chosen by measurement instead of the cost model, in a form that can be saved.

mod measure;
mod saved;

use std::fmt;

use conv_core::blocked::Algorithm;
use conv_core::{Conv2dOptions, Isa, Padding, PaddingValue};
use files::show::count;
use nn_layers::{Graph, Shape};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ir::{Conv, Ir, Operation};

/// For each distinct convolution of a network, the algorithm that was found fastest on this machine.
/// [`Options::tuning`](crate::Options::tuning) compiles a network with it.
///
/// Without a tuning, a model of the cost chooses the algorithms. [`measure`](Self::measure) confirms or
/// corrects it by timing. The result is a value that serde saves and loads: the same tuning always gives
/// the same algorithms, and so the same bits.
///
/// Times are those of one instruction set and one number of threads, so a tuning for others is an error.
///
/// ```
/// use std::sync::Arc;
///
/// use engine::{Options, Plan, Tuning};
/// use nn_layers::{Conv2d, GraphBuilder, Padding, Shape, random_params};
///
/// let mut b = GraphBuilder::new();
/// let x = b.input("x", [1, 32, 20, 20])?;
/// let y = b.conv2d("y", x, Conv2d::new(32, [3, 3]).padding(Padding::Same))?;
/// let graph = b.finish(&[y])?;
///
/// let options = Options::default();
/// let tuning = Tuning::measure(&graph, &options, &[Shape::from([1, 32, 20, 20])], |_| ())?;
/// // The direct algorithm and Winograd's with two sizes of tiles.
/// assert_eq!(tuning.layers[0].times.len(), 3);
///
/// let options = Options { tuning: Some(Arc::new(tuning)), ..options };
/// let plan = Plan::compile(&graph, random_params(&graph, 1)?, &options)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    version: saved::Version,
    /// The name of the instruction set.
    pub isa: String,
    /// The number of threads of the pool.
    pub threads: usize,
    /// The shapes of the network's inputs. The network runs with the algorithms that are fastest for
    /// these, whatever the shapes of its inputs.
    pub inputs: Vec<Vec<usize>>,
    /// The distinct convolutions; if one is listed twice, the first counts. For a convolution that is
    /// not listed, the cost model chooses.
    pub layers: Vec<TunedLayer>,
}

/// A convolution of a [`Tuning`], and its algorithm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TunedLayer {
    /// The convolution.
    pub conv: TunedConv,
    /// The algorithm that computes it: `direct`, `winograd-f2x3`, `winograd-f4x3` or `winograd-f2x5` in
    /// a file.
    #[serde(with = "saved::algorithm")]
    pub algorithm: Algorithm,
    /// How often it occurs in the network; only a record.
    #[serde(default)]
    pub occurrences: usize,
    /// The time of each possible algorithm, the direct one first; only a record.
    #[serde(default)]
    pub times: Vec<AlgorithmTime>,
}

/// A convolution at one size of its input, without its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TunedConv {
    /// The shape of the weight, `[O, I / groups, kh, kw]`.
    pub weight: [usize; 4],
    /// The step `[h, w]` between two outputs.
    pub stride: [usize; 2],
    /// The padding `[top, left, bottom, right]`, with zeros.
    pub padding: [usize; 4],
    /// The step `[h, w]` between two taps.
    pub dilation: [usize; 2],
    /// The number of groups.
    pub groups: usize,
    /// The number of pictures.
    pub batch: usize,
    /// The size `[h, w]` of a picture.
    pub input: [usize; 2],
}

/// The time that an algorithm took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlgorithmTime {
    /// The algorithm.
    #[serde(with = "saved::algorithm")]
    pub algorithm: Algorithm,
    /// The median of its runs.
    pub nanoseconds: u64,
}

impl Tuning {
    /// Makes a tuning by hand, without layers, for networks that run with this instruction set on this
    /// many threads.
    ///
    /// ```
    /// use engine::{Algorithm, Isa, TunedConv, TunedLayer, Tuning};
    /// use nn_layers::Shape;
    ///
    /// let mut tuning = Tuning::new(Isa::best(), 2, &[Shape::from([1, 3, 224, 224])]);
    /// let conv = TunedConv {
    ///     weight: [64, 64, 3, 3],
    ///     stride: [1, 1],
    ///     padding: [1, 1, 1, 1],
    ///     dilation: [1, 1],
    ///     groups: 1,
    ///     batch: 1,
    ///     input: [56, 56],
    /// };
    /// let (algorithm, times) = (Algorithm::Direct, Vec::new());
    /// tuning.layers.push(TunedLayer { conv, algorithm, occurrences: 1, times });
    /// ```
    #[must_use]
    pub fn new(isa: Isa, threads: usize, inputs: &[Shape]) -> Self {
        Self {
            version: saved::Version,
            isa: isa.name().to_owned(),
            threads,
            inputs: inputs.iter().map(|shape| shape.to_vec()).collect(),
            layers: Vec::new(),
        }
    }

    /// Returns the algorithm of each instruction that is a convolution of this tuning.
    ///
    /// # Errors
    ///
    /// [`Error::TuningMachine`], [`Error::TuningAlgorithm`] and [`Error::TuningInputs`].
    pub(crate) fn algorithms(
        &self,
        ir: &Ir,
        graph: &Graph,
        isa: Isa,
    ) -> Result<Vec<Option<Algorithm>>> {
        self.check(isa)?;
        let inputs: Vec<Shape> = self
            .inputs
            .iter()
            .map(|shape| (&shape[..]).into())
            .collect();
        let shapes = ir.shapes(graph, &inputs).map_err(|error| match error {
            Error::Graph(source) => Error::TuningInputs { source },
            other => other,
        })?;
        let algorithm = |conv: &TunedConv| {
            let found = self.layers.iter().find(|layer| layer.conv == *conv);
            found.map(|layer| layer.algorithm)
        };
        let convs = convs(ir, &shapes);
        Ok(convs
            .map(|conv| conv.as_ref().and_then(algorithm))
            .collect())
    }

    /// Checks that it was measured for this machine, and that each algorithm can compute its convolution.
    fn check(&self, isa: Isa) -> Result<()> {
        let threads = rayon::current_num_threads();
        if self.isa != isa.name() || self.threads != threads {
            return Err(Error::TuningMachine {
                measured: (self.isa.clone(), self.threads),
                got: (isa.name(), threads),
            });
        }
        for &TunedLayer {
            conv, algorithm, ..
        } in &self.layers
        {
            if !conv.possible().contains(&algorithm) {
                let conv = Box::new(conv);
                return Err(Error::TuningAlgorithm { conv, algorithm });
            }
        }
        Ok(())
    }
}

/// Returns the convolution that each instruction is, given the shapes of the values.
fn convs(ir: &Ir, shapes: &[Shape]) -> impl Iterator<Item = Option<TunedConv>> {
    ir.instructions.iter().map(|instruction| {
        let input = *instruction.inputs.first()?;
        match &instruction.operation {
            Operation::Conv(conv) => TunedConv::new(conv, &shapes[input]),
            Operation::Input(_)
            | Operation::Norm(_)
            | Operation::Dropout(_)
            | Operation::Kernel(_) => None,
        }
    })
}

impl TunedConv {
    /// Returns a convolution of an input of this shape. A dense layer, on `[N, F]`, is none, and neither is
    /// a padding that is not zeros, which is a step of its own.
    fn new(conv: &Conv, input: &Shape) -> Option<Self> {
        let &[batch, _, height, width] = &input[..] else {
            return None;
        };
        let Conv2dOptions {
            stride,
            dilation,
            groups,
            padding: _,
            padding_value,
        } = conv.options;
        let [_, _, kh, kw] = conv.weight;
        let window = conv.options.window([kh, kw]);
        let placement = window.place("tuning", [height, width]).ok()?;
        (padding_value == PaddingValue::Zeros).then_some(Self {
            weight: conv.weight,
            stride,
            padding: placement.padding,
            dilation,
            groups,
            batch,
            input: [height, width],
        })
    }

    fn options(&self) -> Conv2dOptions {
        Conv2dOptions {
            stride: self.stride,
            dilation: self.dilation,
            groups: self.groups,
            padding: Padding::Explicit(self.padding),
            padding_value: PaddingValue::Zeros,
        }
    }

    /// Returns the algorithms that can compute it, the direct one first.
    #[must_use]
    pub fn possible(&self) -> Vec<Algorithm> {
        Algorithm::possible(self.weight, &self.options())
    }

    /// Returns the algorithm that the cost model chooses.
    #[must_use]
    pub fn model_choice(&self) -> Algorithm {
        Algorithm::choose(self.weight, &self.options(), self.batch, self.input)
    }
}

/// `64x32x3x3 on 2 pictures of 56x56`: the shape of the weight and the input.
impl fmt::Display for TunedConv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [o, i, kh, kw] = self.weight;
        let [height, width] = self.input;
        let pictures = count(self.batch, "picture", "pictures");
        write!(f, "{o}x{i}x{kh}x{kw} on {pictures} of {height}x{width}")
    }
}
