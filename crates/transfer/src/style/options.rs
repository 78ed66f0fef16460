//! The layers and the options of a style transfer.

use crate::error::{Error, Result};

/// The layers of a backbone that describe a picture's content and its style, by the names of their
/// nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StyleLayers {
    /// The nodes whose tensors are the content: far enough from the picture to describe shapes rather
    /// than pixels.
    pub content: Vec<String>,
    /// The nodes whose Gram matrices are the style, each with the same weight. Those near the picture
    /// describe colours and fine textures, later ones larger patterns.
    pub style: Vec<String>,
}

impl StyleLayers {
    /// Layers with these names.
    #[must_use]
    pub fn new<'a>(
        content: impl IntoIterator<Item = &'a str>,
        style: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self {
            content: content.into_iter().map(str::to_owned).collect(),
            style: style.into_iter().map(str::to_owned).collect(),
        }
    }
}

/// The options of a [`StyleTransfer`](crate::StyleTransfer).
#[derive(Clone, Debug, PartialEq)]
pub struct StyleOptions {
    /// The number of steps of [`StyleTransfer::run`](crate::StyleTransfer::run). Default 150.
    pub steps: u64,
    /// The longest side of the result in pixels, at least 1: larger pictures are made smaller, with their
    /// proportions kept. Default 384.
    pub size: usize,
    /// The weight of the content loss, at least 0. Default 1.
    pub content_weight: f64,
    /// The weight of the style loss, above 0. Default 10.
    pub style_weight: f64,
    /// The weight of the smoothness, at least 0: the mean squared difference of neighbouring pixels. It
    /// keeps the picture from becoming noisy. Default 20.
    pub smoothness: f64,
    /// Adam's learning rate, above 0. A pixel is between 0, black, and 1, white. Default 0.02.
    pub rate: f64,
}

impl Default for StyleOptions {
    fn default() -> Self {
        Self {
            steps: 150,
            size: 384,
            content_weight: 1.0,
            style_weight: 10.0,
            smoothness: 20.0,
            rate: 0.02,
        }
    }
}

/// Checks the options and that neither list of layers is empty.
pub(super) fn check(layers: &StyleLayers, options: &StyleOptions) -> Result<()> {
    let StyleOptions {
        steps: _,
        size,
        content_weight,
        style_weight,
        smoothness,
        rate,
    } = *options;
    let is_weight = |x: f64| x.is_finite() && x >= 0.0;
    let is_positive = |x: f64| x.is_finite() && x > 0.0;
    let weight = "a finite number that is not negative";
    let positive = "a finite number above 0";
    let checks = [
        (
            "number of content nodes",
            layers.content.len() as f64,
            !layers.content.is_empty(),
            "at least 1",
        ),
        (
            "number of style nodes",
            layers.style.len() as f64,
            !layers.style.is_empty(),
            "at least 1",
        ),
        ("size", size as f64, size > 0, "at least 1"),
        (
            "content weight",
            content_weight,
            is_weight(content_weight),
            weight,
        ),
        (
            "style weight",
            style_weight,
            is_positive(style_weight),
            positive,
        ),
        ("smoothness", smoothness, is_weight(smoothness), weight),
        ("rate", rate, is_positive(rate), positive),
    ];
    match checks.into_iter().find(|&(_, _, fits, _)| !fits) {
        None => Ok(()),
        Some((option, got, _, expected)) => Err(Error::StyleOption {
            option,
            got,
            expected,
        }),
    }
}
