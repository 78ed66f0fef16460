//! Conversion between NCHW arrays and the layouts of [`Layout`].

use ndarray::{ArrayView1, ArrayView4, ArrayViewMut1, ArrayViewMut4, Axis, s};
use rayon::prelude::*;

use super::layout::{BLOCK, Block, Layout};
use super::view::PIECE;
use crate::error::Result;
use crate::geometry::PaddingValue;
use crate::simd::transpose::transpose;

/// Pixels that are transposed at once, with all channels of a block: each line of the cache is read and
/// written in one go.
const QUAD: usize = 4;

/// Where that is impossible, pixels of which all channels are moved before the next ones, so that they stay
/// in the cache of the first level.
const TILE: usize = 64;

impl Layout {
    /// Copies an NCHW array into this layout; `padding_value` fills the halo.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`](crate::Error::Mismatch) if the extents or the length of `data` differ,
    /// [`Error::PaddingTooLarge`](crate::Error::PaddingTooLarge) if the halo cannot be filled.
    pub fn import(
        &self,
        input: ArrayView4<'_, f32>,
        padding_value: PaddingValue,
        data: &mut [f32],
    ) -> Result<()> {
        const OP: &str = "import";
        self.check(OP, input.dim(), data.len())?;
        if data.is_empty() {
            return Ok(());
        }
        padding_value.check(OP, self.size, self.halo)?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "f32 is what the tensor holds"
        )]
        let constant = padding_value.constant() as f32;
        let standard = input.to_slice();
        let [height, width] = match standard {
            Some(_) => self.lines(),
            None => self.size,
        };
        let line = |picture: usize, channel: usize, y: usize| match standard {
            Some(numbers) => {
                let start = ((picture * self.channels + channel) * height + y) * width;
                ArrayView1::from(&numbers[start..start + width])
            }
            None => {
                let plane = input.index_axis_move(Axis(0), picture);
                let plane = plane.index_axis_move(Axis(0), channel);
                plane.index_axis_move(Axis(0), y)
            }
        };
        let source_of = |axis: usize, at: usize| {
            let at = isize::try_from(at)
                .ok()?
                .checked_sub_unsigned(self.halo[axis])?;
            padding_value.source(at, [height, width][axis])
        };
        let (left, columns) = (self.halo[1], self.halo[1] + width + self.halo[3]);
        let rows = self.halo[0] + height + self.halo[2];
        let (blocks, lanes) = (self.blocks() + self.gap, self.block.len());
        let step = columns * lanes;
        let rows_of_data = data.par_chunks_exact_mut(step).with_min_len(PIECE / step);
        rows_of_data.enumerate().for_each(|(index, row)| {
            let (plane, y) = (index / rows, source_of(0, index % rows));
            let (picture, block) = (plane / blocks, plane % blocks);
            if block >= self.blocks() {
                return;
            }
            let first = block * lanes;
            let channels = lanes.min(self.channels - first);
            if channels < lanes {
                row.fill(0.0);
            }
            let Some(y) = y else {
                for pixel in row.chunks_exact_mut(lanes) {
                    pixel[..channels].fill(constant);
                }
                return;
            };
            let line = |lane: usize| line(picture, first + lane, y);
            let interior = &mut row[left * lanes..(left + width) * lanes];
            match self.block {
                Block::Planar => ArrayViewMut1::from(interior).assign(&line(0)),
                Block::Channels16 => interleave(channels, line, interior),
            }
            for x in (0..left).chain(left + width..columns) {
                let source = source_of(1, x);
                for lane in 0..channels {
                    row[x * lanes + lane] = source.map_or(constant, |x| line(lane)[x]);
                }
            }
        });
        Ok(())
    }

    /// Copies the interior into an NCHW array, by way of a copy in standard layout if it is in another.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`](crate::Error::Mismatch) if the extents or the length of `data` differ.
    pub fn export(&self, data: &[f32], mut output: ArrayViewMut4<'_, f32>) -> Result<()> {
        self.check("export", output.dim(), data.len())?;
        if output.is_empty() {
            return Ok(());
        }
        if let Some(target) = output.as_slice_mut() {
            self.export_into(data, target);
        } else {
            let mut numbers = vec![0.0; output.len()];
            self.export_into(data, &mut numbers);
            let targets = output.iter_mut().zip(numbers);
            targets.for_each(|(target, number)| *target = number);
        }
        Ok(())
    }

    fn export_into(&self, data: &[f32], output: &mut [f32]) {
        let [height, width] = self.lines();
        let (plane, lanes) = (height * width, self.block.len());
        for (picture, channels) in output.chunks_exact_mut(self.channels * plane).enumerate() {
            let blocks = channels.par_chunks_mut(lanes * plane);
            let blocks = blocks.with_min_len(PIECE / (lanes * plane));
            blocks.enumerate().for_each(|(block, planes)| {
                for y in 0..height {
                    let start = self.offset(picture, block, y, 0);
                    let row = &data[start..start + width * lanes];
                    let at = y * width;
                    match self.block {
                        Block::Planar => planes[at..at + width].copy_from_slice(row),
                        Block::Channels16 => deinterleave(row, planes, [at, plane]),
                    }
                }
            });
        }
    }

    /// Returns the number and the length of the rows that are contiguous in every channel: without a halo, a
    /// plane is one long row.
    fn lines(&self) -> [usize; 2] {
        let [height, width] = self.size;
        if self.is_dense() {
            [1, height * width]
        } else {
            [height, width]
        }
    }
}

