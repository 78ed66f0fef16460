//! Operations that only move values: concatenation, enlargement, padding, changes of layout.

use super::layout::Layout;
use super::view::{View, ViewMut, clear_tail};
use crate::error::{Error, Result};
use crate::geometry::PaddingValue;

/// Writes all channels of `input` into `output` from channel `first` on: one part of a
/// concatenation. The other channels are untouched.
///
/// # Errors
///
/// [`Error::Mismatch`] if the extents do not fit.
pub fn concat(input: View<'_>, first: usize, mut output: ViewMut<'_>) -> Result<()> {
    let end = check_part("concat", &input, first, &output)?;
    let (from, to) = (input.layout(), output.layout());
    if first.is_multiple_of(from.block.len()) {
        // Whole blocks. The last one may be padded with zeros where more channels follow; the part
        // that supplies those overwrites them.
        let blocks = first / from.block.len()..end.div_ceil(from.block.len());
        output.for_each_row(|picture, block, y, row| {
            if blocks.contains(&block) {
                row.copy_from_slice(input.row(picture, block - blocks.start, y));
            }
        });
    } else {
        let lanes = to.block.len();
        output.for_each_row(|picture, block, y, row| {
            for lane in 0..lanes {
                let channel = block * lanes + lane;
                if (first..end).contains(&channel) {
                    let start = from.at(picture, channel - first, y, 0);
                    let source = input.data()[start..].iter().step_by(lanes);
                    let target = row[lane..].iter_mut().step_by(lanes);
                    target
                        .zip(source)
                        .for_each(|(target, &number)| *target = number);
                }
            }
            clear_tail(row, to.block, to.channels - block * lanes);
        });
    }
    Ok(())
}

/// Writes the channels of `input` to `output` from channel `first` on, and zeros to all others.
///
/// # Errors
///
/// [`Error::Mismatch`] if the extents do not fit.
pub fn pad_channels(input: View<'_>, first: usize, mut output: ViewMut<'_>) -> Result<()> {
    check_part("pad_channels", &input, first, &output)?;
    output.for_each_row(|_, _, _, row| row.fill(0.0));
    concat(input, first, output)
}

/// Checks that the output has room for the input's channels from `first` on; returns where they
/// end.
fn check_part(
    op: &'static str,
    input: &View<'_>,
    first: usize,
    output: &ViewMut<'_>,
) -> Result<usize> {
    let (from, to) = (input.layout(), output.layout());
    let end = first.saturating_add(from.channels);
    output.check(op, from.batch, to.channels.max(end), from.size, from.block)?;
    Ok(end)
}

/// Copies channels `first..` of `input`, as many as `output` has.
///
/// # Errors
///
/// [`Error::Mismatch`] if the extents do not fit.
pub fn slice(input: View<'_>, first: usize, mut output: ViewMut<'_>) -> Result<()> {
    let (from, channels) = (input.layout(), output.layout().channels);
    output.check(
        "slice",
        from.batch,
        channels,
        from.size,
        output.layout().block,
    )?;
    super::expect(
        "slice",
        "the last channel's end, at most the input's channels",
        first.saturating_add(channels).min(from.channels),
        first.saturating_add(channels),
    )?;
    output.fill_with(
        |picture, channel, y, x| from.at(picture, first + channel, y, x),
        &input,
    );
    Ok(())
}

/// Nearest-neighbour enlargement by `scale` `[h, w]`:
/// `output[y, x] = input[y / scale_h, x / scale_w]`.
///
/// # Errors
///
/// [`Error::Zero`] for a scale of 0, [`Error::Mismatch`] if the extents do not fit.
pub fn upsample_nearest2d(
    input: View<'_>,
    scale: [usize; 2],
    mut output: ViewMut<'_>,
) -> Result<()> {
    const OP: &str = "upsample_nearest2d";
    let layout = input.layout();
    if scale.contains(&0) {
        return Err(Error::Zero {
            op: OP,
            what: "scale",
        });
    }
    let size = [0, 1].map(|axis| layout.size[axis].saturating_mul(scale[axis]));
    output.check(OP, layout.batch, layout.channels, size, layout.block)?;
    let lanes = layout.block.len();
    output.for_each_row(|picture, block, y, row| {
        let source = input.row(picture, block, y / scale[0]).chunks_exact(lanes);
        let targets = row.chunks_exact_mut(lanes.saturating_mul(scale[1]));
        for (targets, pixel) in targets.zip(source) {
            targets
                .chunks_exact_mut(lanes)
                .for_each(|to| to.copy_from_slice(pixel));
        }
    });
    Ok(())
}

