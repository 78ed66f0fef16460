//! Pictures and boxes for networks: decoding within limits, letterbox, preprocessing,
//! drawing.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod bbox;
mod complete;
mod decode;
mod draw;
mod error;
mod letterbox;
mod limits;
mod picture;
mod preprocessing;
mod resize;
mod text;

pub use bbox::BBox;
pub use draw::{Label, draw_boxes};
pub use error::{Error, Result};
pub use letterbox::Letterbox;
pub use limits::Limits;
pub use picture::Picture;
pub use preprocessing::{ChannelOrder, Preprocessing, Resize, ResizeTo};
pub use resize::Filter;
