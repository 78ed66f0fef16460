//! Draws labelled boxes on a made-up picture: `cargo run -p image-data --example labels labels.png`

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use image_data::{BBox, DrawnBox, Picture, draw_boxes};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1);
    let path = path.map_or(PathBuf::from("labels.png"), PathBuf::from);
    draw(&path, &mut io::stdout())
}

/// Draws the picture and writes it to the file at `path`.
pub(crate) fn draw(path: &Path, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let (width, height) = (480, 320);
    let pixels: Vec<u8> = (0..width * height)
        .flat_map(|at| {
            let (x, y) = (at % width, at / width);
            [x * 255 / width, y * 255 / height, 128].map(|channel| channel as u8)
        })
        .collect();
    let picture = Picture::from_rgb(width, height, 3 * width, &pixels)?;

    let label = |text: &str, [x1, y1, x2, y2]: [f32; 4], color_index| DrawnBox {
        bbox: BBox::from_xyxy(x1, y1, x2, y2),
        text: text.to_owned(),
        color_index,
    };
    let labels = [
        label("dog 0.87", [40.0, 60.0, 200.0, 250.0], 0),
        label("Ёж, żółw & σκύλος 0.50", [220.0, 120.0, 440.0, 300.0], 3),
    ];
    draw_boxes(&picture, &labels)?.save_png(path)?;
    writeln!(
        out,
        "{}: two boxes with their labels",
        files::show::name(path.as_os_str())
    )?;
    Ok(())
}
