//! Draws the figures of the tutorial: `cargo xtask figures`.
//!
//! The numbers in them are computed by the libraries, as in the pages' examples. A figure is a text
//! that depends on nothing else, so that a test can compare it with the committed file.

mod boxes;
mod sheet;
mod windows;

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1);
    let folder = folder.ok_or("usage: figures FOLDER")?;
    for (name, svg) in all()? {
        let path = Path::new(&folder).join(name);
        std::fs::write(&path, svg)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(())
}

/// The names and the texts of all figures.
///
/// # Errors
///
/// Those of the libraries, none of which is expected.
pub(crate) fn all() -> Result<Vec<(&'static str, String)>, Box<dyn Error>> {
    Ok(vec![
        ("sliding-kernel.svg", windows::sliding_kernel()?),
        ("padding.svg", windows::padding()?),
        ("stride.svg", windows::stride()?),
        ("grid-and-anchors.svg", boxes::grid_and_anchors()?),
        ("iou.svg", boxes::iou()),
        ("nms.svg", boxes::nms()),
    ])
}
