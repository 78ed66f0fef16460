//! The inception module of the textbooks.

use nn_layers::{Conv2d, GraphBuilder, MaxPool2d, NodeId, Padding};
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Four branches that read the same input through different windows, and whose results are
/// concatenated.
///
/// ```text
/// x ─┬─ 1x1 ─────────────────────┐
///    ├─ 1x1 (reduces) ── 3x3 ────┤
///    ├─ 1x1 (reduces) ── 5x5 ────┼─ concat
///    └─ 3x3 max pool ─── 1x1 ────┘
/// ```
///
/// Each convolution has a bias and a ReLU, and preserves the size; the pool has stride 1. So
/// `[N, C, H, W]` becomes `[N, out_channels, H, W]`. The **naive** module omits the 1x1
/// **bottlenecks**: its 3x3 and 5x5 convolutions read all of `x`, and the pool passes on all of its
/// channels.
///
/// ```
/// use inception::{Bottlenecks, InceptionModule};
/// use nn_layers::{GraphBuilder, Shape, Summary};
///
/// // The first module of GoogLeNet: 28x28x192 to 28x28x256.
/// let module = InceptionModule {
///     conv1x1: 64,
///     conv3x3: 128,
///     conv5x5: 32,
///     bottlenecks: Some(Bottlenecks { before_3x3: 96, before_5x5: 16, after_pool: 32 }),
/// };
/// let mut b = GraphBuilder::new();
/// let x = b.input("x", [1, 192, 28, 28])?;
/// let y = module.build(&mut b, x)?;
/// assert_eq!(b.shape(y), Some(&Shape::from([1, 64 + 128 + 32 + 32, 28, 28])));
///
/// let summary = Summary::new(&b.finish(&[y])?, &[Shape::from([1, 192, 28, 28])])?;
/// let row = |name| summary.rows.iter().find(|row| row.name == name);
/// // The 5x5 takes 120 million multiplications without the preceding 1x1, 10 million with it.
/// assert_eq!(row("branch5x5.conv").map(|row| row.multiply_adds), Some(10_035_200));
/// # Ok::<(), inception::Error>(())
/// ```
///
/// Reference: Szegedy et al., "Going Deeper with Convolutions", 2014, section 4 and figure 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InceptionModule {
    /// Output channels of the 1x1 branch.
    pub conv1x1: usize,
    /// Output channels of the 3x3 branch.
    pub conv3x3: usize,
    /// Output channels of the 5x5 branch.
    pub conv5x5: usize,
    /// The 1x1 convolutions before the large windows and after the pool; `None` for the naive
    /// module.
    pub bottlenecks: Option<Bottlenecks>,
}

/// Output channels of the 1x1 convolutions that reduce the cost of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bottlenecks {
    /// Before the 3x3 convolution: "#3x3 reduce" in the paper's table.
    pub before_3x3: usize,
    /// Before the 5x5 convolution: "#5x5 reduce".
    pub before_5x5: usize,
    /// After the pool: "pool proj". Without this convolution, the pool would pass on every input
    /// channel.
    pub after_pool: usize,
}

impl InceptionModule {
    /// Adds the module.
    ///
    /// The name of a node starts with that of its branch, `branch1x1`, `branch3x3`, `branch5x5` or
    /// `branch_pool`: `branch5x5.reduce`, `branch5x5.conv`, `branch_pool.pool` and so on. A ReLU
    /// has the name of its convolution with the suffix `_relu`. The output is `concat`, in the order
    /// of the branches. [`GraphBuilder::scope`] prefixes the module's own name.
    ///
    /// # Errors
    ///
    /// The builder's errors, which name the node.
    pub fn build(&self, b: &mut GraphBuilder, x: NodeId) -> Result<NodeId> {
        self.build_from(b, x, conv_relu)
    }

    /// Adds the module with this function `(b, name, x, channels, size)` for its convolutions.
    pub(crate) fn build_from(
        &self,
        b: &mut GraphBuilder,
        x: NodeId,
        layer: Layer,
    ) -> Result<NodeId> {
        let reduced = |b: &mut GraphBuilder, channels: Option<usize>| match channels {
            Some(channels) => layer(b, "reduce", x, channels, 1),
            None => Ok(x),
        };
        let bottlenecks = self.bottlenecks;
        let branch1x1 = b.scope("branch1x1", |b| layer(b, "conv", x, self.conv1x1, 1))?;
        let branch3x3 = b.scope("branch3x3", |b| {
            let y = reduced(b, bottlenecks.map(|bottlenecks| bottlenecks.before_3x3))?;
            layer(b, "conv", y, self.conv3x3, 3)
        })?;
        let branch5x5 = b.scope("branch5x5", |b| {
            let y = reduced(b, bottlenecks.map(|bottlenecks| bottlenecks.before_5x5))?;
            layer(b, "conv", y, self.conv5x5, 5)
        })?;
        let branch_pool = b.scope("branch_pool", |b| {
            let y = b.max_pool2d("pool", x, same_pool3x3())?;
            match bottlenecks {
                Some(Bottlenecks { after_pool, .. }) => layer(b, "conv", y, after_pool, 1),
                None => Ok(y),
            }
        })?;
        let branches = [branch1x1, branch3x3, branch5x5, branch_pool];
        Ok(b.concat("concat", &branches)?)
    }
}

impl InceptionModule {
    /// Returns the output's channels for an input of this many.
    pub(crate) fn out_channels(&self, in_channels: usize) -> usize {
        let after_pool = match self.bottlenecks {
            Some(Bottlenecks { after_pool, .. }) => after_pool,
            None => in_channels,
        };
        [self.conv1x1, self.conv3x3, self.conv5x5, after_pool]
            .into_iter()
            .fold(0, usize::saturating_add)
    }
}

/// Adds a convolution of a window `size x size` that preserves the picture's size, with its
/// activation: `(b, name, x, channels, size)`.
pub(crate) type Layer = fn(&mut GraphBuilder, &str, NodeId, usize, usize) -> Result<NodeId>;

/// A convolution with a bias, and its ReLU.
fn conv_relu(
    b: &mut GraphBuilder,
    name: &str,
    x: NodeId,
    channels: usize,
    size: usize,
) -> Result<NodeId> {
    let conv = Conv2d::new(channels, [size; 2]).padding(Padding::Same);
    let y = b.conv2d(name, x, conv)?;
    Ok(b.relu(&format!("{name}_relu"), y)?)
}

/// Returns a 3x3 max pool with stride 1 that preserves the size.
pub(crate) fn same_pool3x3() -> MaxPool2d {
    MaxPool2d::new([3, 3])
        .stride([1, 1])
        .padding(Padding::all(1))
}
