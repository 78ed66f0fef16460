//! The convolution that both networks are built from.

use nn_layers::{BatchNorm2d, Conv2d, Epsilon, GraphBuilder, NodeId};

use crate::error::Result;

/// A convolution without bias, batch normalisation with an epsilon of 0.001, and ReLU:
/// torchvision's `BasicConv2d`. The nodes are `NAME.conv`, `NAME.bn` and `NAME.relu`.
pub(crate) fn basic_conv2d(
    b: &mut GraphBuilder,
    name: &str,
    x: NodeId,
    conv: Conv2d,
) -> Result<NodeId> {
    let norm = BatchNorm2d {
        epsilon: Epsilon::Inside(0.001),
    };
    b.scope(name, |b| {
        let y = b.conv2d("conv", x, conv.without_bias())?;
        let y = b.batch_norm2d("bn", y, norm)?;
        Ok(b.relu("relu", y)?)
    })
}
