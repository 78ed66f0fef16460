//! The options that give the shape of a network's input.

use clap::builder::RangedU64ValueParser;
use nn_layers::Shape;

/// The size and the number of pictures.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct InputShape {
    /// Input size, such as 416 or 320x608 [default: the model's]
    #[arg(long, value_name = "HxW", value_parser = size)]
    size: Option<[usize; 2]>,
    /// Pictures per batch
    #[arg(
        long, value_name = "N", default_value_t = 1,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=MAX_BATCH)
    )]
    batch: usize,
}

impl InputShape {
    /// Returns the shape `[n, c, h, w]` for a model whose pictures are `[c, h, w]`.
    pub(crate) fn shape(self, [channels, height, width]: [usize; 3]) -> Shape {
        let [height, width] = self.size.unwrap_or([height, width]);
        Shape::from([self.batch, channels, height, width])
    }
}

/// The largest batch.
pub(crate) const MAX_BATCH: u64 = 1 << 16;

/// The longest side of a picture.
const MAX_SIDE: usize = 1 << 16;

/// Reads a size `[h, w]`: `320x608`, or `416` for a square.
fn size(text: &str) -> Result<[usize; 2], String> {
    let side = |text: &str| {
        let side = text.parse().ok()?;
        (1..=MAX_SIDE).contains(&side).then_some(side)
    };
    let (height, width) = text.split_once('x').unwrap_or((text, text));
    match (side(height), side(width)) {
        (Some(height), Some(width)) => Ok([height, width]),
        _ => Err(format!(
            "expected a height and a width from 1 to {MAX_SIDE}, such as 320x608"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_height_times_width_or_a_square() {
        assert_eq!(size("320x608"), Ok([320, 608]));
        assert_eq!(size("416"), Ok([416, 416]));
        for bad in ["", "x", "0", "416x0", "416x", "1x2x3", "-1", "65537", "1.5"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