/// Writes a row of each channel into the pixels of a block's row.
fn interleave<'a>(channels: usize, line: impl Fn(usize) -> ArrayView1<'a, f32>, row: &mut [f32]) {
    let (pixels, _) = row.as_chunks_mut::<BLOCK>();
    let done = match full_block(channels, &line) {
        Some(lines) => interleave_quads(lines, pixels),
        None => 0,
    };
    for (tile, pixels) in pixels[done..].chunks_mut(TILE).enumerate() {
        for lane in 0..channels.min(BLOCK) {
            let numbers = line(lane).slice_move(s![done + tile * TILE..]);
            for (pixel, &number) in pixels.iter_mut().zip(numbers) {
                pixel[lane] = number;
            }
        }
    }
}

/// Returns the lines of a block's channels, if there are as many and each is contiguous.
fn full_block<'a>(
    channels: usize,
    line: impl Fn(usize) -> ArrayView1<'a, f32>,
) -> Option<[&'a [f32]; BLOCK]> {
    if channels < BLOCK {
        return None;
    }
    let lines: [_; BLOCK] = std::array::from_fn(|lane| line(lane).to_slice());
    let all = lines.iter().all(Option::is_some);
    all.then(|| lines.map(Option::unwrap_or_default))
}

/// Writes a line of each channel into the pixels in whole quads, and returns how many pixels those are.
fn interleave_quads(lines: [&[f32]; BLOCK], pixels: &mut [[f32; BLOCK]]) -> usize {
    let lines = lines.map(|line| line.as_chunks::<QUAD>().0);
    let (quads, _) = pixels.as_chunks_mut::<QUAD>();
    for (x, quad) in quads.iter_mut().enumerate() {
        for first in (0..BLOCK).step_by(QUAD) {
            // `map` over an array would be a call.
            let [a, b, c, d] = [first, first + 1, first + 2, first + 3];
            let columns = transpose([lines[a][x], lines[b][x], lines[c][x], lines[d][x]]);
            for (pixel, column) in quad.iter_mut().zip(columns) {
                pixel[first..first + QUAD].copy_from_slice(&column);
            }
        }
    }
    quads.len() * QUAD
}

/// Writes the pixels of a block's row into `planes`, at `start` in each of them.
fn deinterleave(row: &[f32], planes: &mut [f32], [start, plane]: [usize; 2]) {
    let (pixels, _) = row.as_chunks::<BLOCK>();
    let columns = start..start + pixels.len();
    let done = match planes.len() == BLOCK * plane {
        true => {
            // As many as there are lanes, so none of the lines stays empty.
            let mut planes = planes.chunks_exact_mut(plane);
            let lines = std::array::from_fn(|_| match planes.next() {
                Some(plane) => &mut plane[columns.clone()],
                None => &mut [],
            });
            deinterleave_quads(pixels, lines)
        }
        false => 0,
    };
    for (tile, pixels) in pixels[done..].chunks(TILE).enumerate() {
        for (lane, plane) in planes.chunks_exact_mut(plane).enumerate().take(BLOCK) {
            let numbers = &mut plane[start + done + tile * TILE..];
            for (number, pixel) in numbers.iter_mut().zip(pixels) {
                *number = pixel[lane];
            }
        }
    }
}

