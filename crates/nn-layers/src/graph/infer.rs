//! Shape inference: the parameters that a node needs, and the shape of its output.
//!
//! The builder and [`Graph::infer`](crate::Graph::infer) share this code. So a graph rejects
//! another size exactly if building it at that size would have failed.

mod inputs;

use conv_core::{Conv2dShape, checked_len};

use self::inputs::{arity, ranks};
use crate::{
    error::{Error, Result},
    graph::{
        error::GraphError,
        op::{Op, divides},
        param_spec::{ParamSpec, Slot},
        shape::Shape,
    },
};

/// A node about to be added to a graph.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) name: &'a str,
    pub(crate) op: &'a Op,
    /// The shapes of its inputs.
    pub(crate) inputs: &'a [&'a Shape],
}

impl Site<'_> {
    /// Checks the number and ranks of the inputs, and that no size is 0: everything below relies on
    /// it.
    fn check_inputs(&self) -> Result<()> {
        let node = || self.name.to_owned();
        let op = self.op.kind();
        let (count, expected) = arity(self.op);
        if !count.contains(&self.inputs.len()) {
            let got = self.inputs.len();
            return Err(GraphError::InputCount {
                node: node(),
                op,
                expected,
                got,
            }
            .into());
        }
        let (ranks, expected) = ranks(self.op);
        for &shape in self.inputs {
            if !ranks.contains(&shape.rank()) {
                return Err(GraphError::Rank {
                    node: node(),
                    op,
                    expected,
                    got: shape.clone(),
                }
                .into());
            }
            check_shape(self.name, shape)?;
        }
        Ok(())
    }

    /// Returns the shape of input `index`, whose presence [`check_inputs`](Self::check_inputs) has
    /// checked.
    fn input(&self, index: usize) -> &Shape {
        self.inputs[index]
    }

    /// Returns the channels or features of the first input.
    fn channels(&self) -> usize {
        self.input(0)[1]
    }

    fn mismatch(
        &self,
        what: &'static str,
        axis: &'static str,
        expected: usize,
        got: usize,
    ) -> Result<()> {
        if expected == got {
            return Ok(());
        }
        Err(GraphError::Mismatch {
            node: self.name.to_owned(),
            what,
            axis,
            expected,
            got,
        }
        .into())
    }

    fn kernel<T>(&self, result: conv_core::Result<T>) -> Result<T> {
        result.map_err(|source| {
            Error::Graph(GraphError::Kernel {
                node: self.name.to_owned(),
                source,
            })
        })
    }

    /// Returns the product of some sizes, or an error if it overflows.
    fn product(&self, what: &'static str, sizes: &[usize]) -> Result<usize> {
        checked_len("", what, sizes).map_err(|_| {
            Error::Graph(GraphError::TooLarge {
                node: self.name.to_owned(),
                what,
            })
        })
    }

    /// Returns the error for a state that cannot occur.
    fn broken(&self, broken: &'static str) -> Error {
        Error::internal(self.name, broken)
    }

    /// Returns the first input's shape with different sizes for `[h, w]`.
    fn with_hw(&self, [h, w]: [usize; 2]) -> Shape {
        let input = self.input(0);
        Shape::from([input[0], input[1], h, w])
    }

    /// Returns the first input's shape with a different size for axis 1.
    fn with_channels(&self, channels: usize) -> Shape {
        let mut sizes = self.input(0).to_vec();
        sizes[1] = channels;
        Shape::from(sizes)
    }

    /// Returns `[h, w]` of the first input, of rank 4.
    fn hw(&self) -> [usize; 2] {
        let input = self.input(0);
        [input[2], input[3]]
    }

    /// Returns the parameters that the node reads, in the order of PyTorch's `state_dict`.
    ///
    /// # Errors
    ///
    /// Errors in the number, ranks and channels of the inputs, and in the options.
    pub(crate) fn param_specs(&self) -> Result<Vec<ParamSpec>> {
        self.op.check_options(self.name)?;
        self.check_inputs()?;
        let spec = |local: &str, shape: Vec<usize>, slot| -> Result<ParamSpec> {
            self.product("a parameter", &shape)?;
            Ok(ParamSpec {
                name: format!("{}.{local}", self.name),
                shape,
                slot,
            })
        };
        let per_channel = |local| spec(local, vec![self.channels()], Slot::Weight);
        let statistic = |local| spec(local, vec![self.channels()], Slot::Buffer);

        let mut specs = Vec::new();
        match self.op {
            Op::Conv2d(conv) => {
                let groups = conv.options.groups;
                divides(
                    self.name,
                    "input channels",
                    "c",
                    self.channels(),
                    groups,
                    "the groups",
                )?;
                let [kernel_h, kernel_w] = conv.kernel_size;
                let weight = vec![
                    conv.out_channels,
                    self.channels() / groups,
                    kernel_h,
                    kernel_w,
                ];
                specs.push(spec("weight", weight, Slot::Weight)?);
                if conv.bias {
                    specs.push(spec("bias", vec![conv.out_channels], Slot::Weight)?);
                }
            }
            Op::Linear(linear) => {
                let weight = vec![linear.out_features, self.channels()];
                specs.push(spec("weight", weight, Slot::Weight)?);
                if linear.bias {
                    specs.push(spec("bias", vec![linear.out_features], Slot::Weight)?);
                }
            }
            Op::BatchNorm2d(_) => {
                specs.extend([per_channel("weight")?, per_channel("bias")?]);
                specs.extend([statistic("running_mean")?, statistic("running_var")?]);
            }
            Op::Affine => specs.extend([per_channel("weight")?, per_channel("bias")?]),
            Op::Input
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
            | Op::Dropout { .. }
            | Op::Upsample { .. }
            | Op::Reorg { .. }
            | Op::Pad { .. } => {}
        }
        Ok(specs)
    }

    /// Returns the shape of the node's output, given the parameters it was built with.
    ///
    /// # Errors
    ///
    /// An input that does not fit the operation, its options or its parameters.
    pub(crate) fn output_shape(&self, params: &[ParamSpec]) -> Result<Shape> {
        self.check_inputs()?;
        let shape = self.unchecked_output_shape(params)?;
        self.product("the output", &shape)?;
        Ok(shape)
    }

    fn unchecked_output_shape(&self, params: &[ParamSpec]) -> Result<Shape> {
        // Every operation with parameters has one named `weight`, and it comes first.
        let weight: &[usize] = params.first().map_or(&[], ParamSpec::shape);
        match self.op {
            Op::Input => Err(GraphError::InputShape {
                node: self.name.to_owned(),
            }
            .into()),

            Op::Conv2d(conv) => {
                let groups = conv.options.groups;
                let input = self.input(0);
                let weight = <[usize; 4]>::try_from(weight)
                    .map_err(|_| self.broken("a convolution's weight is not OIHW"))?;
                let expected = weight[1].saturating_mul(groups);
                self.mismatch("input channels", "c", expected, self.channels())?;
                let input = input.nchw().ok_or_else(|| self.broken(NOT_PICTURES))?;
                let shape = Conv2dShape::new("conv2d", input, weight, None, &conv.options);
                Ok(Shape::from(self.kernel(shape)?.output()))
            }
            Op::Linear(linear) => {
                let &[_, expected] = weight else {
                    return Err(self.broken("a dense layer's weight is not a matrix"));
                };
                self.mismatch("input features", "f", expected, self.channels())?;
                Ok(self.with_channels(linear.out_features))
            }
            Op::BatchNorm2d(_) | Op::Affine => {
                let &[expected] = weight else {
                    return Err(self.broken("a weight per channel does not have one axis"));
                };
                let axis = self.input(0).axis_name(1);
                self.mismatch("input channels", axis, expected, self.channels())?;
                Ok(self.input(0).clone())
            }

            Op::Relu
            | Op::Relu6
            | Op::LeakyRelu { .. }
            | Op::Sigmoid
            | Op::Softmax
            | Op::Dropout { .. } => Ok(self.input(0).clone()),

            Op::MaxPool2d(options) => {
                let placement = options.place("max_pool2d", self.hw());
                Ok(self.with_hw(self.kernel(placement)?.output))
            }
            Op::AvgPool2d(options) => {
                let placement = options.place("avg_pool2d", self.hw());
                Ok(self.with_hw(self.kernel(placement)?.output))
            }
            Op::GlobalAvgPool2d => Ok(self.with_hw([1, 1])),
            Op::AdaptiveAvgPool2d(output) => Ok(self.with_hw(*output)),

            Op::Add => {
                self.check_axes_agree(|_| true)?;
                Ok(self.input(0).clone())
            }
            Op::Concat => {
                self.check_axes_agree(|axis| axis != 1)?;
                let channels = self
                    .inputs
                    .iter()
                    .try_fold(0usize, |sum, shape| sum.checked_add(shape[1]))
                    .ok_or_else(|| GraphError::TooLarge {
                        node: self.name.to_owned(),
                        what: "the output",
                    })?;
                Ok(self.with_channels(channels))
            }
            &Op::Slice { start, len } => {
                let channels = self.channels();
                match start.checked_add(len) {
                    Some(end) if end <= channels => Ok(self.with_channels(len)),
                    _ => Err(GraphError::Slice {
                        node: self.name.to_owned(),
                        start,
                        len,
                        channels,
                    }
                    .into()),
                }
            }
            &Op::PadChannels { before, after } => {
                let channels = self
                    .channels()
                    .checked_add(before)
                    .and_then(|sum| sum.checked_add(after))
                    .ok_or_else(|| GraphError::TooLarge {
                        node: self.name.to_owned(),
                        what: "the output",
                    })?;
                Ok(self.with_channels(channels))
            }
            Op::Flatten => {
                let input = self.input(0);
                Ok(Shape::from([
                    input[0],
                    self.product("the output", &input[1..])?,
                ]))
            }

            Op::Upsample { scale } => {
                let [h, w] = self.hw();
                let scaled = [
                    self.product("the output", &[h, scale[0]])?,
                    self.product("the output", &[w, scale[1]])?,
                ];
                Ok(self.with_hw(scaled))
            }
            &Op::Reorg { stride } => {
                let input = self.input(0).nchw();
                let [n, c, h, w] = input.ok_or_else(|| self.broken(NOT_PICTURES))?;
                let square = self.product("the stride's square", &[stride, stride])?;
                divides(self.name, "input height", "h", h, stride, "the stride")?;
                divides(self.name, "input width", "w", w, stride, "the stride")?;
                divides(
                    self.name,
                    "input channels",
                    "c",
                    c,
                    square,
                    "the stride's square",
                )?;
                let channels = self.product("the output", &[c, square])?;
                Ok(Shape::from([n, channels, h / stride, w / stride]))
            }
            Op::Pad { padding, value } => {
                self.kernel(value.check("pad2d", self.hw(), *padding))?;
                let [top, left, bottom, right] = *padding;
                let [h, w] = self.hw();
                let sum = |sizes: [usize; 3]| {
                    sizes
                        .iter()
                        .try_fold(0usize, |sum, &size| sum.checked_add(size))
                        .ok_or_else(|| {
                            Error::Graph(GraphError::TooLarge {
                                node: self.name.to_owned(),
                                what: "the output",
                            })
                        })
                };
                Ok(self.with_hw([sum([top, h, bottom])?, sum([left, w, right])?]))
            }
        }
    }

    /// Checks that all inputs have the rank of the first, and its sizes along `axes`.
    fn check_axes_agree(&self, axes: impl Fn(usize) -> bool) -> Result<()> {
        let first = self.input(0);
        for &other in self.inputs {
            if other.rank() != first.rank() {
                return Err(GraphError::Rank {
                    node: self.name.to_owned(),
                    op: self.op.kind(),
                    expected: "the first input's rank",
                    got: other.clone(),
                }
                .into());
            }
            for (axis, (&expected, &got)) in first.iter().zip(other.iter()).enumerate() {
                if axes(axis) {
                    let name = first.axis_name(axis);
                    let what = match name {
                        "n" => "an input's batch",
                        "c" => "an input's channels",
                        "h" => "an input's height",
                        "w" => "an input's width",
                        _ => "an input's features",
                    };
                    self.mismatch(what, name, expected, got)?;
                }
            }
        }
        Ok(())
    }
}

