//! Inception-v3's modules A to E: large windows factorised into small ones.
//!
//! Reference: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015;
//! the figures named below are from it.

use nn_layers::{AvgPool2d, Conv2d, GraphBuilder, MaxPool2d, NodeId, Padding};

use crate::{basic_conv2d::basic_conv2d, error::Result};

/// Adds module A: a 5x5 convolution in one branch, and in another two 3x3 in sequence, which cover
/// the same window at lower cost.
///
/// `[N, C, H, W]` to `[N, 224 + pool_channels, H, W]`; the output's node is `concat`.
///
/// ```
/// use inception::{Error, inception_a};
/// use nn_layers::{GraphBuilder, Shape};
///
/// let mut b = GraphBuilder::new();
/// let x = b.input("x", [1, 192, 35, 35])?;
/// let y = b.scope("Mixed_5b", |b| inception_a(b, x, 32))?;
/// assert_eq!(b.shape(y), Some(&Shape::from([1, 256, 35, 35])));
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
///
/// The builder's errors, which name the node.
///
/// # Reference
///
/// Figure 5, with one 5x5 not factorised.
pub fn inception_a(b: &mut GraphBuilder, x: NodeId, pool_channels: usize) -> Result<NodeId> {
    let branch1x1 = conv(b, "branch1x1", x, 64, [1, 1])?;

    let y = conv(b, "branch5x5_1", x, 48, [1, 1])?;
    let branch5x5 = conv(b, "branch5x5_2", y, 64, [5, 5])?;

    let y = conv(b, "branch3x3dbl_1", x, 64, [1, 1])?;
    let y = conv(b, "branch3x3dbl_2", y, 96, [3, 3])?;
    let branch3x3dbl = conv(b, "branch3x3dbl_3", y, 96, [3, 3])?;

    let branch_pool = pooled(b, x, pool_channels)?;
    let branches = [branch1x1, branch5x5, branch3x3dbl, branch_pool];
    Ok(b.concat("concat", &branches)?)
}

/// Adds module B, which halves the size: two branches of convolutions and, in parallel, a max pool.
///
/// `[N, C, H, W]` to `[N, 480 + C, (H - 1) div 2, (W - 1) div 2]`; the output's node is `concat`.
///
/// # Errors
///
/// The builder's errors, which name the node.
///
/// # Reference
///
/// Section 5 and figure 10.
pub fn inception_b(b: &mut GraphBuilder, x: NodeId) -> Result<NodeId> {
    let branch3x3 = halving_conv(b, "branch3x3", x, 384)?;

    let y = conv(b, "branch3x3dbl_1", x, 64, [1, 1])?;
    let y = conv(b, "branch3x3dbl_2", y, 96, [3, 3])?;
    let branch3x3dbl = halving_conv(b, "branch3x3dbl_3", y, 96)?;

    let branch_pool = b.max_pool2d("branch_pool", x, halving_pool())?;
    Ok(b.concat("concat", &[branch3x3, branch3x3dbl, branch_pool])?)
}

/// Adds module C: 7x7 windows as a 1x7 and a 7x1, once in one branch and twice in another.
///
/// `[N, C, H, W]` to `[N, 768, H, W]`, with `channels` channels between the factors; the output's
/// node is `concat`.
///
/// # Errors
///
/// The builder's errors, which name the node.
///
/// # Reference
///
/// Section 3.2 and figure 6, with n = 7.
pub fn inception_c(b: &mut GraphBuilder, x: NodeId, channels: usize) -> Result<NodeId> {
    let branch1x1 = conv(b, "branch1x1", x, 192, [1, 1])?;

    let y = conv(b, "branch7x7_1", x, channels, [1, 1])?;
    let y = conv(b, "branch7x7_2", y, channels, [1, 7])?;
    let branch7x7 = conv(b, "branch7x7_3", y, 192, [7, 1])?;

    let y = conv(b, "branch7x7dbl_1", x, channels, [1, 1])?;
    let y = conv(b, "branch7x7dbl_2", y, channels, [7, 1])?;
    let y = conv(b, "branch7x7dbl_3", y, channels, [1, 7])?;
    let y = conv(b, "branch7x7dbl_4", y, channels, [7, 1])?;
    let branch7x7dbl = conv(b, "branch7x7dbl_5", y, 192, [1, 7])?;

    let branch_pool = pooled(b, x, 192)?;
    let branches = [branch1x1, branch7x7, branch7x7dbl, branch_pool];
    Ok(b.concat("concat", &branches)?)
}

