//! The network: a stem, stages of inverted residuals, a classifier.

use nn_layers::{Conv2d, Graph, GraphBuilder, Linear};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    inverted_residual::{InvertedResidual, conv_bn_relu6, conv3x3, inverted_residual},
};

/// The description of a MobileNetV2.
///
/// [`mobilenet_v2`](Self::mobilenet_v2) is the paper's network, with torchvision's parameter names
/// and values; change a field to get a different one:
///
/// ```
/// use mobilenet::MobileNetV2;
///
/// // Half as wide, for ten classes of grey pictures.
/// let network = MobileNetV2 { width: 0.5, classes: 10, in_channels: 1, ..MobileNetV2::mobilenet_v2() };
/// let graph = network.graph([96, 96])?;
/// let map = graph.find("features.18.2").and_then(|id| graph.node(id));
/// assert_eq!(map.map(|node| node.shape().to_string()), Some("1x1280x3x3".into()));
/// # Ok::<(), mobilenet::Error>(())
/// ```
///
/// As JSON it is one object with exactly these fields.
///
/// Reference: Sandler, Howard, Zhu, Zhmoginov and Chen, "MobileNetV2: Inverted Residuals and Linear
/// Bottlenecks", 2018, section 4 and table 2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MobileNetV2 {
    /// The width multiplier, above 0: the factor of every number of channels but the last feature
    /// map's, which is never below 1280. The products are rounded to multiples of
    /// [`divisor`](Self::divisor).
    pub width: f64,
    /// The stages of inverted residuals.
    pub stages: Vec<Stage>,
    /// Numbers of channels are multiples of this. Rounding takes away at most a tenth of them.
    pub divisor: usize,
    /// The probability with which training drops each feature before the classifier.
    pub dropout: f64,
    /// The input's channels.
    pub in_channels: usize,
    /// The number of logits.
    pub classes: usize,
}

/// Some [inverted residuals](inverted_residual) of the same width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// The expansion of each block: the paper's `t`.
    pub expansion: usize,
    /// The output channels of each block before the width multiplier: `c`.
    pub channels: usize,
    /// The number of blocks: `n`.
    pub blocks: usize,
    /// The stride of the first block; the others have stride 1: `s`.
    pub stride: usize,
}

impl MobileNetV2 {
    /// The maximum number of blocks of a network. The paper's network has 17.
    pub const MAX_BLOCKS: usize = 1024;

    /// The maximum number of parameters of a network, so that a hostile configuration cannot
    /// exhaust the memory. The paper's network has 3.5 million.
    pub const MAX_PARAMETERS: usize = 1 << 30;

    /// The names that [`named`](Self::named) accepts.
    pub const NAMES: &[&str] = &["mobilenet_v2"];

    /// The channels of the stem and of the last feature map before the width multiplier.
    const ENDS: [usize; 2] = [32, 1280];

