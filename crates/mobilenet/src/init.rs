//! The parameters that training starts from.

use nn_layers::{Fan, Init, Node, Op, ParamSpec, Params, initialise};

use crate::{error::Result, mobilenet_v2::MobileNetV2};

impl MobileNetV2 {
    /// Returns random parameters to start training from, from torchvision's distributions:
    /// convolutions normal with variance `2 / fan_out` (He et al., "Delving Deep into Rectifiers",
    /// 2015, section 2.2), batch normalisations 1 and 0, the classifier's weight normal with a
    /// standard deviation of 0.01 and its bias 0. The same seed yields the same values.
    ///
    /// # Errors
    ///
    /// As [`graph`](Self::graph).
    pub fn init(&self, seed: u64) -> Result<Params<f32>> {
        let graph = self.graph(self.input_size())?;
        Ok(initialise(&graph, seed, rule)?)
    }
}

/// `None` where PyTorch's default applies.
fn rule(node: &Node, spec: &ParamSpec) -> Option<Init> {
    match (node.op(), spec.local_name()) {
        (Op::Conv2d(_), "weight") => Some(Init::KaimingNormal { fan: Fan::Out }),
        (Op::Linear(_), "weight") => Some(Init::Normal { std: 0.01 }),
        (Op::Linear(_), "bias") => Some(Init::Constant(0.0)),
        _ => None,
    }
}
