//! From a graph to steps: folding, fusing, packing.
//!
//! - A batch normalisation or affine layer is folded into the weights of the convolution or dense
//!   layer before it, if nothing else reads that layer's output. The arithmetic is in f64 and is
//!   rounded once.
//! - An addition after such a layer, as at the end of a residual block, is fused into it, and so is
//!   a ReLU, ReLU6 or leaky ReLU.
//! - Dropout is the identity and is removed.

use conv_core::blocked::{Algorithm, BLOCK, Buffer, DirectConv2d, PackedConv2d};
use conv_core::{Activation, Conv2dOptions, Isa, PaddingValue};
use ndarray::{ArrayD, Axis};
use nn_layers::{BatchNorm2d, Epsilon, Graph, Node, NodeId, Op, Params, ParamsError, Shape};

use crate::error::{Error, Result};
use crate::memory::F32;
use crate::plan::Precision;
use crate::step::{Kernel, PlanStep, activation, input_number, narrow};

/// The steps of a graph, in order, and which of them compute its outputs.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) steps: Vec<PlanStep>,
    pub(crate) outputs: Vec<usize>,
}

impl Program {
    /// Returns the bytes of the weights, biases, scales and shifts that the steps read.
    pub(crate) fn packed_bytes(&self) -> u64 {
        let numbers = self.steps.iter().map(|step| step.kernel.packed_len());
        numbers.sum::<usize>() as u64 * F32
    }
}

/// Compiles a graph with these parameters, each of which is freed once it is packed.
pub(crate) fn compile(
    graph: &Graph,
    mut params: Params<f32>,
    isa: Isa,
    precision: Precision,
) -> Result<Program> {
    params.check(graph)?;
    let drafts = fuse(graph, &mut params)?;
    let mut program = Lowering {
        isa,
        algorithms: algorithms(graph, precision)?,
        steps: Vec::new(),
        planar: Vec::new(),
        blocked: Vec::new(),
    };
    let mut results = vec![0; drafts.results.len()];
    let mut lowered = Vec::with_capacity(drafts.list.len());
    for draft in drafts.list {
        let inputs: Vec<usize> = draft.inputs.iter().map(|&input| lowered[input]).collect();
        lowered.push(program.lower(graph, draft, &inputs)?);
    }
    for (result, draft) in results.iter_mut().zip(&drafts.results) {
        *result = lowered[*draft];
    }
    let outputs = graph
        .outputs()
        .iter()
        .map(|id| results[id.index()])
        .collect();
    Ok(Program {
        steps: program.steps,
        outputs,
    })
}

/// Returns the algorithm of each node that is a convolution, for inputs of the graph's own sizes; other
/// nodes have the direct one.
pub(crate) fn algorithms(graph: &Graph, precision: Precision) -> Result<Vec<Algorithm>> {
    let nodes = graph.nodes();
    let inputs = graph.inputs().iter();
    let inputs: Vec<Shape> = inputs.map(|id| nodes[id.index()].shape().clone()).collect();
    let shapes = graph.infer(&inputs)?;
    let choose = |node: &Node| match (node.op(), node.inputs(), node.param("weight")) {
        (Op::Conv2d(conv), [input], Some(weight)) => {
            let (&[n, _, h, w], &[o, i, kh, kw]) = (&shapes[input.index()][..], weight.shape())
            else {
                return Algorithm::Direct;
            };
            Algorithm::choose([o, i, kh, kw], &conv.options, n, [h, w])
        }
        _ => Algorithm::Direct,
    };
    Ok(match precision {
        Precision::Exact => vec![Algorithm::Direct; nodes.len()],
        Precision::Default => nodes.iter().map(choose).collect(),
    })
}

/// A node with everything folded and fused into it, before its weights are packed.
struct Draft {
    /// The last node it computes.
    node: NodeId,
    /// The drafts it reads; a convolution's second is its residual.
    inputs: Vec<usize>,
    kind: DraftKind,
}

enum DraftKind {
    /// A convolution, or a dense layer as a convolution over pictures of one pixel.
    Conv(Box<ConvDraft>),
    /// A per-channel `scale * x + shift` that was not folded into a layer.
    Affine(Fold),
    /// The caller's tensor with this index.
    Input(usize),
    /// Anything else: a single kernel call.
    Kernel(Kernel),
}

struct ConvDraft {
    /// The convolution or dense layer itself.
    layer: NodeId,
    weight: ArrayD<f32>,
    options: Conv2dOptions,
    fold: Fold,
    activation: Activation,
}

