//! A layer with parameters: the parameters in the engine's own layout, and their gradients.

use conv_core::Isa;
use conv_core::blocked::{BLOCK, Buffer, Denormals};
use ndarray::{Array1, ArrayD, Ix1, Ix4, IxDyn};
use nn_layers::{Misfit, Node, ParamSpec, Params, ParamsError};

use super::conv_weights::ConvWeights;
use super::norm_layer::NormLayer;
use super::unit::Unit;
use crate::error::{Error, Result};
use crate::ir::Conv;
use crate::pack::{as_convolution, take};

/// The parameters of a node, and how a step treats them.
#[derive(Debug)]
pub(crate) enum Layer {
    Conv(ConvLayer),
    Norm(NormLayer),
}

/// A convolution, or a dense layer as a convolution over pictures of one pixel.
#[derive(Debug)]
pub(crate) struct ConvLayer {
    node: String,
    weight: ParamSpec,
    bias: Option<ParamSpec>,
    pub(crate) weights: ConvWeights,
    /// The weight of a frozen layer, if it has denormal numbers: packing flushes them to 0, but what
    /// is frozen is exported as it came.
    exact: Option<ArrayD<f32>>,
    pub(crate) learns: bool,
    /// Whether a gradient has been added since the last update.
    pub(crate) reached: bool,
    pub(crate) grad_weight: Buffer,
    pub(crate) grad_bias: Buffer,
}

/// A trainable parameter: its name, its values and its gradient.
pub(crate) struct Learnt<'a> {
    pub(crate) name: &'a str,
    pub(crate) reached: bool,
    pub(crate) numbers: &'a mut [f32],
    pub(crate) grad: &'a mut [f32],
}

impl Layer {
    /// Returns the convolution with this index among the layers, which `unit` computes.
    pub(crate) fn conv<'a>(
        layers: &'a mut [Self],
        at: usize,
        unit: &Unit,
    ) -> Result<&'a mut ConvLayer> {
        match layers.get_mut(at) {
            Some(Self::Conv(layer)) => Ok(layer),
            Some(Self::Norm(_)) | None => Err(unit.broken("its layer is not a convolution")),
        }
    }

    /// Returns the normalisation with this index among the layers, which `unit` computes.
    pub(crate) fn norm<'a>(
        layers: &'a mut [Self],
        at: usize,
        unit: &Unit,
    ) -> Result<&'a mut NormLayer> {
        match layers.get_mut(at) {
            Some(Self::Norm(layer)) => Ok(layer),
            Some(Self::Conv(_)) | None => Err(unit.broken("its layer is not a normalisation")),
        }
    }

    pub(crate) fn learns(&self) -> bool {
        match self {
            Self::Conv(layer) => layer.learns,
            Self::Norm(layer) => !layer.frozen,
        }
    }

    /// Returns the trainable parameters.
    pub(crate) fn learnt(&mut self) -> Vec<Learnt<'_>> {
        if !self.learns() {
            return Vec::new();
        }
        match self {
            Self::Conv(ConvLayer {
                weight,
                bias,
                weights,
                reached,
                grad_weight,
                grad_bias,
                ..
            }) => {
                let (numbers, bias_numbers) = weights.parameters_mut();
                let mut learnt = vec![Learnt {
                    name: weight.name(),
                    reached: *reached,
                    numbers,
                    grad: grad_weight,
                }];
                learnt.extend(bias.as_ref().map(|bias| Learnt {
                    name: bias.name(),
                    reached: *reached,
                    numbers: bias_numbers,
                    grad: grad_bias,
                }));
                learnt
            }
            Self::Norm(layer) => layer.learnt(),
        }
    }

    /// Sets the gradients to 0.
    pub(crate) fn clear_gradients(&mut self) {
        let (reached, grads) = match self {
            Self::Conv(layer) => (
                &mut layer.reached,
                [&mut layer.grad_weight, &mut layer.grad_bias],
            ),
            Self::Norm(layer) => (
                &mut layer.reached,
                [&mut layer.grad_weight, &mut layer.grad_bias],
            ),
        };
        *reached = false;
        for grad in grads {
            grad.fill(0.0);
        }
    }

    /// Returns the gradients of the trainable parameters, in the layer's own order.
    fn grads(&self) -> impl Iterator<Item = (&ParamSpec, &[f32])> {
        let (specs, grads) = match self {
            Self::Conv(layer) => (layer.specs(), [&layer.grad_weight, &layer.grad_bias]),
            Self::Norm(layer) => (
                layer.specs.iter().take(2).collect(),
                [&layer.grad_weight, &layer.grad_bias],
            ),
        };
        let learnt = if self.learns() { specs.len() } else { 0 };
        specs
            .into_iter()
            .zip(grads)
            .take(learnt)
            .map(|(spec, grad)| (spec, &grad[..]))
    }

    /// Returns the gradients of the trainable parameters, by name, in the layer's own order.
    pub(crate) fn packed_gradients(&self) -> impl Iterator<Item = (&str, &[f32])> {
        self.grads().map(|(spec, grad)| (spec.name(), grad))
    }

    /// Inserts the gradients of the trainable parameters into `into`, by name and in the canonical
    /// layout.
    pub(crate) fn gradients(&self, into: &mut Params<f32>) -> Result<()> {
        for (spec, grad) in self.grads() {
            into.insert(spec.name(), spec.slot(), self.canonical(spec, grad)?);
        }
        Ok(())
    }

    /// Inserts all parameters into `into`, by name and in the canonical layout.
    pub(crate) fn export(&self, into: &mut Params<f32>) -> Result<()> {
        let (specs, numbers) = match self {
            Self::Conv(layer) => (
                layer.specs(),
                vec![layer.weights.weight(), layer.weights.bias()],
            ),
            Self::Norm(layer) => (layer.specs.iter().collect(), layer.numbers()),
        };
        for (spec, numbers) in specs.into_iter().zip(numbers) {
            into.insert(spec.name(), spec.slot(), self.canonical(spec, numbers)?);
        }
        if let Self::Conv(ConvLayer {
            weight,
            exact: Some(exact),
            ..
        }) = self
        {
            into.insert(weight.name(), weight.slot(), exact.clone());
        }
        Ok(())
    }

    /// Returns the spec of the parameter with this name, if it belongs to this layer.
    pub(crate) fn spec(&self, name: &str) -> Option<&ParamSpec> {
        let specs = match self {
            Self::Conv(layer) => layer.specs(),
            Self::Norm(layer) => layer.specs.iter().collect(),
        };
        specs.into_iter().find(|spec| spec.name() == name)
    }

    /// Converts values in this layer's order to the parameter's shape.
    pub(crate) fn canonical(&self, spec: &ParamSpec, numbers: &[f32]) -> Result<ArrayD<f32>> {
        let expected = self.packed_len(spec);
        if numbers.len() != expected {
            return Err(nn_layers::Error::Params(ParamsError::ParamLength {
                name: spec.name().to_owned(),
                expected,
                got: numbers.len(),
            })
            .into());
        }
        let flat = match self {
            Self::Conv(layer) if spec.local_name() == "weight" => {
                layer
                    .weights
                    .spec
                    .unpack(numbers)
                    .map_err(Error::at(&layer.node))?
                    .into_raw_vec_and_offset()
                    .0
            }
            _ => numbers[..spec.elements()].to_vec(),
        };
        ArrayD::from_shape_vec(IxDyn(spec.shape()), flat).map_err(|_| misfit(spec, &[]))
    }

    /// Converts an array of the parameter's shape to this layer's order.
    pub(crate) fn packed(&self, spec: &ParamSpec, numbers: &ArrayD<f32>) -> Result<Vec<f32>> {
        if numbers.shape() != spec.shape() {
            return Err(misfit(spec, numbers.shape()));
        }
        match self {
            Self::Conv(layer) if spec.local_name() == "weight" => {
                let weight = as_convolution(numbers.clone())
                    .into_dimensionality::<Ix4>()
                    .map_err(|_| misfit(spec, numbers.shape()))?;
                let packed = layer.weights.spec.pack(weight.view(), Denormals::Kept);
                Ok(packed.map_err(Error::at(&layer.node))?.to_vec())
            }
            _ => {
                let mut packed: Vec<f32> = numbers.iter().copied().collect();
                packed.resize(self.packed_len(spec), 0.0);
                Ok(packed)
            }
        }
    }

    fn packed_len(&self, spec: &ParamSpec) -> usize {
        match self {
            Self::Conv(layer) if spec.local_name() == "weight" => layer.weights.weight().len(),
            _ => spec.elements().next_multiple_of(BLOCK),
        }
    }
}

