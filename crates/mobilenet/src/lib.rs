//! MobileNetV2: inverted residuals and depthwise convolutions.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod error;
mod init;
mod inverted_residual;
mod mobilenet_v2;

pub use error::{Error, Result};
pub use inverted_residual::{InvertedResidual, inverted_residual};
pub use mobilenet_v2::{MobileNetV2, Stage};
