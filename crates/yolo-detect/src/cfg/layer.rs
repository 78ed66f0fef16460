//! A cfg's sections as typed values.

use crate::anchors::Anchor;
use crate::loss::{RegionLossOptions, YoloLossOptions};

/// `[net]` or `[network]`: the network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    /// Input height in pixels; required.
    pub height: usize,
    /// Input width in pixels; required.
    pub width: usize,
    /// Input channels; required.
    pub channels: usize,
    /// Whether the program that trained the network letterboxed pictures. A key of A. Bochkovskiy's
    /// fork, which otherwise stretches them; default no. A [`Detector`](crate::Detector) goes by
    /// its options whatever this says.
    pub letter_box: bool,
}

/// One layer.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// `[convolutional]` or `[conv]`.
    Convolutional(Convolutional),
    /// `[maxpool]` or `[max]`.
    MaxPool(MaxPool),
    /// `[avgpool]` or `[avg]`: the mean of each channel's plane.
    AvgPool,
    /// `[route]`: the outputs of earlier layers, concatenated along the channels.
    Route(Route),
    /// `[shortcut]`: the sum with an earlier layer.
    Shortcut(Shortcut),
    /// `[upsample]`: each pixel repeated.
    Upsample(Upsample),
    /// `[reorg]`: blocks of pixels become channels, in darknet's own order.
    Reorg(Reorg),
    /// `[connected]` or `[conn]`: a dense layer.
    Connected(Connected),
    /// `[dropout]`: does nothing at inference.
    Dropout {
        /// The share that training drops, at least 0 and less than 1; default 0.5.
        probability: f32,
    },
    /// `[softmax]` or `[soft]`: over all elements of the input.
    Softmax,
    /// `[cost]`: does nothing at inference.
    Cost,
    /// `[region]`: the detection head of YOLOv2.
    Region(Region),
    /// `[yolo]`: a detection head of YOLOv3.
    Yolo(Yolo),
}

/// `[convolutional]`: cross-correlation, batch normalisation if it is on, activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolutional {
    /// Output channels; default 1.
    pub filters: usize,
    /// Kernel height and width; default 1.
    pub size: usize,
    /// Stride of both axes; default 1.
    pub stride: usize,
    /// Zeros added on each side: `size / 2` where `pad` is not 0, else `padding`; default 0.
    pub padding: usize,
    /// Groups of channels that are convolved separately; default 1.
    pub groups: usize,
    /// Whether batch normalisation replaces the bias; default no.
    pub batch_normalize: bool,
    /// The activation; default logistic.
    pub activation: Activation,
}

/// `[maxpool]`. The output's length is `(input + padding - size) / stride + 1`, and the first window
/// begins `padding / 2` before the input. Padding is never the maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// Window height and width; default `stride`.
    pub size: usize,
    /// Stride of both axes; default 1.
    pub stride: usize,
    /// Padding of both ends together; default `size - 1`, with which stride 1 keeps the size.
    pub padding: usize,
}

/// `[route]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The layers' absolute numbers, all less than this one's.
    pub layers: Vec<usize>,
    /// The number of parts that each layer's channels are split into; default 1.
    pub groups: usize,
    /// The part that is taken, from 0; default 0.
    pub group_id: usize,
}

/// `[shortcut]`: `activation(previous + from)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortcut {
    /// The absolute number of the layer that is added, less than this one's.
    pub from: usize,
    /// The activation of the sum; default linear.
    pub activation: Activation,
}

/// `[upsample]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upsample {
    /// How many times each pixel is repeated along both axes; default 2.
    pub stride: usize,
}

/// `[reorg]`: a picture of `stride * stride` times the channels, with both axes `stride` times shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reorg {
    /// The side of a block; default 1.
    pub stride: usize,
}

/// `[connected]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connected {
    /// The number of outputs; default 1.
    pub output: usize,
    /// Whether batch normalisation replaces the bias; default no.
    pub batch_normalize: bool,
    /// The activation; default logistic.
    pub activation: Activation,
}

/// `[region]`: YOLOv2's head (J. Redmon and A. Farhadi, "YOLO9000: Better, Faster, Stronger", 2016,
/// section 2).
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// `num` anchors in grid cells; `num` defaults to 1, missing anchors to 0.5 x 0.5.
    pub anchors: Vec<Anchor>,
    /// The number of classes; default 20.
    pub classes: usize,
    /// Whether class scores go through a softmax instead of logistic functions; default no.
    pub softmax: bool,
    /// How the head is trained.
    pub loss: RegionLossOptions,
}

/// `[yolo]`: a detection head of YOLOv3 (J. Redmon and A. Farhadi, "YOLOv3: An Incremental Improvement",
/// 2018, section 2).
#[derive(Clone, Debug, PartialEq)]
pub struct Yolo {
    /// The `num` anchors of all heads, in pixels of the network's input; `num` defaults to 1,
    /// missing anchors to 0.5 x 0.5.
    pub anchors: Vec<Anchor>,
    /// The numbers of the anchors that this head uses; default all.
    pub mask: Vec<usize>,
    /// The number of classes; default 20.
    pub classes: usize,
    /// How the head is trained.
    pub loss: YoloLossOptions,
}

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x`
    Linear,
    /// `x` where positive, elsewhere `0.1 x`.
    Leaky,
    /// `max(x, 0)`
    Relu,
    /// `1 / (1 + exp(-x))`
    Logistic,
}