impl ConvLayer {
    /// Packs the node's parameters and removes them from `params`.
    pub(crate) fn new(
        node: &Node,
        conv: &Conv,
        params: &mut Params<f32>,
        frozen: bool,
        isa: Isa,
    ) -> Result<Self> {
        let (weight_spec, weight) = take(node, "weight", params)?;
        let bias = match node.param("bias") {
            Some(_) => Some(take(node, "bias", params)?),
            None => None,
        };
        let is_exact = !frozen || !weight.iter().any(|weight| weight.is_subnormal());
        let exact = (!is_exact).then(|| weight.clone());
        let weight = as_convolution(weight)
            .into_dimensionality::<Ix4>()
            .map_err(|_| misfit(&weight_spec, &[]))?;
        let (bias_spec, bias): (Option<ParamSpec>, Option<Array1<f32>>) = match bias {
            Some((spec, value)) => {
                let value = value
                    .into_dimensionality::<Ix1>()
                    .map_err(|_| misfit(&spec, &[]))?;
                (Some(spec), Some(value))
            }
            None => (None, None),
        };
        let bias = bias.as_ref().map(|bias| bias.view());
        let weights = conv
            .spec(isa)
            .and_then(|spec| ConvWeights::new(spec, weight.view(), bias))
            .map_err(Error::at(node.name()))?;
        let buffer = |len| Buffer::zeroed(len).map_err(Error::at(node.name()));
        let (grad_weight, grad_bias) = if frozen {
            (Buffer::default(), Buffer::default())
        } else {
            let (weight, bias) = (weights.weight().len(), weights.bias().len());
            (buffer(weight)?, buffer(bias)?)
        };
        Ok(Self {
            node: node.name().to_owned(),
            weight: weight_spec,
            bias: bias_spec,
            weights,
            exact,
            learns: !frozen,
            reached: false,
            grad_weight,
            grad_bias,
        })
    }

    pub(crate) fn has_bias(&self) -> bool {
        self.bias.is_some()
    }

    fn specs(&self) -> Vec<&ParamSpec> {
        std::iter::once(&self.weight).chain(&self.bias).collect()
    }
}

fn misfit(spec: &ParamSpec, got: &[usize]) -> Error {
    nn_layers::Error::Params(ParamsError::Misfits(vec![Misfit::Shape {
        name: spec.name().to_owned(),
        expected: spec.shape().to_vec(),
        got: got.to_vec(),
    }]))
    .into()
}
