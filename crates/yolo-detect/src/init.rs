//! The parameters that training starts from.

use nn_layers::{Fan, Init, Node, Op, ParamSpec, Params, initialise};

use crate::error::Result;
use crate::network::Network;

impl Network {
    /// Random parameters to start training from.
    ///
    /// Weights of convolutions are normal with the variance `2 / fan_in` (He et al., "Delving Deep into
    /// Rectifiers", 2015, section 2.2), batch normalisations are 1 and 0, biases 0. The weights of the
    /// convolution before a head have a standard deviation of 0.01, so that all boxes begin as their anchors
    /// and all classes near a half; its biases for the objectness make that 0.01. The same seed yields the
    /// same values.
    ///
    /// # Errors
    ///
    /// [`Error::Layers`](crate::Error::Layers) if the system refuses the memory.
    ///
    /// ```
    /// use yolo_detect::{Network, networks::Nano};
    ///
    /// let network = Network::new(&Nano { classes: 2, width: 0.25, ..Nano::default() }.cfg()?)?;
    /// let params = network.init(1)?;
    /// params.check(network.graph())?;
    /// assert_eq!(params, network.init(1)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn init(&self, seed: u64) -> Result<Params<f32>> {
        let outputs = self.graph().outputs().iter();
        let heads: Vec<&str> = outputs
            .filter_map(|&output| self.graph().node(output))
            .map(Node::name)
            .collect();
        let rule = |node: &Node, spec: &ParamSpec| match (node.op(), spec.local_name()) {
            (Op::Conv2d(_), "weight") if heads.contains(&node.name()) => Some(HEAD),
            (Op::Conv2d(_), "weight") => Some(Init::KaimingNormal { fan: Fan::In }),
            (_, "bias") => Some(Init::Constant(0.0)),
            _ => None,
        };
        let mut params = initialise(self.graph(), seed, rule)?;
        for (name, head) in heads.iter().zip(self.heads()) {
            let Some(bias) = params.get_mut(&format!("{name}.bias")) else {
                // The head decodes something else than a convolution.
                continue;
            };
            let of_anchor = 5 + head.classes;
            let objectness = bias.value.iter_mut().skip(4).step_by(of_anchor);
            objectness.for_each(|value| *value = RARE);
        }
        Ok(params)
    }
}

/// The logit of 0.01: few boxes have an object. Otherwise, the loss of all others would dominate at first
/// (T.-Y. Lin et al., "Focal Loss for Dense Object Detection", 2017, section 3.3). Darknet begins with 0.
const RARE: f32 = -4.595;

/// Of the convolution that a head decodes.
const HEAD: Init = Init::Normal { std: 0.01 };
