//! Residual networks: ResNet, ResNeXt, Wide ResNet and the CIFAR family.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod block;
mod error;
mod init;
mod resnet;
mod variants;

pub use block::{BlockOptions, Middle, Order, Shortcut, basic_block, bottleneck};
pub use error::{Error, Result};
pub use resnet::{Block, ResNet, Stem};
