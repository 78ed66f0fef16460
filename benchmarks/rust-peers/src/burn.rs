//! burn with flex, its backend for processors.

use std::time::{Duration, Instant};

use burn_tensor::module::conv2d;
use burn_tensor::ops::ConvOptions;
use burn_tensor::{Device, Tensor, TensorData};
use conv_core::ndarray::Array4;

use crate::Result;
use crate::numbers::Numbers;
use crate::side::{Answers, Side};

pub(crate) struct Burn {
    input: Tensor<4>,
    weight: Tensor<4>,
    grad_output: Tensor<4>,
    options: ConvOptions<2>,
    /// Output, weight gradient, input gradient.
    last: Option<[Tensor<4>; 3]>,
}

impl Burn {
    pub(crate) fn new(numbers: &Numbers) -> Self {
        let device = Device::flex().autodiff();
        let options = &numbers.problem.options;
        let padding = numbers.problem.kernel_size.map(|taps| taps / 2);
        Self {
            input: tensor(&numbers.input, &device).require_grad(),
            weight: tensor(&numbers.weight, &device).require_grad(),
            grad_output: tensor(&numbers.grad_output, &device),
            options: ConvOptions::new(options.stride, padding, options.dilation, options.groups),
            last: None,
        }
    }
}

impl Side for Burn {
    fn step(&mut self) -> Result<Duration> {
        self.last = None;
        let (input, weight) = (self.input.clone(), self.weight.clone());
        let start = Instant::now();
        let output = conv2d(input, weight, None, self.options.clone());
        let forward = start.elapsed();

        // Not timed; its backward pass takes less than a hundredth of a step.
        let loss = (output.clone() * self.grad_output.clone()).sum();

        let start = Instant::now();
        let mut grads = loss.backward();
        let backward = start.elapsed();
        let grad_weight = self.weight.grad_remove(&mut grads);
        let grad_input = self.input.grad_remove(&mut grads);
        self.last = grad_weight
            .zip(grad_input)
            .map(|(grad_weight, grad_input)| [output, grad_weight, grad_input]);
        Ok(forward + backward)
    }

    fn answers(&self) -> Result<Answers> {
        let last = self.last.clone().ok_or("burn gave no gradient")?;
        let [output, grad_weight, grad_input] = last.map(array);
        Ok(Answers {
            output: output?,
            grad_weight: grad_weight?,
            grad_input: grad_input?,
        })
    }
}

fn tensor(array: &Array4<f32>, device: &Device) -> Tensor<4> {
    let numbers: Vec<f32> = array.iter().copied().collect();
    Tensor::from_data(TensorData::new(numbers, array.shape()), device)
}

fn array(tensor: Tensor<4>) -> Result<Array4<f32>> {
    let shape = tensor.dims();
    let numbers = tensor.into_data().try_to_vec::<f32>();
    let numbers = numbers.map_err(|error| format!("burn: {error}"))?;
    Ok(Array4::from_shape_vec(shape, numbers)?)
}
