//! Finds the outline of a disc: two kernels, one for each direction, and the length of what they say.
//!
//! `cargo run -p conv-core --example edges`

use std::io::{self, Write};

use conv_core::ndarray::{Array2, Zip, array};
use conv_core::{CorrelateOptions, cross_correlate2d};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    find(&mut io::stdout())
}

/// Prints a picture, and where it has edges.
pub(crate) fn find(out: &mut dyn Write) -> Result<(), Box<dyn std::error::Error>> {
    // A bright disc of radius 7 on a dark ground.
    let picture = Array2::from_shape_fn((21, 42), |(y, x)| {
        let [dy, dx] = [y as f32 - 10.0, (x as f32 - 20.5) / 2.0];
        if dy.hypot(dx) < 7.0 { 1.0 } else { 0.0 }
    });
    show(&picture, out)?;

    // Sobel's kernels: bright against dark from left to right, and from top to bottom.
    let across = array![[-1.0_f32, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]];
    let down = across.t();
    let options = CorrelateOptions::default();
    let dx = cross_correlate2d(picture.view(), across.view(), &options)?;
    let dy = cross_correlate2d(picture.view(), down, &options)?;
    let edges = Zip::from(&dx).and(&dy).map_collect(|&x, &y| x.hypot(y));
    show(&edges, out)
}

/// Prints a picture in characters, the largest number as the darkest.
fn show(picture: &Array2<f32>, out: &mut dyn Write) -> Result<(), Box<dyn std::error::Error>> {
    let largest = picture.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    for row in picture.rows() {
        let shade = |x: &f32| [' ', '.', '+', '#'][(3.0 * x / largest).ceil() as usize % 4];
        let line: String = row.iter().map(shade).collect();
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(writeln!(out)?)
}
