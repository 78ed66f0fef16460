//! `convoxide kernels`: the filters of a convolution as a picture.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::RangedU64ValueParser;
use files::show::{count, one_line};
use files::whole_file;
use image_data::{ChannelOrder, Picture};
use ndarray::{ArrayView4, Ix4};
use nn_layers::{Graph, Node, Op};
use serde::Serialize;

use crate::context::Context;
use crate::error::{Error, Near, Reason};
use crate::model::Source;
use crate::{output, suffix};

/// Draw the filters of a convolution as a picture
///
/// The picture shows the trained weights, without batch normalisation folded in.
/// Each filter has its own scale: 0 is mid-grey, and the weight of the largest
/// magnitude is white if it is positive, black if it is negative. Filters with
/// three channels are drawn in colour, filters with one channel in grey; any other
/// filter is a row of grey tiles, one per channel.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    /// Name of the convolution [default: the first one]
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    /// Pixels along each side of a weight [default: 600 across]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1000))]
    scale: Option<usize>,
    /// File to write
    #[arg(long, value_name = "FILE.png")]
    output: PathBuf,
}

/// The command's JSON.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    layer: String,
    filters: usize,
    /// Per filter.
    channels: usize,
    /// `[h, w]`
    kernel_size: [usize; 2],
    colours: Colours,
    scale: usize,
    width: usize,
    height: usize,
    output: String,
}

/// Runs the command.
///
/// # Errors
///
/// File errors, an architecture without weights, a layer that is not a convolution, and a picture that
/// would be too large.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode, Error> {
    suffix::check(&args.output, "a PNG picture", &["png"])?;
    let source = &args.source;
    let model = source.load(context)?;
    let node =
        convolution(&model.graph, args.layer.as_deref()).map_err(|reason| source.fault(reason))?;
    let params = model
        .params
        .as_ref()
        .ok_or_else(|| source.no_weights(model.not_fetched))?;
    let spec = node.param("weight");
    let Some(weight) = spec.and_then(|spec| params.get(spec.name())) else {
        return Err(source.fault(format!("{} has no weight", node.name())));
    };
    let weight = weight.value.view().into_dimensionality::<Ix4>();
    let weight = weight.map_err(|error| source.fault(error))?;
    let order = model
        .description
        .map(|description| description.preprocessing.channels);
    let grid = Grid::new(weight, order, args.scale);
    let picture = grid.draw().map_err(|reason| source.fault(reason))?;
    let png = picture.to_png()?;
    whole_file::replace(&args.output, |file| {
        Ok::<_, files::Error>(file.write_all(&png)?)
    })
    .map_err(|error| Error::Write {
        path: args.output.clone(),
        error,
    })?;

    let (filters, channels, kernel_h, kernel_w) = weight.dim();
    let [height, width] = picture.size();
    let report = Report {
        model: source.model.to_string_lossy().into_owned(),
        layer: node.name().to_owned(),
        filters,
        channels,
        kernel_size: [kernel_h, kernel_w],
        colours: grid.colours,
        scale: grid.scale,
        width,
        height,
        output: args.output.to_string_lossy().into_owned(),
    };
    if context.json {
        output::json(&report)?;
    } else {
        let layer = one_line(&report.layer);
        let colours = match report.colours {
            Colours::Grey => "grey",
            Colours::Rgb | Colours::Bgr => "colour",
        };
        output::text(format_args!(
            "{layer}: {} of {channels}x{kernel_h}x{kernel_w} in {colours}, \
             {width} x {height} pixels",
            count(filters, "filter", "filters")
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The convolution with this name, or the first one.
fn convolution<'a>(graph: &'a Graph, name: Option<&str>) -> Result<&'a Node, Reason> {
    let nodes = graph.nodes().iter();
    let mut convolutions = nodes.filter(|node| matches!(node.op(), Op::Conv2d(_)));
    let Some(name) = name else {
        return convolutions
            .next()
            .ok_or_else(|| "the network has no convolution".into());
    };
    let names = convolutions.clone().map(Node::name);
    convolutions
        .find(|node| node.name() == name)
        .ok_or_else(|| {
            let near = Near::new(name, names);
            format!("no convolution is called {name:?}{near}; `convoxide summary` lists all").into()
        })
}

/// The mapping of weights to pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Colours {
    /// One grey tile per channel.
    Grey,
    /// A filter's channels are red, green and blue.
    Rgb,
    /// A filter's channels are blue, green and red.
    Bgr,
}

/// Tiles of equal size, with gaps between and around them.
struct Grid<'a> {
    /// `[o, i, h, w]`
    weight: ArrayView4<'a, f32>,
    colours: Colours,
    columns: usize,
    rows: usize,
    /// Pixels along each side of a weight.
    scale: usize,
}

/// The largest height and width of a picture drawn at the default scale.
const USUAL: [u128; 2] = [1200, 600];
/// The largest number of pixels in a picture.
const MOST_PIXELS: u128 = 1 << 25;
/// The colour of the gaps.
const GAP: [u8; 3] = [255; 3];

impl<'a> Grid<'a> {
    fn new(weight: ArrayView4<'a, f32>, order: Option<ChannelOrder>, scale: Option<usize>) -> Self {
        let (filters, channels, ..) = weight.dim();
        let colours = match (channels, order) {
            (3, Some(ChannelOrder::Bgr)) => Colours::Bgr,
            (3, _) => Colours::Rgb,
            _ => Colours::Grey,
        };
        let columns = match channels {
            1 | 3 => columns(filters),
            _ => channels,
        };
        let rows = match channels {
            1 | 3 => filters.div_ceil(columns),
            _ => filters,
        };
        let mut grid = Self {
            weight,
            colours,
            columns,
            rows,
            scale: 1,
        };
        let fits = |&scale: &usize| {
            let size = grid.size_at(scale);
            size.iter().zip(USUAL).all(|(&side, most)| side <= most)
        };
        let usual = || (1..=1000).take_while(fits).last();
        grid.scale = scale.or_else(usual).unwrap_or(1);
        grid
    }