/// `y[c] = scale[c] * x[c] + shift[c]`, in f64 until it is packed.
struct Fold {
    scale: Vec<f64>,
    shift: Vec<f64>,
}

impl Fold {
    /// Returns the layer's bias as an affine map.
    fn bias(bias: Option<&ArrayD<f32>>, channels: usize) -> Self {
        let shift = bias.map_or(vec![0.0; channels], wide);
        Self {
            scale: vec![1.0; channels],
            shift,
        }
    }

    /// Applies `next` after this map.
    fn then(&mut self, next: &Self) {
        for (c, (scale, shift)) in next.scale.iter().zip(&next.shift).enumerate() {
            self.scale[c] *= scale;
            self.shift[c] = self.shift[c] * scale + shift;
        }
    }
}

fn wide(values: &ArrayD<f32>) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

struct Drafts {
    list: Vec<Draft>,
    /// The draft that computes each node's tensor.
    results: Vec<usize>,
}

/// Visits the nodes and merges each into the draft of its input where no other reader is affected.
fn fuse(graph: &Graph, params: &mut Params<f32>) -> Result<Drafts> {
    let readers = graph.readers();
    let mut drafts = Drafts {
        list: Vec::new(),
        results: Vec::new(),
    };
    for (id, node) in graph.iter() {
        let sources: Vec<usize> = node
            .inputs()
            .iter()
            .map(|input| drafts.results[input.index()])
            .collect();
        // A node may be merged into the draft that ends in its input if nothing else reads that
        // input.
        let unseen = |input: NodeId, source: usize| {
            drafts.list[source].node == input
                && readers[input.index()].len() == 1
                && !graph.outputs().contains(&input)
        };
        let merged = match (node.inputs(), &sources[..]) {
            (&[input], &[source]) if unseen(input, source) => {
                merge(&mut drafts.list[source], node, params)?.then_some(source)
            }
            // Merge into the later of the two: by then the tensor that it adds has been computed.
            (&[a, b], &[first, second]) if *node.op() == Op::Add && first != second => {
                let (input, source) = if first > second {
                    (a, first)
                } else {
                    (b, second)
                };
                let residual = first.min(second);
                (unseen(input, source) && drafts.list[source].add(residual)).then_some(source)
            }
            _ => None,
        };
        let draft = match (merged, node.op(), &sources[..]) {
            (Some(source), ..) => {
                drafts.list[source].node = id;
                source
            }
            (None, Op::Dropout { .. }, &[source]) => source,
            _ => {
                let kind = draft(graph, id, node, params)?;
                drafts.list.push(Draft {
                    node: id,
                    inputs: sources,
                    kind,
                });
                drafts.list.len() - 1
            }
        };
        drafts.results.push(draft);
    }
    Ok(drafts)
}

impl Draft {
    /// Adds the tensor of draft `residual` to the sum, if this is a convolution that supports it.
    fn add(&mut self, residual: usize) -> bool {
        let is_sum =
            matches!(&self.kind, DraftKind::Conv(conv) if conv.activation == Activation::Identity);
        let can = is_sum && self.inputs.len() == 1;
        if can {
            self.inputs.push(residual);
        }
        can
    }
}

/// Merges `node` into the draft that it reads, if possible.
fn merge(source: &mut Draft, node: &Node, params: &mut Params<f32>) -> Result<bool> {
    let DraftKind::Conv(conv) = &mut source.kind else {
        return Ok(false);
    };
    if conv.activation != Activation::Identity {
        return Ok(false);
    }
    if let Some(activation) = activation(node.op()) {
        conv.activation = activation;
        return Ok(true);
    }
    // Scaling the sum would have to scale the residual, too.
    let has_residual = source.inputs.len() > 1;
    match node.op() {
        Op::BatchNorm2d(_) | Op::Affine if has_residual => return Ok(false),
        Op::BatchNorm2d(batch_norm) => conv.fold.then(&statistics(node, batch_norm, params)?),
        Op::Affine => conv.fold.then(&affine(node, params)?),
        Op::Input
        | Op::Relu
        | Op::Relu6
        | Op::LeakyRelu { .. }
        | Op::Conv2d(_)
        | Op::Linear(_)
        | Op::Sigmoid
        | Op::Softmax
        | Op::MaxPool2d(_)
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
        | Op::Pad { .. } => return Ok(false),
    }
    Ok(true)
}