/// The state that [`Site::check_inputs`] rules out.
const NOT_PICTURES: &str = "an operation on pictures reads another kind of tensor";

/// Checks that a tensor of this shape is computable: no size is 0, and the product does not
/// overflow.
pub(crate) fn check_shape(node: &str, shape: &Shape) -> Result<()> {
    if let Some(axis) = shape.iter().position(|&size| size == 0) {
        let what = match shape.axis_name(axis) {
            "n" => "the batch (axis n)",
            "c" => "the number of channels (axis c)",
            "h" => "the height (axis h)",
            "w" => "the width (axis w)",
            _ => "the number of features (axis f)",
        };
        return Err(GraphError::Zero {
            node: node.to_owned(),
            what,
        }
        .into());
    }
    match shape.elements() {
        Some(_) => Ok(()),
        None => Err(GraphError::TooLarge {
            node: node.to_owned(),
            what: "the tensor",
        }
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::op::Conv2d;

    /// A builder derives a convolution's channels from its input, and an input's channels are
    /// fixed, so only a graph assembled in another way reaches this check.
    #[test]
    fn a_convolution_built_for_other_channels_names_them() {
        let op = Op::Conv2d(Conv2d::new(64, [3, 3]).groups(2));
        let built_for = Shape::from([1, 64, 56, 56]);
        let name = "layer1.0.conv1";
        let params = Site {
            name,
            op: &op,
            inputs: &[&built_for],
        }
        .param_specs()
        .unwrap();
        assert_eq!(params[0].shape(), [64, 32, 3, 3]);
        let got = Shape::from([1, 3, 56, 56]);
        let error = Site {
            name,
            op: &op,
            inputs: &[&got],
        }
        .output_shape(&params)
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "node \"layer1.0.conv1\": input channels (axis c) is 3, expected 64"
        );
        assert!(matches!(
            error,
            Error::Graph(GraphError::Mismatch {
                axis: "c",
                expected: 64,
                got: 3,
                ..
            })
        ));
    }
}
