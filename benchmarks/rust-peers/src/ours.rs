//! Our side: the kernels that the engine's training session calls, on its layouts.

use std::time::{Duration, Instant};

use conv_core::blocked::{
    Buffer, Conv2dGradInput, Conv2dSpec, Denormals, Epilogue, Layout, Store, TurnedWeights, View,
    ViewMut,
};
use conv_core::ndarray::Array4;
use conv_core::{Isa, PaddingValue};

use crate::Result;
use crate::numbers::Numbers;
use crate::side::{Answers, Side};

pub(crate) struct Ours {
    spec: Conv2dSpec,
    weight: Buffer,
    grad_conv: Conv2dGradInput,
    turned: TurnedWeights,
    input: Tensor,
    output: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_weight: Vec<f32>,
    scratch: Vec<f32>,
}

impl Ours {
    pub(crate) fn new(isa: Isa, numbers: &Numbers) -> Result<Self> {
        let options = &numbers.problem.options;
        let weight = numbers.weight.view();
        let spec = Conv2dSpec::new(weight.dim().into(), options, isa)?;
        let (batch, channels, height, width) = numbers.input.dim();
        let (_, out_channels, out_height, out_width) = numbers.grad_output.dim();
        let (size, out_size) = ([height, width], [out_height, out_width]);
        let grad_conv = Conv2dGradInput::new(&spec, size)?;

        let mut input = Tensor::new(spec.input_layout(batch, size).with_halo(spec.halo(size)?))?;
        input.import(&numbers.input)?;
        let output = Layout::blocked(batch, out_channels, out_size);
        let mut grad_output = Tensor::new(output.with_halo(grad_conv.halo()))?;
        grad_output.import(&numbers.grad_output)?;
        Ok(Self {
            input,
            output: Tensor::new(output)?,
            grad_output,
            grad_input: Tensor::new(Layout::blocked(batch, channels, size))?,
            grad_weight: vec![0.0; spec.weight_len()],
            scratch: vec![0.0; spec.grad_weight_scratch(batch, size)?],
            weight: spec.pack(weight, Denormals::Flushed)?,
            spec,
            grad_conv,
            turned: TurnedWeights::default(),
        })
    }
}

impl Side for Ours {
    fn step(&mut self) -> Result<Duration> {
        let start = Instant::now();
        self.spec.run(
            &self.weight,
            self.input.view()?,
            Epilogue::default(),
            self.output.view_mut()?,
        )?;
        self.grad_weight.fill(0.0);
        self.spec.add_grad_weight(
            self.input.view()?,
            self.grad_output.view()?,
            &mut self.grad_weight,
            None,
            &mut self.scratch,
        )?;
        self.turned.turn(&self.spec, &self.weight)?;
        self.grad_conv.run(
            &self.turned,
            self.grad_output.view()?,
            self.grad_input.view_mut()?,
            Store::Replace,
        )?;
        Ok(start.elapsed())
    }

    fn answers(&self) -> Result<Answers> {
        Ok(Answers {
            output: self.output.export()?,
            grad_weight: self.spec.unpack(&self.grad_weight)?,
            grad_input: self.grad_input.export()?,
        })
    }
}

/// A tensor in a layout.
struct Tensor {
    layout: Layout,
    data: Buffer,
}

impl Tensor {
    fn new(layout: Layout) -> Result<Self> {
        let data = Buffer::zeroed(layout.len())?;
        Ok(Self { layout, data })
    }

    fn import(&mut self, array: &Array4<f32>) -> Result<()> {
        let Self { layout, data } = self;
        Ok(layout.import(array.view(), PaddingValue::Zeros, data)?)
    }

    fn export(&self) -> Result<Array4<f32>> {
        let Layout {
            batch,
            channels,
            size: [h, w],
            ..
        } = self.layout;
        let mut array = Array4::zeros((batch, channels, h, w));
        self.layout.export(&self.data, array.view_mut())?;
        Ok(array)
    }

    fn view(&self) -> conv_core::Result<View<'_>> {
        View::new(self.layout, &self.data)
    }

    fn view_mut(&mut self) -> conv_core::Result<ViewMut<'_>> {
        ViewMut::new(self.layout, &mut self.data)
    }
}
