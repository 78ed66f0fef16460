//! The parameters that training starts from.

use nn_layers::{Fan, Init, Node, Op, ParamSpec, Params, initialise};

use crate::{
    error::Result,
    resnet::{Block, ResNet},
};

impl ResNet {
    /// Returns random parameters to start training from, from torchvision's distributions:
    /// convolutions normal with variance `2 / fan_out` (He et al., "Delving Deep into Rectifiers",
    /// 2015, section 2.2), batch normalisations 1 and 0, the classifier uniform in
    /// `±1 / sqrt(fan_in)`. The same seed yields the same values.
    ///
    /// # Errors
    ///
    /// As [`graph`](Self::graph).
    pub fn init(&self, seed: u64) -> Result<Params<f32>> {
        let graph = self.graph(self.input_size())?;
        let rule = |node: &Node, spec: &ParamSpec| self.rule(node, spec);
        Ok(initialise(&graph, seed, rule)?)
    }

    /// `None` where PyTorch's default applies.
    fn rule(&self, node: &Node, spec: &ParamSpec) -> Option<Init> {
        let last_norm = match self.block {
            Block::Basic => ".bn2",
            Block::Bottleneck => ".bn3",
        };
        match node.op() {
            _ if spec.local_name() != "weight" => None,
            Op::Conv2d(_) => Some(Init::KaimingNormal { fan: Fan::Out }),
            Op::BatchNorm2d(_) if self.zero_init_residual && node.name().ends_with(last_norm) => {
                Some(Init::Constant(0.0))
            }
            _ => None,
        }
    }
}
