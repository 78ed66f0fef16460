//! Files and names, for every crate that touches a disk or prints names found there.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod cache;
mod error;
mod kind;
mod nearest;
mod open;
pub mod show;
pub mod whole_file;

pub use error::{Error, Result};
pub use kind::Kind;
pub use nearest::{did_you_mean, nearest};
pub use open::open;
