//! From the intermediate form to steps: the parameters folded, packed for the machine, and freed.

use conv_core::blocked::{AlgorithmSpec, BLOCK, Buffer, Conv2dSpec, PackedConv2d};
use conv_core::{Activation, Isa};
use ndarray::{Array4, ArrayD, ArrayView1, Axis, Ix4};
use nn_layers::{
    BatchNorm2d, Epsilon, Graph, Misfit, Node, NodeId, Op, Param, ParamSpec, Params, ParamsError,
};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::ir::{Conv, Filters, Instruction, Ir, Norm, Operation};
use crate::kernel::Kernel;
use crate::memory::F32;

/// A compiled form: the kernel call of each instruction.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) ir: Ir,
    /// One for each instruction.
    pub(crate) steps: Vec<Step>,
}

/// A kernel call with its parameters.
#[derive(Debug)]
pub(crate) enum Step {
    /// The caller's tensor with this index, copied into the arena.
    Input(usize),
    /// A convolution or dense layer, or several.
    Conv(Box<PackedConv2d>),
    /// `activation(scale[c] * x + shift[c] + second input)`.
    ScaleShift {
        scale: Buffer,
        shift: Buffer,
        activation: Activation,
    },
    Kernel(Kernel),
}

impl Ir {
    /// Returns the bytes of the parameters once packed for `isa`, before anything is.
    pub(crate) fn packed_bytes(&self, isa: Isa) -> Result<u64> {
        let mut instructions = self.instructions.iter();
        instructions.try_fold(0u64, |sum, one| {
            Ok(sum.saturating_add(one.packed_bytes(isa)?))
        })
    }
}

impl Instruction {
    /// Returns the bytes of its parameters once packed for `isa`.
    pub(crate) fn packed_bytes(&self, isa: Isa) -> Result<u64> {
        let numbers = match &self.operation {
            Operation::Conv(conv) => {
                let spec = conv.algorithm_spec(isa).map_err(Error::at(&self.name))?;
                spec.packed_len()
            }
            Operation::Norm(norm) => 2 * norm.channels.next_multiple_of(BLOCK),
            Operation::Input(_) | Operation::Dropout(_) | Operation::Kernel(_) => 0,
        };
        Ok((numbers as u64).saturating_mul(F32))
    }
}

impl Conv {
    /// Returns the convolution without its weights.
    pub(crate) fn spec(&self, isa: Isa) -> conv_core::Result<Conv2dSpec> {
        Conv2dSpec::new(self.weight, &self.options, isa)
    }

    /// Returns the convolution by its algorithm, without its weights.
    pub(crate) fn algorithm_spec(&self, isa: Isa) -> conv_core::Result<AlgorithmSpec> {
        AlgorithmSpec::new(self.algorithm, self.spec(isa)?)
    }
}

impl Program {
    /// Packs the parameters that the instructions read; each is freed as soon as it is packed.
    pub(crate) fn pack(graph: &Graph, ir: Ir, mut params: Params<f32>, isa: Isa) -> Result<Self> {
        params.check(graph)?;
        let mut packing = Packing {
            graph,
            params: &mut params,
            isa,
        };
        let steps = ir.instructions.iter().map(|one| packing.step(one));
        let steps = steps.collect::<Result<_>>()?;
        Ok(Self { ir, steps })
    }
}

struct Packing<'a> {
    graph: &'a Graph,
    params: &'a mut Params<f32>,
    isa: Isa,
}

impl<'a> Packing<'a> {
    fn step(&mut self, instruction: &Instruction) -> Result<Step> {
        let name = &instruction.name;
        Ok(match &instruction.operation {
            Operation::Input(number) => Step::Input(*number),
            Operation::Conv(conv) => self.conv(name, conv)?,
            Operation::Norm(norm) => self.norm(name, norm)?,
            Operation::Kernel(kernel) => Step::Kernel(kernel.clone()),
            Operation::Dropout(_) => {
                return Err(Error::internal(
                    name,
                    "dropout was not removed for inference",
                ));
            }
        })
    }

    fn conv(&mut self, name: &str, conv: &Conv) -> Result<Step> {
        let filters = conv.filters.iter().map(|one| self.filters(name, one));
        let filters = filters.collect::<Result<Vec<_>>>()?;
        let (weight, shift) = match <[_; 1]>::try_from(filters) {
            Ok([only]) => only,
            Err(filters) => {
                let weights: Vec<_> = filters.iter().map(|(weight, _)| weight.view()).collect();
                let stacked = ndarray::concatenate(Axis(0), &weights);
                let stacked = stacked.map_err(|_| {
                    Error::internal(name, "layers with other kernels were made one")
                })?;
                let shifts = filters.into_iter().flat_map(|(_, shift)| shift);
                (stacked, shifts.collect())
            }
        };
        let (weight, shift) = (weight.view(), Some(ArrayView1::from(&shift[..])));
        let packed = conv.spec(self.isa).and_then(|spec| {
            PackedConv2d::new(conv.algorithm, spec, weight, shift, conv.activation)
        });
        let packed = packed.map_err(Error::at(name))?;
        Ok(Step::Conv(Box::new(match conv.max_pool {
            true => packed.with_max_pool(),
            false => packed,
        })))
    }