    /// `[h, w]` in pixels at a scale.
    fn size_at(&self, scale: usize) -> [u128; 2] {
        let (_, _, height, width) = self.weight.dim();
        let [gap, scale] = [gap(scale), scale].map(|pixels| pixels as u128);
        let side =
            |tiles: usize, numbers: usize| gap + tiles as u128 * (numbers as u128 * scale + gap);
        [side(self.rows, height), side(self.columns, width)]
    }

    fn draw(&self) -> Result<Picture, Reason> {
        let [height, width] = self.size_at(self.scale);
        if height.saturating_mul(width) > MOST_PIXELS {
            return Err(format!(
                "a picture of {width} x {height} pixels at a scale of {}, expected at most \
                 {MOST_PIXELS} pixels",
                self.scale
            )
            .into());
        }
        // `MOST_PIXELS` limits both.
        let [height, width] = [height, width].map(|side| side as usize);
        let mut pixels: Vec<[u8; 3]> = vec![GAP; height * width];
        let (_, channels, kernel_h, kernel_w) = self.weight.dim();
        let gap = gap(self.scale);
        let [tile_h, tile_w] = [kernel_h, kernel_w].map(|side| side * self.scale + gap);
        let tiles_of_filter = match self.colours {
            Colours::Grey => channels,
            Colours::Rgb | Colours::Bgr => 1,
        };
        for (filter, numbers) in self.weight.outer_iter().enumerate() {
            let largest = numbers
                .iter()
                .fold(0.0f32, |most, number| most.max(number.abs()));
            for channel in 0..tiles_of_filter {
                let tile = filter * tiles_of_filter + channel;
                let top = gap + tile / self.columns * tile_h;
                let left = gap + tile % self.columns * tile_w;
                for (i, j) in ndarray::indices([kernel_h, kernel_w]) {
                    let level = |channel: usize| level(numbers[[channel, i, j]], largest);
                    let colour = match self.colours {
                        Colours::Grey => [level(channel); 3],
                        Colours::Rgb => [0, 1, 2].map(level),
                        Colours::Bgr => [2, 1, 0].map(level),
                    };
                    for y in 0..self.scale {
                        let start = (top + i * self.scale + y) * width + left + j * self.scale;
                        pixels[start..start + self.scale].fill(colour);
                    }
                }
            }
        }
        Ok(Picture::from_rgb(
            width,
            height,
            3 * width,
            pixels.as_flattened(),
        )?)
    }
}

/// The pixels between two tiles.
fn gap(scale: usize) -> usize {
    (scale / 8).clamp(1, 4)
}

/// The number of columns in a grid with this many tiles: about the number of rows, and a divisor of
/// `tiles` if one is near, so that the last row is full.
fn columns(tiles: usize) -> usize {
    let side = tiles.isqrt() + usize::from(tiles.isqrt().pow(2) < tiles);
    let even = (side..=2 * side).find(|columns| tiles.is_multiple_of(*columns));
    even.unwrap_or(side).max(1)
}

/// `127.5 (1 + number / largest)`, rounded: 128 is 0.
fn level(number: f32, largest: f32) -> u8 {
    let share = if largest > 0.0 { number / largest } else { 0.0 };
    // The result is from 0 to 255.
    (127.5 + 127.5 * f64::from(share)).round() as u8
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;

    use super::*;

    #[test]
    fn grids_are_even_where_they_can_be() {
        let cases = [
            (1, 1),
            (2, 2),
            (3, 3),
            (7, 3),
            (8, 4),
            (16, 4),
            (32, 8),
            (64, 8),
            (96, 12),
        ];
        for (tiles, expected) in cases {
            assert_eq!(columns(tiles), expected, "{tiles} tiles");
        }
    }

    #[test]
    fn grey_is_symmetric_around_zero() {
        assert_eq!(
            [-2.0, -1.0, 0.0, 1.0, 2.0].map(|x| level(x, 2.0)),
            [0, 64, 128, 191, 255]
        );
        assert_eq!([-1e-45, 0.0, 1e-45].map(|x| level(x, 1e-45)), [0, 128, 255]);
        assert_eq!(level(f32::MAX, f32::MAX), 255);
        assert_eq!([0.0, -0.0].map(|x| level(x, 0.0)), [128, 128]);
    }

    #[test]
    fn the_usual_picture_is_about_600_pixels_across() {
        let sides = [
            [16, 3, 3, 3],
            [64, 3, 7, 7],
            [32, 1, 5, 5],
            [16, 16, 3, 3],
            [64, 48, 1, 1],
        ];
        for shape in sides {
            let weight = Array4::zeros(shape);
            let grid = Grid::new(weight.view(), None, None);
            let [height, width] = grid.size_at(grid.scale);
            assert!((400..=600).contains(&width), "{shape:?}: {width}");
            assert!(height <= 1200, "{shape:?}: {height}");
        }
        // This grid exceeds the usual size even at scale 1.
        let weight = Array4::zeros([2000, 512, 3, 3]);
        let grid = Grid::new(weight.view(), None, None);
        assert_eq!((grid.scale, grid.size_at(1)), (1, [8001, 2049]));
    }
}
