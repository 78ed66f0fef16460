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
    /// and all probabilities near a half. The same seed yields the same values.
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
        Ok(initialise(self.graph(), seed, rule)?)
    }
}

/// Of the convolution that a head decodes: so small that all boxes begin as their anchors, and all
/// probabilities near a half.
const HEAD: Init = Init::Normal { std: 0.01 };