    /// MobileNetV2 for ImageNet: width 1, 1000 classes, 3.5 M parameters.
    #[must_use]
    #[expect(
        clippy::self_named_constructors,
        reason = "the name of the network, as in torchvision"
    )]
    pub fn mobilenet_v2() -> Self {
        let stage = |[expansion, channels, blocks, stride]: [usize; 4]| Stage {
            expansion,
            channels,
            blocks,
            stride,
        };
        let stages = [
            [1, 16, 1, 1],
            [6, 24, 2, 2],
            [6, 32, 3, 2],
            [6, 64, 4, 2],
            [6, 96, 3, 1],
            [6, 160, 3, 2],
            [6, 320, 1, 1],
        ];
        Self {
            width: 1.0,
            stages: stages.into_iter().map(stage).collect(),
            divisor: 8,
            dropout: 0.2,
            in_channels: 3,
            classes: 1000,
        }
    }

    /// Returns the network with this name, as in torchvision.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "mobilenet_v2" => Some(Self::mobilenet_v2()),
            _ => None,
        }
    }

    /// Returns the graph at a nominal input size `[h, w]`. It accepts any other size and any batch,
    /// too.
    ///
    /// One input, `image`, `[N, in_channels, H, W]`, and one output, `classifier.1`,
    /// `[N, classes]`: the logits. Parameters have torchvision's names.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] and [`Error::TooManyParameters`] for an invalid configuration;
    /// [`Error::Graph`], which names the node, for sizes that are 0 or too large.
    pub fn graph(&self, size: [usize; 2]) -> Result<Graph> {
        self.check()?;
        let [h, w] = size;
        let [stem, last] = Self::ENDS;
        let mut b = GraphBuilder::new();
        let image = b.input("image", [1, self.in_channels, h, w])?;

        // The shapes in the comments are those of width 1 at 224x224.
        let stem = conv3x3(self.channels(stem, self.width), 2);
        let mut x = conv_bn_relu6(&mut b, "features.0", image, stem)?; // 32 x 112 x 112
        let mut index = 1;
        for stage in &self.stages {
            // 16 x 112 x 112, 24 x 56 x 56, 32 x 28 x 28, 64 x 14 x 14, 96 x 14 x 14,
            // 160 x 7 x 7, 320 x 7 x 7
            for number in 0..stage.blocks {
                let block = InvertedResidual {
                    expansion: stage.expansion,
                    out_channels: self.channels(stage.channels, self.width),
                    stride: if number == 0 { stage.stride } else { 1 },
                };
                x = b.scope(&format!("features.{index}"), |b| {
                    inverted_residual(b, x, &block)
                })?;
                index += 1;
            }
        }
        let last = Conv2d::new(self.channels(last, self.width.max(1.0)), [1, 1]);
        x = conv_bn_relu6(&mut b, &format!("features.{index}"), x, last)?; // 1280 x 7 x 7
        let x = b.global_avg_pool2d("avgpool", x)?; // 1280 x 1 x 1
        let x = b.flatten("flatten", x)?;
        let x = b.dropout("classifier.0", x, self.dropout)?;
        let logits = b.linear("classifier.1", x, Linear::new(self.classes))?;
        let graph = b.finish(&[logits])?;
        check_parameters(&graph)?;
        Ok(graph)
    }

    /// Returns the input size `[h, w]` of the paper's training and tests.
    #[must_use]
    pub fn input_size(&self) -> [usize; 2] {
        [224, 224]
    }

    /// Returns a number of channels times the width multiplier, rounded to the nearest multiple of the
    /// divisor, or to the next one if rounding takes away more than a tenth.
    fn channels(&self, channels: usize, width: f64) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive, as `check` has made sure, and saturating"
        )]
        let whole = |x: f64| x as usize;
        let scaled = channels as f64 * width;
        let divisor = self.divisor as f64;
        let rounded = (whole(scaled + divisor / 2.0) / self.divisor).max(1);
        // A saturated product is rejected as too large when the node is added.
        let rounded = rounded.saturating_mul(self.divisor);
        if (rounded as f64) < 0.9 * scaled {
            rounded.saturating_add(self.divisor)
        } else {
            rounded
        }
    }

    /// Checks the fields that the graph does not.
    fn check(&self) -> Result<()> {
        let field = |field: &str, got: &dyn ToString, expected: &str| {
            Err(Error::Field {
                field: field.to_owned(),
                got: got.to_string(),
                expected: expected.to_owned(),
            })
        };
        if !(self.width > 0.0 && self.width.is_finite()) {
            return field("width", &self.width, "a finite number above 0");
        }
        if self.divisor == 0 {
            return field("divisor", &self.divisor, "at least 1");
        }
        for (number, stage) in self.stages.iter().enumerate() {
            let sizes = [
                ("expansion", stage.expansion),
                ("channels", stage.channels),
                ("blocks", stage.blocks),
                ("stride", stage.stride),
            ];
            if let Some((name, got)) = sizes.into_iter().find(|&(_, size)| size == 0) {
                return field(&format!("stages[{number}].{name}"), &got, "at least 1");
            }
        }
        let blocks = self
            .stages
            .iter()
            .fold(0, |n: usize, stage| n.saturating_add(stage.blocks));
        if blocks > Self::MAX_BLOCKS {
            let expected = format!("at most {}", Self::MAX_BLOCKS);
            return field("the number of blocks in stages", &blocks, &expected);
        }
        Ok(())
    }
}

fn check_parameters(graph: &Graph) -> Result<()> {
    let got = graph.param_elements();
    let limit = MobileNetV2::MAX_PARAMETERS;
    if got <= limit {
        Ok(())
    } else {
        Err(Error::TooManyParameters { got, limit })
    }
}