/// Returns a draft of the node alone.
fn draft(graph: &Graph, layer: NodeId, node: &Node, params: &mut Params<f32>) -> Result<DraftKind> {
    let conv = |weight: ArrayD<f32>, bias: Option<ArrayD<f32>>, options| {
        let fold = Fold::bias(bias.as_ref(), weight.len_of(Axis(0)));
        let activation = Activation::Identity;
        DraftKind::Conv(Box::new(ConvDraft {
            layer,
            weight,
            options,
            fold,
            activation,
        }))
    };
    Ok(match node.op() {
        Op::Conv2d(layer) => conv(
            take(node, "weight", params)?,
            take_bias(node, params)?,
            layer.options,
        ),
        Op::Linear(_) => {
            let weight = take(node, "weight", params)?
                .insert_axis(Axis(2))
                .insert_axis(Axis(3));
            conv(weight, take_bias(node, params)?, Conv2dOptions::default())
        }
        Op::BatchNorm2d(batch_norm) => DraftKind::Affine(statistics(node, batch_norm, params)?),
        Op::Affine => DraftKind::Affine(affine(node, params)?),
        Op::Input => DraftKind::Input(input_number(graph, layer, node)?),
        // Dropout has already been replaced by its input; it has no kernel.
        Op::Dropout { .. }
        | Op::Relu
        | Op::Relu6
        | Op::LeakyRelu { .. }
        | Op::Sigmoid
        | Op::Softmax
        | Op::MaxPool2d(_)
        | Op::AvgPool2d(_)
        | Op::GlobalAvgPool2d
        | Op::AdaptiveAvgPool2d(_)
        | Op::Add
        | Op::Concat
        | Op::Slice { .. }
        | Op::PadChannels { .. }
        | Op::Flatten
        | Op::Upsample { .. }
        | Op::Reorg { .. }
        | Op::Pad { .. } => DraftKind::Kernel(Kernel::of(node)?),
    })
}

/// Removes a parameter of the node from `params`; its memory is freed as soon as it is packed.
fn take(node: &Node, local: &str, params: &mut Params<f32>) -> Result<ArrayD<f32>> {
    let missing = || {
        let name = format!("{}.{local}", node.name());
        let expected = node
            .param(local)
            .map_or(Vec::new(), |spec| spec.shape().to_vec());
        nn_layers::Error::Params(ParamsError::Misfits(vec![nn_layers::Misfit::Missing {
            name,
            expected,
        }]))
    };
    let spec = node.param(local).ok_or_else(missing)?;
    Ok(params.remove(spec.name()).ok_or_else(missing)?.value)
}

fn take_bias(node: &Node, params: &mut Params<f32>) -> Result<Option<ArrayD<f32>>> {
    node.param("bias")
        .map(|_| take(node, "bias", params))
        .transpose()
}

/// Returns a batch normalisation in evaluation mode as scale and shift.
fn statistics(node: &Node, layer: &BatchNorm2d, params: &mut Params<f32>) -> Result<Fold> {
    let mut number = |local| Ok::<_, Error>(wide(&take(node, local, params)?));
    let (gamma, beta) = (number("weight")?, number("bias")?);
    let (mean, variance) = (number("running_mean")?, number("running_var")?);
    let scale: Vec<f64> = gamma
        .iter()
        .zip(&variance)
        .map(|(gamma, variance)| match layer.epsilon {
            Epsilon::Inside(epsilon) => gamma / (variance + epsilon).sqrt(),
            Epsilon::Outside(epsilon) => gamma / (variance.sqrt() + epsilon),
        })
        .collect();
    let shift = (0..scale.len())
        .map(|c| beta[c] - mean[c] * scale[c])
        .collect();
    Ok(Fold { scale, shift })
}

fn affine(node: &Node, params: &mut Params<f32>) -> Result<Fold> {
    let scale = wide(&take(node, "weight", params)?);
    let shift = wide(&take(node, "bias", params)?);
    Ok(Fold { scale, shift })
}

/// Turns drafts into steps and inserts the layout conversions that they need.
struct Lowering {
    isa: Isa,
    /// The algorithm of each node that is a convolution.
    algorithms: Vec<Algorithm>,
    steps: Vec<PlanStep>,
    /// For each step, its result in the other layout, once it has been requested.
    planar: Vec<Option<usize>>,
    blocked: Vec<Option<usize>>,
}

