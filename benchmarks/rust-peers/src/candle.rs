//! candle on the processor.

use std::time::{Duration, Instant};

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Shape, Tensor, Var};
use conv_core::ndarray::Array4;

use crate::Result;
use crate::numbers::Numbers;
use crate::side::{Answers, Side};

pub(crate) struct Candle {
    input: Var,
    weight: Var,
    grad_output: Tensor,
    padding: usize,
    stride: usize,
    /// Output, weight gradient, input gradient.
    last: Option<[Tensor; 3]>,
}

impl Candle {
    pub(crate) fn new(numbers: &Numbers) -> Result<Self> {
        Ok(Self {
            input: Var::from_tensor(&tensor(&numbers.input)?)?,
            weight: Var::from_tensor(&tensor(&numbers.weight)?)?,
            grad_output: tensor(&numbers.grad_output)?,
            padding: numbers.problem.kernel_size[0] / 2,
            stride: numbers.problem.options.stride[0],
            last: None,
        })
    }
}

impl Side for Candle {
    fn step(&mut self) -> Result<Duration> {
        self.last = None;
        let (dilation, groups) = (1, 1);
        let start = Instant::now();
        let output =
            self.input
                .conv2d(&self.weight, self.padding, self.stride, dilation, groups)?;
        let loss = output.apply_op1(GivenGradient(self.grad_output.clone()))?;
        let mut grads = loss.backward()?;
        let time = start.elapsed();
        let grad_weight = grads.remove(&self.weight);
        let grad_input = grads.remove(&self.input);
        self.last = grad_weight
            .zip(grad_input)
            .map(|(grad_weight, grad_input)| [output, grad_weight, grad_input]);
        Ok(time)
    }

    fn answers(&self) -> Result<Answers> {
        let last = self.last.as_ref().ok_or("candle gave no gradient")?;
        let [output, grad_weight, grad_input] = last.each_ref().map(array);
        Ok(Answers {
            output: output?,
            grad_weight: grad_weight?,
            grad_input: grad_input?,
        })
    }
}

/// A loss whose gradient is known. candle's own backward pass through `sum(output * gradient)` takes up
/// to a seventh of a step, which should not count against the convolution.
struct GivenGradient(Tensor);

impl CustomOp1 for GivenGradient {
    fn name(&self) -> &'static str {
        "given-gradient"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), Shape::from(())))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(self.0.clone()))
    }
}

fn tensor(array: &Array4<f32>) -> Result<Tensor> {
    let numbers: Vec<f32> = array.iter().copied().collect();
    Ok(Tensor::from_vec(numbers, array.dim(), &Device::Cpu)?)
}

fn array(tensor: &Tensor) -> Result<Array4<f32>> {
    let numbers = tensor.flatten_all()?.to_vec1::<f32>()?;
    Ok(Array4::from_shape_vec(tensor.dims4()?, numbers)?)
}