    /// Returns the filters of a layer and what is added to their sums, with everything folded in.
    fn filters(&mut self, name: &str, filters: &Filters) -> Result<(Array4<f32>, Vec<f32>)> {
        let layer = self.node(name, filters.layer)?;
        let (_, weight) = take(layer, "weight", self.params)?;
        let mut weight = as_convolution(weight);
        let bias = match layer.param("bias") {
            Some(_) => Some(take(layer, "bias", self.params)?.1),
            None => None,
        };
        let mut fold = Fold::bias(bias.as_ref(), weight.len_of(Axis(0)));
        for &norm in &filters.folded {
            let next = self.fold(name, norm)?;
            fold.then(&next);
        }
        let mut scaled: Vec<_> = weight.outer_iter_mut().zip(&fold.scale).collect();
        scaled.par_iter_mut().for_each(|(filter, scale)| {
            if scale.to_bits() != 1f64.to_bits() {
                filter.mapv_inplace(|w| narrow(f64::from(w) * *scale));
            }
        });
        let weight = weight
            .into_dimensionality::<Ix4>()
            .map_err(|_| Error::internal(name, "a convolution's weight is not OIHW"))?;
        Ok((weight, fold.shift.iter().map(|&x| narrow(x)).collect()))
    }

    fn norm(&mut self, name: &str, norm: &Norm) -> Result<Step> {
        let Fold { scale, shift } = self.fold(name, norm.layer)?;
        Ok(Step::ScaleShift {
            scale: padded(name, &scale)?,
            shift: padded(name, &shift)?,
            activation: norm.activation,
        })
    }

    /// Returns a normalisation in evaluation mode, or an affine layer, as scale and shift.
    fn fold(&mut self, name: &str, id: NodeId) -> Result<Fold> {
        let node = self.node(name, id)?;
        let mut numbers = |local| Ok::<_, Error>(wide(&take(node, local, self.params)?.1));
        let (weight, bias) = (numbers("weight")?, numbers("bias")?);
        let Op::BatchNorm2d(BatchNorm2d { epsilon }) = *node.op() else {
            return Ok(Fold {
                scale: weight,
                shift: bias,
            });
        };
        let (mean, variance) = (numbers("running_mean")?, numbers("running_var")?);
        let deviation = |variance: f64| match epsilon {
            Epsilon::Inside(epsilon) => (variance + epsilon).sqrt(),
            Epsilon::Outside(epsilon) => variance.sqrt() + epsilon,
        };
        let scale = weight.iter().zip(&variance);
        let scale: Vec<f64> = scale.map(|(w, &v)| w / deviation(v)).collect();
        let shift = (0..scale.len()).map(|c| bias[c] - mean[c] * scale[c]);
        Ok(Fold {
            shift: shift.collect(),
            scale,
        })
    }

    fn node(&self, name: &str, id: NodeId) -> Result<&'a Node> {
        let unknown = || Error::internal(name, "an instruction names a node of another graph");
        self.graph.node(id).ok_or_else(unknown)
    }
}

/// `y[c] = scale[c] * x[c] + shift[c]`, in f64 until it is packed.
struct Fold {
    scale: Vec<f64>,
    shift: Vec<f64>,
}

impl Fold {
    /// Returns the layer's bias as an affine map.
    fn bias(bias: Option<&ArrayD<f32>>, channels: usize) -> Self {
        Self {
            scale: vec![1.0; channels],
            shift: bias.map_or(vec![0.0; channels], wide),
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

/// Removes a parameter of the node from `params`; its memory is freed as soon as it is packed.
pub(crate) fn take(
    node: &Node,
    local: &str,
    params: &mut Params<f32>,
) -> Result<(ParamSpec, ArrayD<f32>)> {
    let missing = |expected: &[usize]| {
        nn_layers::Error::Params(ParamsError::Misfits(vec![Misfit::Missing {
            name: format!("{}.{local}", node.name()),
            expected: expected.to_vec(),
        }]))
    };
    let spec = node.param(local).ok_or_else(|| missing(&[]))?;
    let Param { value, .. } = params
        .remove(spec.name())
        .ok_or_else(|| missing(spec.shape()))?;
    Ok((spec.clone(), value))
}

/// Returns a dense layer's weight as a convolution's.
pub(crate) fn as_convolution(weight: ArrayD<f32>) -> ArrayD<f32> {
    if weight.ndim() == 2 {
        weight.insert_axis(Axis(2)).insert_axis(Axis(3))
    } else {
        weight
    }
}

fn wide(values: &ArrayD<f32>) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

/// Returns per-channel values, padded with zeros to whole blocks.
fn padded(name: &str, values: &[f64]) -> Result<Buffer> {
    let len = values.len().next_multiple_of(BLOCK);
    let mut buffer = Buffer::zeroed(len).map_err(Error::at(name))?;
    buffer
        .iter_mut()
        .zip(values)
        .for_each(|(to, &x)| *to = narrow(x));
    Ok(buffer)
}

#[expect(clippy::cast_possible_truncation, reason = "this is the one rounding")]
pub(crate) fn narrow(x: f64) -> f32 {
    x as f32
}
