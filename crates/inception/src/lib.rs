//! Inception modules, GoogLeNet and Inception-v3.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod basic_conv2d;
mod cifar;
mod error;
mod factorised;
mod googlenet;
mod heads;
mod inception_v3;
mod module;

pub use cifar::{Branches, CifarInception};
pub use error::{Error, Result};
pub use factorised::{inception_a, inception_b, inception_c, inception_d, inception_e};
pub use googlenet::GoogLeNet;
pub use inception_v3::InceptionV3;
pub use module::{Bottlenecks, InceptionModule};