/// Adds module D, which halves the size like B, with a factorised 7x7 in one branch.
///
/// `[N, C, H, W]` to `[N, 512 + C, (H - 1) div 2, (W - 1) div 2]`; the output's node is `concat`.
///
/// # Errors
///
/// The builder's errors, which name the node.
///
/// # Reference
///
/// Section 5; the figure shows B.
pub fn inception_d(b: &mut GraphBuilder, x: NodeId) -> Result<NodeId> {
    let y = conv(b, "branch3x3_1", x, 192, [1, 1])?;
    let branch3x3 = halving_conv(b, "branch3x3_2", y, 320)?;

    let y = conv(b, "branch7x7x3_1", x, 192, [1, 1])?;
    let y = conv(b, "branch7x7x3_2", y, 192, [1, 7])?;
    let y = conv(b, "branch7x7x3_3", y, 192, [7, 1])?;
    let branch7x7x3 = halving_conv(b, "branch7x7x3_4", y, 192)?;

    let branch_pool = b.max_pool2d("branch_pool", x, halving_pool())?;
    Ok(b.concat("concat", &[branch3x3, branch7x7x3, branch_pool])?)
}

/// Adds module E: 3x3 windows as a 1x3 and a 3x1 in parallel, for many channels on small maps.
///
/// `[N, C, H, W]` to `[N, 2048, H, W]`; the output's node is `concat`.
///
/// # Errors
///
/// The builder's errors, which name the node.
///
/// # Reference
///
/// Figure 7.
pub fn inception_e(b: &mut GraphBuilder, x: NodeId) -> Result<NodeId> {
    let branch1x1 = conv(b, "branch1x1", x, 320, [1, 1])?;

    let y = conv(b, "branch3x3_1", x, 384, [1, 1])?;
    let branch3x3a = conv(b, "branch3x3_2a", y, 384, [1, 3])?;
    let branch3x3b = conv(b, "branch3x3_2b", y, 384, [3, 1])?;

    let y = conv(b, "branch3x3dbl_1", x, 448, [1, 1])?;
    let y = conv(b, "branch3x3dbl_2", y, 384, [3, 3])?;
    let branch3x3dbl_a = conv(b, "branch3x3dbl_3a", y, 384, [1, 3])?;
    let branch3x3dbl_b = conv(b, "branch3x3dbl_3b", y, 384, [3, 1])?;

    let branch_pool = pooled(b, x, 192)?;
    let branches = [
        branch1x1,
        branch3x3a,
        branch3x3b,
        branch3x3dbl_a,
        branch3x3dbl_b,
        branch_pool,
    ];
    Ok(b.concat("concat", &branches)?)
}

/// Adds a convolution that preserves the size: padding of half the window on all sides.
fn conv(
    b: &mut GraphBuilder,
    name: &str,
    x: NodeId,
    channels: usize,
    size: [usize; 2],
) -> Result<NodeId> {
    let [h, w] = size.map(|size| size / 2);
    let padding = Padding::Explicit([h, w, h, w]);
    basic_conv2d(b, name, x, Conv2d::new(channels, size).padding(padding))
}

/// Adds a 3x3 convolution with stride 2 and no padding.
fn halving_conv(b: &mut GraphBuilder, name: &str, x: NodeId, channels: usize) -> Result<NodeId> {
    basic_conv2d(b, name, x, Conv2d::new(channels, [3, 3]).stride([2, 2]))
}

/// Returns a 3x3 max pool with stride 2 and no padding.
fn halving_pool() -> MaxPool2d {
    MaxPool2d::new([3, 3]).stride([2, 2])
}

/// Adds the pool branch: a 3x3 average pool that preserves the size, and a 1x1 convolution.
fn pooled(b: &mut GraphBuilder, x: NodeId, channels: usize) -> Result<NodeId> {
    let pool = AvgPool2d::new([3, 3])
        .stride([1, 1])
        .padding(Padding::all(1));
    let y = b.scope("branch_pool", |b| b.avg_pool2d("pool", x, pool))?;
    conv(b, "branch_pool", y, channels, [1, 1])
}
