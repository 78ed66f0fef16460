//! Draws two pictures for a style transfer: a landscape as content, and painted waves as style. Once there
//! is a result, the three are put side by side, as in `docs/images/style.png`.
//!
//! ```text
//! cargo run --release -p transfer --example drawn_pictures -- FOLDER
//! cargo convoxide stylize --content FOLDER/content.png --style FOLDER/style.png \
//!     --output FOLDER/result.png
//! cargo run --release -p transfer --example drawn_pictures -- FOLDER
//! ```

use std::error::Error;
use std::path::Path;

use image_data::{Limits, Picture};

/// Width and height of a picture.
const SIDE: usize = 180;
/// Width and height of the grid of points in a pixel, over which its colour is averaged.
const POINTS: usize = 3;
/// The pixels between two pictures.
const GAP: usize = 6;

type Colour = [f64; 3];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1);
    let folder = folder.ok_or("expected a folder for the pictures")?;
    for file in write(Path::new(&folder))? {
        println!("{file}");
    }
    Ok(())
}

/// Writes the pictures, and returns the names of their files.
pub(crate) fn write(folder: &Path) -> Result<Vec<&'static str>, Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    let (content, style) = (draw(landscape)?, draw(waves)?);
    content.save_png(folder.join("content.png"))?;
    style.save_png(folder.join("style.png"))?;
    let mut files = vec!["content.png", "style.png"];
    let result = folder.join("result.png");
    if result.is_file() {
        let result = Picture::open(result, &Limits::default())?;
        beside(&[content, style, result])?.save_png(folder.join("beside.png"))?;
        files.push("beside.png");
    }
    Ok(files)
}

/// Draws a picture from the colour of each point; `x` and `y` are from 0 to 1, from the top left.
fn draw(colour: fn(f64, f64) -> Colour) -> image_data::Result<Picture> {
    let fine = SIDE * POINTS;
    let at = |pixel: usize, point: usize| (pixel * POINTS + point) as f64 / fine as f64;
    let mut rgb = Vec::with_capacity(3 * SIDE * SIDE);
    for row in 0..SIDE {
        for column in 0..SIDE {
            let mut sum = [0.0; 3];
            for point in 0..POINTS * POINTS {
                let (x, y) = (at(column, point % POINTS), at(row, point / POINTS));
                let colour = colour(x, y);
                sum = [0, 1, 2].map(|channel: usize| sum[channel] + colour[channel]);
            }
            // From 0 to 255, and saturating.
            rgb.extend(sum.map(|sum| (sum / (POINTS * POINTS) as f64).round() as u8));
        }
    }
    Picture::from_rgb(SIDE, SIDE, 3 * SIDE, &rgb)
}

/// A house on a hill below the sun.
fn landscape(x: f64, y: f64) -> Colour {
    let is_within = |from: f64, to: f64, value: f64| (from..to).contains(&value);
    let hill = 0.72 + 0.05 * (7.0 * x + 0.6).sin();
    let mountain = 0.42 + 0.16 * (5.0 * x + 2.4).sin().abs() + 0.05 * (13.0 * x).sin();
    // The house: a roof whose edges fall at 45 degrees, a door and a window.
    let (left, right, top, bottom) = (0.52, 0.8, 0.52, 0.78);
    let roof = 0.36 + (x - 0.66).abs();
    if is_within(left, right, x) && is_within(top, bottom, y) {
        return match (x, y) {
            (x, y) if is_within(0.7, 0.76, x) && y > 0.64 => [92.0, 52.0, 36.0],
            (x, y) if is_within(0.56, 0.65, x) && is_within(0.58, 0.67, y) => [250.0, 226.0, 130.0],
            _ => [236.0, 222.0, 196.0],
        };
    }
    if is_within(left - 0.03, right + 0.03, x) && is_within(roof, top, y) {
        return [176.0, 58.0, 46.0];
    }
    // A tree.
    if (x - 0.24).hypot(1.1 * (y - 0.56)) < 0.11 {
        return [46.0, 112.0, 58.0];
    }
    if is_within(0.225, 0.255, x) && is_within(0.62, 0.8, y) {
        return [96.0, 64.0, 40.0];
    }
    if y > hill {
        let share = (y - hill) / (1.0 - hill);
        return [
            112.0 - 40.0 * share,
            160.0 - 40.0 * share,
            70.0 - 20.0 * share,
        ];
    }
    if (x - 0.3).hypot(y - 0.2) < 0.09 {
        return [255.0, 214.0, 92.0];
    }
    if y > mountain {
        return [122.0, 136.0, 168.0];
    }
    [128.0 + 90.0 * y, 178.0 + 70.0 * y, 226.0 + 30.0 * y]
}

/// Bands of strong colours along swirling lines.
fn waves(x: f64, y: f64) -> Colour {
    const PALETTE: [Colour; 6] = [
        [18.0, 40.0, 110.0],
        [34.0, 92.0, 184.0],
        [104.0, 176.0, 220.0],
        [248.0, 240.0, 214.0],
        [240.0, 176.0, 40.0],
        [196.0, 66.0, 34.0],
    ];
    // Turns a point around a centre, the more the nearer it is.
    let swirl = |(x, y): (f64, f64), (cx, cy): (f64, f64), turn: f64| {
        let (dx, dy) = (x - cx, y - cy);
        let (sin, cos) = (turn * (-4.0 * dx.hypot(dy)).exp()).sin_cos();
        (cx + cos * dx - sin * dy, cy + sin * dx + cos * dy)
    };
    let point = swirl((x, y), (0.3, 0.35), 9.0);
    let point = swirl(point, (0.75, 0.62), -8.0);
    let (x, y) = swirl(point, (0.25, 0.85), 6.0);
    let bent = 0.8 * y + 0.25 * x + 0.04 * (9.0 * x + 5.0 * y).sin();
    // The remainder is from 0 to 1, so the index is below the length.
    let band = (4.5 * bent).rem_euclid(1.0) * PALETTE.len() as f64;
    let edge = (band.fract() - 0.5).abs();
    let colour = PALETTE[(band as usize).min(PALETTE.len() - 1)];
    let shade = if edge > 0.42 { 0.6 } else { 1.0 };
    colour.map(|value| shade * value)
}

/// Pictures of the same height, with white between them.
fn beside(pictures: &[Picture]) -> image_data::Result<Picture> {
    let height = pictures.iter().map(Picture::height).min().unwrap_or(1);
    let mut rows = Vec::new();
    let mut width = 0;
    for row in 0..height {
        let start = rows.len();
        for (number, picture) in pictures.iter().enumerate() {
            if number > 0 {
                rows.extend([255; 3 * GAP]);
            }
            let line = 3 * picture.width();
            rows.extend(&picture.rgb()[row * line..(row + 1) * line]);
        }
        width = (rows.len() - start) / 3;
    }
    Picture::from_rgb(width, height, 3 * width, &rows)
}
