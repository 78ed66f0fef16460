//! The options of a style transfer.

use crate::error::{Error, Result};

/// The options of a [`StyleTransfer`](crate::StyleTransfer).
#[derive(Clone, Debug, PartialEq)]
pub struct StyleOptions {
    /// The nodes whose tensors are the content: far enough from the picture to describe shapes rather
    /// than pixels.
    pub content: Vec<String>,
    /// The nodes whose Gram matrices are the style, each with the same weight. Those near the picture
    /// describe colours and fine textures, later ones larger patterns.
    pub style: Vec<String>,
    /// The weight of the style loss; that of the content loss is 1. Above 0.
    pub strength: f64,
    /// The weight of the squared differences of neighbouring pixels, at least 0. It keeps the picture
    /// from becoming noisy.
    pub smoothness: f64,
    /// Adam's learning rate, in units of the network's input. Above 0.
    pub rate: f64,
}

impl StyleOptions {
    /// Options for these nodes, with a strength of 100, a smoothness of 0.1 and a rate of 0.03.
    #[must_use]
    pub fn new<'a>(
        content: impl IntoIterator<Item = &'a str>,
        style: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self {
            content: content.into_iter().map(str::to_owned).collect(),
            style: style.into_iter().map(str::to_owned).collect(),
            strength: 100.0,
            smoothness: 0.1,
            rate: 0.03,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let refuse = |option, got, expected| {
            Err(Error::StyleOption {
                option,
                got,
                expected,
            })
        };
        let is_positive = |x: f64| x.is_finite() && x > 0.0;
        if self.content.is_empty() {
            return refuse("number of content nodes", 0.0, "at least 1");
        }
        if self.style.is_empty() {
            return refuse("number of style nodes", 0.0, "at least 1");
        }
        if !is_positive(self.strength) {
            return refuse("strength", self.strength, "a finite number above 0");
        }
        if !is_positive(self.rate) {
            return refuse("rate", self.rate, "a finite number above 0");
        }
        if !(self.smoothness.is_finite() && self.smoothness >= 0.0) {
            let expected = "a finite number that is not negative";
            return refuse("smoothness", self.smoothness, expected);
        }
        Ok(())
    }
}