impl Lowering {
    fn lower(&mut self, graph: &Graph, draft: Draft, inputs: &[usize]) -> Result<usize> {
        let nodes = graph.nodes();
        let (id, node) = (draft.node, &nodes[draft.node.index()]);
        let kernel = match draft.kind {
            DraftKind::Conv(conv) => return self.convolution(id, node, *conv, inputs),
            DraftKind::Affine(fold) => Kernel::Affine {
                scale: padded(node, &fold.scale)?,
                shift: padded(node, &fold.shift)?,
            },
            // Planar, as supplied; any reader of channel blocks gets a copy.
            DraftKind::Input(number) => {
                return Ok(self.push(id, node, Vec::new(), 1, Kernel::Input(number)));
            }
            DraftKind::Kernel(kernel) => kernel,
        };
        let inputs = inputs
            .iter()
            .map(|&input| self.in_layout(input, BLOCK))
            .collect();
        Ok(self.push(id, node, inputs, BLOCK, kernel))
    }

    fn convolution(
        &mut self,
        id: NodeId,
        node: &Node,
        draft: ConvDraft,
        inputs: &[usize],
    ) -> Result<usize> {
        let ConvDraft {
            layer,
            mut weight,
            options,
            fold,
            activation,
        } = draft;
        for (mut filter, &scale) in weight.outer_iter_mut().zip(&fold.scale) {
            if scale.to_bits() != 1f64.to_bits() {
                filter.mapv_inplace(|w| narrow(f64::from(w) * scale));
            }
        }
        let shift: Vec<f32> = fold.shift.iter().map(|&x| narrow(x)).collect();
        let weight = weight
            .into_dimensionality::<ndarray::Ix4>()
            .map_err(|_| Error::internal(node.name(), "a convolution's weight is not OIHW"))?;
        let bias = ndarray::ArrayView1::from(&shift[..]);
        let algorithm = self.algorithms[layer.index()];
        let weight = weight.view();
        let conv = PackedConv2d::new(
            algorithm,
            weight,
            Some(bias),
            &options,
            activation,
            self.isa,
        )
        .map_err(Error::at(node.name()))?;

        let block = if DirectConv2d::reads_planar(conv.in_channels(), options.groups) {
            1
        } else {
            BLOCK
        };
        let mut inputs: Vec<usize> = inputs
            .iter()
            .zip([block, BLOCK])
            .map(|(&input, block)| self.in_layout(input, block))
            .collect();
        if options.padding_value != PaddingValue::Zeros
            && let [input, ..] = &mut inputs[..]
        {
            // Other readers of the tensor may need different padding, so it gets a separate copy.
            let source = &self.steps[*input];
            let (name, id) = (source.name.clone(), source.node);
            let halo = Kernel::Halo(options.padding_value);
            *input = self.push_named(id, name, vec![*input], block, halo);
        }
        Ok(self.push(
            id,
            node,
            inputs,
            BLOCK,
            Kernel::Conv {
                layer,
                conv: Box::new(conv),
            },
        ))
    }

    /// Returns the step that holds the result of `step` with channel blocks of this size.
    fn in_layout(&mut self, step: usize, block: usize) -> usize {
        if self.steps[step].block == block {
            return step;
        }
        let cache = if block == 1 {
            &self.planar
        } else {
            &self.blocked
        };
        if let Some(copy) = cache[step] {
            return copy;
        }
        let (name, node) = (self.steps[step].name.clone(), self.steps[step].node);
        let copy = self.push_named(node, name, vec![step], block, Kernel::Relayout);
        let cache = if block == 1 {
            &mut self.planar
        } else {
            &mut self.blocked
        };
        cache[step] = Some(copy);
        copy
    }

    fn push(
        &mut self,
        id: NodeId,
        node: &Node,
        inputs: Vec<usize>,
        block: usize,
        kernel: Kernel,
    ) -> usize {
        self.push_named(id, node.name().to_owned(), inputs, block, kernel)
    }

    fn push_named(
        &mut self,
        node: NodeId,
        name: String,
        inputs: Vec<usize>,
        block: usize,
        kernel: Kernel,
    ) -> usize {
        self.steps.push(PlanStep {
            name,
            node,
            inputs,
            block,
            kernel,
        });
        self.planar.push(None);
        self.blocked.push(None);
        self.steps.len() - 1
    }
}

/// Converts values per channel: rounded, and padded to whole blocks with zeros.
fn padded(node: &Node, values: &[f64]) -> Result<Buffer> {
    let mut buffer =
        Buffer::zeroed(values.len().next_multiple_of(BLOCK)).map_err(Error::at(node.name()))?;
    buffer
        .iter_mut()
        .zip(values)
        .for_each(|(target, &value)| *target = narrow(value));
    Ok(buffer)
}
