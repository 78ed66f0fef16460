//! The sections of a cfg as typed values.

use crate::anchors::Anchor;

/// `[net]` or `[network]`: what the network takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    /// Input height in pixels; must be given.
    pub height: usize,
    /// Input width in pixels; must be given.
    pub width: usize,
    /// Input channels; must be given.
    pub channels: usize,
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
    /// `[route]`: outputs of earlier layers one behind the other.
    Route(Route),
    /// `[shortcut]`: the sum with an earlier layer.
    Shortcut(Shortcut),
    /// `[upsample]`: each pixel repeated.
    Upsample(Upsample),
    /// `[reorg]`: pixels to channels, in darknet's own order.
    Reorg(Reorg),
    /// `[connected]` or `[conn]`: every input to every output.
    Connected(Connected),
    /// `[dropout]`: passes its input through when the network runs.
    Dropout {
        /// The share that training drops, from 0 up to but not 1; default 0.5.
        probability: f32,
    },
    /// `[softmax]` or `[soft]`: over all numbers of the input.
    Softmax,
    /// `[cost]`: passes its input through when the network runs.
    Cost,
    /// `[region]`: the detection head of YOLOv2.
    Region(Region),
    /// `[yolo]`: a detection head of YOLOv3.
    Yolo(Yolo),
}

/// `[convolutional]`: cross-correlation, batch normalisation if any, activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolutional {
    /// Output channels; default 1.
    pub filters: usize,
    /// Kernel height and width; default 1.
    pub size: usize,
    /// Step in both axes; default 1.
    pub stride: usize,
    /// Zeros on all four sides: `size / 2` where `pad` is not 0, else `padding`; default 0.
    pub padding: usize,
    /// Groups of channels that do not see one another; default 1.
    pub groups: usize,
    /// Whether batch normalisation takes the place of a plain bias; default no.
    pub batch_normalize: bool,
    /// What is applied last; default logistic.
    pub activation: Activation,
}

/// `[maxpool]`. The output is `(input + padding - size) / stride + 1` long, and the first window
/// begins `padding / 2` before the input. What lies outside never is the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// Window height and width; default `stride`.
    pub size: usize,
    /// Step in both axes; default 1.
    pub stride: usize,
    /// Padding of both ends together; default `size - 1`, so that stride 1 keeps the size.
    pub padding: usize,
}

/// `[route]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Absolute numbers of the layers, which all come before this one.
    pub layers: Vec<usize>,
    /// Into how many parts each layer's channels are split; default 1.
    pub groups: usize,
    /// Which of the parts is taken; default 0.
    pub group_id: usize,
}

/// `[shortcut]`: `activation(previous + from)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortcut {
    /// Absolute number of the layer that is added, which comes before this one.
    pub from: usize,
    /// What is applied to the sum; default linear.
    pub activation: Activation,
}

/// `[upsample]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upsample {
    /// How often each pixel is repeated in both axes; default 2.
    pub stride: usize,
}

/// `[reorg]`: `stride * stride` times the channels, each axis `stride` times shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reorg {
    /// The block's side; default 1.
    pub stride: usize,
}

/// `[connected]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connected {
    /// How many outputs; default 1.
    pub output: usize,
    /// Whether batch normalisation takes the place of a plain bias; default no.
    pub batch_normalize: bool,
    /// What is applied last; default logistic.
    pub activation: Activation,
}

/// `[region]`: YOLOv2's head (J. Redmon and A. Farhadi, "YOLO9000: Better, Faster, Stronger", 2016,
/// section 2).
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// `num` anchors in grid cells; `num` defaults to 1, missing anchors to 0.5 x 0.5.
    pub anchors: Vec<Anchor>,
    /// How many classes; default 20.
    pub classes: usize,
    /// Whether class scores compete (softmax) or stand alone (logistic); default no.
    pub softmax: bool,
}

/// `[yolo]`: a head of YOLOv3 (J. Redmon and A. Farhadi, "YOLOv3: An Incremental Improvement",
/// 2018, section 2).
#[derive(Clone, Debug, PartialEq)]
pub struct Yolo {
    /// `num` anchors in pixels of the network's input, those of all heads; `num` defaults to 1,
    /// missing anchors to 0.5 x 0.5.
    pub anchors: Vec<Anchor>,
    /// Which of the anchors this head uses; default all.
    pub mask: Vec<usize>,
    /// How many classes; default 20.
    pub classes: usize,
}

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x`
    Linear,
    /// `x` where positive, else `0.1 x`.
    Leaky,
    /// `max(x, 0)`
    Relu,
    /// `1 / (1 + exp(-x))`
    Logistic,
}