/// Surrounds the input with `padding` `[top, left, bottom, right]`, filled with `value`.
///
/// # Errors
///
/// As [`plain::pad2d`](crate::plain::pad2d), and [`Error::Mismatch`] if the extents do not fit.
pub fn pad2d(
    input: View<'_>,
    padding: [usize; 4],
    value: PaddingValue,
    mut output: ViewMut<'_>,
) -> Result<()> {
    const OP: &str = "pad2d";
    let (from, to) = (input.layout(), output.layout());
    let size = [0, 1].map(|axis| {
        from.size[axis]
            .saturating_add(padding[axis])
            .saturating_add(padding[axis + 2])
    });
    output.check(OP, from.batch, from.channels, size, to.block)?;
    value.check(OP, from.size, padding)?;
    if to.is_empty() {
        return Ok(());
    }
    let source_of = |axis: usize, at: usize| {
        let at = isize::try_from(at)
            .ok()?
            .checked_sub_unsigned(padding[axis])?;
        value.source(at, from.size[axis])
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "f32 is what the tensor holds"
    )]
    let constant = value.constant() as f32;
    output.for_each_row(|picture, block, y, row| {
        let y = source_of(0, y);
        for (x, pixel) in row.chunks_exact_mut(to.block.len()).enumerate() {
            let x = source_of(1, x);
            for (lane, target) in pixel.iter_mut().enumerate() {
                let channel = block * to.block.len() + lane;
                *target = match (y, x) {
                    _ if channel >= from.channels => 0.0,
                    (Some(y), Some(x)) => input.data()[from.at(picture, channel, y, x)],
                    (None, _) | (_, None) => constant,
                };
            }
        }
    });
    Ok(())
}

/// Converts a tensor to the other layout: planar to blocked or back.
///
/// # Errors
///
/// [`Error::Mismatch`] if the extents differ.
pub fn relayout(input: View<'_>, mut output: ViewMut<'_>) -> Result<()> {
    let from = input.layout();
    output.check(
        "relayout",
        from.batch,
        from.channels,
        from.size,
        output.layout().block,
    )?;
    output.fill_with(
        |picture, channel, y, x| from.at(picture, channel, y, x),
        &input,
    );
    Ok(())
}

/// Reinterprets the values of each picture, in the order c, h, w, as a picture of other extents
/// with the same number of values: `[C, H, W]` to `[C * H * W, 1, 1]` is flattening.
///
/// # Errors
///
/// [`Error::Mismatch`] if the batch or the number of values differs.
pub fn reshape(input: View<'_>, mut output: ViewMut<'_>) -> Result<()> {
    let (from, to) = (input.layout(), output.layout());
    super::expect("reshape", "output batch (axis n)", from.batch, to.batch)?;
    let numbers = |layout: &Layout| layout.channels * layout.size[0] * layout.size[1];
    super::expect(
        "reshape",
        "the number of values per picture",
        numbers(&from),
        numbers(&to),
    )?;
    if (from.channels, from.size, from.block) == (to.channels, to.size, to.block) {
        return concat(input, 0, output);
    }
    let ([_, from_w], [to_h, to_w]) = (from.size, to.size);
    let plane = from.size[0] * from_w;
    output.fill_with(
        |picture, channel, y, x| {
            let index = (channel * to_h + y) * to_w + x;
            from.at(
                picture,
                index / plane,
                index % plane / from_w,
                index % from_w,
            )
        },
        &input,
    );
    Ok(())
}

/// Darknet's `reorg`, which is **not** space-to-depth. With `D = C / stride^2`, the input's values
/// are read in memory order as `[D, H * stride, W * stride]`, and the output's are written in
/// memory order as `[C, H, W]`:
///
/// ```text
/// output[k, j, i] = input[k mod D, j * stride + (k div D) div stride,
///                                  i * stride + (k div D) mod stride]
/// ```
///
/// The result's extents are `[C * stride^2, H / stride, W / stride]`. Darknet calls its routine
/// with input and output exchanged, and every published `YOLOv2` weight file depends on that.
///
/// # Errors
///
/// [`Error::Zero`] for a stride of 0, [`Error::Mismatch`] if the extents do not fit.
pub fn reorg(input: View<'_>, stride: usize, mut output: ViewMut<'_>) -> Result<()> {
    const OP: &str = "reorg";
    let (from, to) = (input.layout(), output.layout());
    if stride == 0 {
        return Err(Error::Zero {
            op: OP,
            what: "stride",
        });
    }
    let [h, w] = from.size;
    let area = stride.saturating_mul(stride);
    let rest = (h % stride) + (w % stride) + (from.channels % area);
    super::expect(OP, "what the stride leaves over of the extents", 0, rest)?;
    output.check(
        OP,
        from.batch,
        from.channels * area,
        [h / stride, w / stride],
        to.block,
    )?;

    let depth = from.channels / area;
    let [to_h, to_w] = to.size;
    output.fill_with(
        |picture, channel, y, x| {
            // The index of this output value when the output is counted as [C, H, W] ...
            let index = (channel * to_h + y) * to_w + x;
            let (k, j, i) = (index / (h * w), index / w % h, index % w);
            // ... and of the input value that it copies, counted as [D, H * stride, W * stride].
            let (row, column) = (
                j * stride + k / depth / stride,
                i * stride + k / depth % stride,
            );
            let index = (k % depth * h * stride + row) * w * stride + column;
            from.at(picture, index / (h * w), index / w % h, index % w)
        },
        &input,
    );
    Ok(())
}