/// Writes the pixels in whole quads into a line of each channel, and returns how many pixels those are.
fn deinterleave_quads(pixels: &[[f32; BLOCK]], lines: [&mut [f32]; BLOCK]) -> usize {
    let mut lines = lines.map(|line| line.as_chunks_mut::<QUAD>().0);
    let (quads, _) = pixels.as_chunks::<QUAD>();
    for (x, quad) in quads.iter().enumerate() {
        for first in (0..BLOCK).step_by(QUAD) {
            let lanes = |pixel: &[f32; BLOCK]| std::array::from_fn(|lane| pixel[first + lane]);
            let columns = transpose(quad.each_ref().map(lanes));
            for (line, column) in lines[first..].iter_mut().zip(columns) {
                line[x] = column;
            }
        }
    }
    quads.len() * QUAD
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;

    use super::*;
    use crate::error::Error;

    #[test]
    fn import_then_export_is_the_identity_and_the_halo_is_the_padding() {
        let array = Array4::from_shape_fn((2, 18, 3, 4), |(n, c, y, x)| {
            (n * 1000 + c * 100 + y * 10 + x) as f32 + 1.0
        });
        for layout in [
            Layout::blocked(2, 18, [3, 4]),
            Layout::planar(2, 18, [3, 4]),
        ] {
            let layout = layout.with_halo([1, 2, 2, 1]);
            let mut data = vec![f32::NAN; layout.len()];
            layout
                .import(array.view(), PaddingValue::Reflect, &mut data)
                .unwrap();
            assert!(data.iter().all(|x| !x.is_nan()), "every element is written");
            let mut back = Array4::zeros(array.dim());
            layout.export(&data, back.view_mut()).unwrap();
            assert_eq!(array, back);
            // One pixel over the top-left corner of picture 1, channel 17: row 1, column 1.
            let corner = layout.at(1, 17, 0, 0) - layout.row_step() - layout.block.len();
            assert_eq!(data[corner], 1000.0 + 1700.0 + 10.0 + 1.0 + 1.0);

            layout.clear_halo(&mut data);
            let interior: f32 = array.sum();
            assert!((data.iter().sum::<f32>() - interior).abs() <= interior * 1e-4);
            let mut back = Array4::zeros(array.dim());
            layout.export(&data, back.view_mut()).unwrap();
            assert_eq!(array, back);
        }
    }

    #[test]
    fn each_element_comes_to_its_offset_and_back() {
        // More pixels than a tile, a block that is not full, and arrays that are not in standard layout.
        let (n, c, h, w) = (2, 18, 5, 27);
        let array = Array4::from_shape_fn((w, h, c, n), |(x, y, c, n)| {
            (((n * 18 + c) * 5 + y) * 27 + x) as f32
        });
        let input = array.view().reversed_axes();
        let standard = input.as_standard_layout();
        for halo in [[0; 4], [1, 0, 2, 3]] {
            for gap in [0, 1] {
                for layout in [Layout::blocked(n, c, [h, w]), Layout::planar(n, c, [h, w])] {
                    let layout = Layout {
                        gap,
                        ..layout.with_halo(halo)
                    };
                    let mut data = vec![f32::NAN; layout.len()];
                    layout
                        .import(input, PaddingValue::Zeros, &mut data)
                        .unwrap();
                    for ((n, c, y, x), &number) in input.indexed_iter() {
                        assert_eq!(data[layout.at(n, c, y, x)], number);
                    }
                    let mut same = vec![f32::NAN; layout.len()];
                    layout
                        .import(standard.view(), PaddingValue::Zeros, &mut same)
                        .unwrap();
                    let bits = |data: &[f32]| data.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&same), bits(&data));
                    let mut back = Array4::zeros(array.dim());
                    let output = back.view_mut().reversed_axes();
                    layout.export(&data, output).unwrap();
                    assert_eq!(back, array);
                    let mut back = Array4::zeros(input.dim());
                    layout.export(&data, back.view_mut()).unwrap();
                    assert_eq!(back, input);
                }
            }
        }
    }

    #[test]
    fn lanes_beyond_the_last_channel_are_zero() {
        let layout = Layout::blocked(1, 3, [1, 2]).with_halo([0, 1, 0, 0]);
        let mut data = vec![f32::NAN; layout.len()];
        let ones = Array4::ones((1, 3, 1, 2));
        layout
            .import(ones.view(), PaddingValue::Constant(7.0), &mut data)
            .unwrap();
        for pixel in data.chunks_exact(BLOCK) {
            assert_eq!(pixel[3..], [0.0; 13]);
        }
        assert_eq!(data[..3], [7.0; 3]);
    }

    #[test]
    fn mismatches_name_the_axis() {
        let layout = Layout::blocked(1, 3, [1, 2]);
        let error = layout
            .import(
                Array4::zeros((1, 4, 1, 2)).view(),
                PaddingValue::Zeros,
                &mut [0.0; 32],
            )
            .unwrap_err();
        assert_eq!(
            error,
            Error::Mismatch {
                op: "import",
                what: "channels (axis c)",
                expected: 3,
                got: 4
            }
        );
    }
}
