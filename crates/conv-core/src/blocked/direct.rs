//! Direct convolution: the micro-kernel run over every output pixel and channel.
//!
//! The input carries its padding as a halo, so the kernel reads taps at fixed steps and knows no
//! edges; nothing is gathered into a matrix, so no memory grows with the picture beyond the input
//! and the output themselves.

use std::ops::Range;

use ndarray::{ArrayView1, ArrayView4};
use rayon::prelude::*;

use super::buffer::Buffer;
use super::layout::{BLOCK, Layout};
use super::view::{View, ViewMut};
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::geometry::{Placement, Window, checked_len};
use crate::options::Conv2dOptions;
use crate::simd::Isa;
use crate::simd::microkernel::{Kernel, Tile};

const OP: &str = "conv2d";

/// Packed weights of one task that should stay in a core's second-level cache while it walks over
/// the pixels. Half of the smallest such cache in use (512 KiB) leaves room for the pixels.
const WEIGHTS_IN_CACHE: usize = 256 * 1024;

/// Packed weights that stay in the first-level cache (32 KiB on most machines) while a chunk of the
/// reduction walks over a band of pixels. The partial sums wait in the output meanwhile, which
/// costs far less than to stream all of a layer's weights past every tile.
const WEIGHTS_IN_CHUNK: usize = 20 * 1024;

/// Multiply-adds of one task: about 50 us on one core, far over what it costs to hand it out, and
/// small enough that the last task of a layer does not leave the other cores waiting.
const TASK_MULTIPLY_ADDS: usize = 2 << 20;

/// Input channels up to which planar NCHW beats NCHW16c: filling up 3 channels to 16 would cost
/// five times the arithmetic, while the planar loop reads its weights at the same speed.
const MOST_PLANAR_CHANNELS: usize = 8;

/// A convolution with its weights packed for the micro-kernel, its bias and its activation.
///
/// Made once per layer, run many times, from many threads.
#[derive(Clone, Debug)]
pub struct PackedConv2d {
    window: Window,
    in_channels: usize,
    out_channels: usize,
    /// Groups as the kernel sees them: see [`merged_groups`].
    groups: usize,
    /// Channels that lie together in the input: 16, or 1 for planar input.
    block: usize,
    /// `[out block][in block][kh][kw][block][16]`.
    weight: Buffer,
    /// `[out block][16]`.
    bias: Buffer,
    activation: Activation,
    isa: Isa,
}

/// The groups that the kernel works with. It needs whole blocks of 16 channels on both sides of a
/// group, so neighbouring groups are merged until that holds, with zero weights between them; one
/// group of all channels always does.
fn merged_groups(groups: usize, in_channels: usize, out_channels: usize) -> usize {
    let fits = |merged: &usize| {
        groups.is_multiple_of(*merged)
            && (in_channels / merged).is_multiple_of(BLOCK)
            && (out_channels / merged).is_multiple_of(BLOCK)
    };
    (2..=groups).rev().find(fits).unwrap_or(1)
}

impl PackedConv2d {
    /// Packs `weight` `[O, I / groups, kh, kw]` and `bias` `[O]` for `isa`.
    ///
    /// The padding's *value* is not looked at here: [`run`](Self::run) reads what the input's halo
    /// holds.
    ///
    /// # Errors
    ///
    /// [`Error::Zero`], [`Error::Groups`] or [`Error::Mismatch`] where sizes do not fit together,
    /// [`Error::TooLarge`] where the packed weights do not fit into memory.
    pub fn new(
        weight: ArrayView4<'_, f32>,
        bias: Option<ArrayView1<'_, f32>>,
        options: &Conv2dOptions,
        activation: Activation,
        isa: Isa,
    ) -> Result<Self> {
        let (out_channels, group_in, kh, kw) = weight.dim();
        for (what, size) in [
            ("output channels (axis o)", out_channels),
            ("input channels of a group (axis i)", group_in),
            ("groups", options.groups),
            ("kernel height (axis h)", kh),
            ("kernel width (axis w)", kw),
        ] {
            if size == 0 {
                return Err(Error::Zero { op: OP, what });
            }
        }
        if !out_channels.is_multiple_of(options.groups) {
            return Err(Error::Groups {
                op: OP,
                what: "output channels (axis o)",
                got: out_channels,
                groups: options.groups,
            });
        }
        if let Some(bias) = bias.as_ref().filter(|bias| bias.len() != out_channels) {
            return Err(Error::Mismatch {
                op: OP,
                what: "the bias's length",
                expected: out_channels,
                got: bias.len(),
            });
        }
        let too_large = Error::TooLarge {
            op: OP,
            what: "the packed weights",
        };
        let in_channels = group_in.checked_mul(options.groups).ok_or(too_large)?;

        let planar = Self::reads_planar(in_channels, options.groups);
        let block = if planar { 1 } else { BLOCK };
        let groups = merged_groups(options.groups, in_channels, out_channels);
        let in_blocks = (in_channels / groups).div_ceil(block);
        let out_blocks = out_channels.div_ceil(BLOCK);
        let len = checked_len(
            OP,
            "the packed weights",
            &[out_blocks, in_blocks, kh, kw, block, BLOCK],
        )?;

        let mut packed = Buffer::zeroed(len)?;
        let group_out = out_channels / options.groups;
        let merged_in = in_channels / groups;
        for o in 0..out_channels {
            // The first input channel of this output's group, counted within the merged group.
            let first = (o / group_out) * group_in % merged_in;
            for i in 0..group_in {
                let c = first + i;
                for y in 0..kh {
                    for x in 0..kw {
                        let tap = ((o / BLOCK * in_blocks + c / block) * kh + y) * kw + x;
                        packed[(tap * block + c % block) * BLOCK + o % BLOCK] =
                            flush(weight[[o, i, y, x]]);
                    }
                }
            }
        }
        let mut packed_bias = Buffer::zeroed(out_blocks * BLOCK)?;
        if let Some(bias) = bias {
            packed_bias
                .iter_mut()
                .zip(bias)
                .for_each(|(target, &b)| *target = b);
        }
        Ok(Self {
            window: options.window([kh, kw]),
            in_channels,
            out_channels,
            groups,
            block,
            weight: packed,
            bias: packed_bias,
            activation,
            isa,
        })
    }

    /// The layout that [`run`](Self::run) wants its input in, without the [halo](Self::halo):
    /// NCHW16c, or planar NCHW where there are few channels.
    #[must_use]
    pub fn input_layout(&self, batch: usize, size: [usize; 2]) -> Layout {
        Layout {
            batch,
            channels: self.in_channels,
            size,
            halo: [0; 4],
            block: self.block,
        }
    }

    /// Whether a convolution of so many input channels and groups reads planar input.
    #[must_use]
    pub fn reads_planar(in_channels: usize, groups: usize) -> bool {
        groups == 1 && in_channels <= MOST_PLANAR_CHANNELS
    }

    /// Input channels.
    #[must_use]
    pub fn in_channels(&self) -> usize {
        self.in_channels
    }

    /// Output channels.
    #[must_use]
    pub fn out_channels(&self) -> usize {
        self.out_channels
    }

    /// A word for reports: which loop this is.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        if self.block == 1 {
            "direct, planar input"
        } else {
            "direct"
        }
    }

    /// The placement of the window on an input of size `[h, w]`.
    ///
    /// # Errors
    ///
    /// As [`Window::place`].
    pub fn place(&self, input: [usize; 2]) -> Result<Placement> {
        self.window.place(OP, input)
    }

    /// The halo `[top, left, bottom, right]` that the input needs. At the bottom and right it is
    /// what the last window really reads, which the stride may make less than the padding.
    ///
    /// # Errors
    ///
    /// As [`Window::place`].
    pub fn halo(&self, input: [usize; 2]) -> Result<[usize; 4]> {
        let placement = self.place(input)?;
        let mut halo = placement.padding;
        for axis in 0..2 {
            let last = placement.position(
                axis,
                placement.output[axis] - 1,
                placement.kernel_size[axis] - 1,
            );
            let over = usize::try_from(last + 1)
                .unwrap_or(0)
                .saturating_sub(input[axis]);
            halo[axis + 2] = over;
        }
        Ok(halo)
    }

    /// Computes the output's interior from the input and its halo, inside the caller's thread
    /// pool. The output's halo is untouched.
    ///
    /// The same bits come out for any number of threads: each sum has one order.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where a layout does not fit the convolution or its data.
    pub fn run(&self, input: View<'_>, mut output: ViewMut<'_>) -> Result<()> {
        let placement = self.check(&input.layout(), &output.layout())?;
        let job = Job::new(self, &placement, input, &mut output);
        let tasks = job.tasks();
        (0..tasks.count())
            .into_par_iter()
            .with_max_len(1)
            .for_each(|task| {
                // SAFETY: a view's data is as long as its layout says, and `check` has compared the
                // layouts with each other and the input's halo with what the window reaches, so every
                // offset that the job computes lies inside them; the tasks partition the output, so no
                // two of them write the same place.
                unsafe { job.run(&tasks, task) }
            });
        Ok(())
    }

    /// Everything that [`run`](Self::run)'s pointers rely on.
    fn check(&self, input: &Layout, output: &Layout) -> Result<Placement> {
        let placement = self.place(input.size)?;
        let needed = self.halo(input.size)?;
        let pairs = [
            ("input channels (axis c)", self.in_channels, input.channels),
            (
                "the input's channels that lie together",
                self.block,
                input.block,
            ),
            ("output batch (axis n)", input.batch, output.batch),
            (
                "output channels (axis c)",
                self.out_channels,
                output.channels,
            ),
            (
                "output height (axis h)",
                placement.output[0],
                output.size[0],
            ),
            ("output width (axis w)", placement.output[1], output.size[1]),
            (
                "the output's channels that lie together",
                BLOCK,
                output.block,
            ),
        ];
        for (what, expected, got) in pairs {
            super::expect(OP, what, expected, got)?;
        }
        let sides = [
            "the halo's top",
            "the halo's left",
            "the halo's bottom",
            "the halo's right",
        ];
        for side in 0..4 {
            let (expected, got) = (needed[side], input.halo[side]);
            if got < expected {
                return Err(Error::Mismatch {
                    op: OP,
                    what: sides[side],
                    expected,
                    got,
                });
            }
        }
        Ok(placement)
    }
}

/// A weight too small to matter is 0: denormal numbers slow some processors down a hundredfold.
fn flush(weight: f32) -> f32 {
    if weight.is_subnormal() { 0.0 } else { weight }
}

/// How the output is split. Depends on the problem alone.
struct Tasks {
    pictures: usize,
    /// Runs of neighbouring output blocks within a group, and how many blocks a run has at most.
    runs_in_group: usize,
    blocks_in_run: usize,
    blocks_in_chunk: usize,
    /// Bands of neighbouring rows, and how many rows a band has at most.
    bands: usize,
    rows_in_band: usize,
    groups: usize,
}

impl Tasks {
    fn count(&self) -> usize {
        self.pictures * self.groups * self.runs_in_group * self.bands
    }
}

/// One call of [`PackedConv2d::run`] with its steps worked out.
struct Job<'a> {
    conv: &'a PackedConv2d,
    /// Channel blocks of one group.
    in_blocks: usize,
    out_blocks: usize,
    batch: usize,
    /// Output rows and columns; a dense 1x1 convolution is one long row.
    rows: usize,
    columns: usize,
    input: *const f32,
    output: *mut f32,
    /// From one picture to the next.
    input_picture: usize,
    output_picture: usize,
    /// From one channel block to the next.
    input_block: usize,
    output_block: usize,
    /// From the input of one output row, or column, to the next.
    input_row: usize,
    input_column: usize,
    output_row: usize,
    /// From one tap to the next.
    tap: [usize; 2],
    kernels: &'static [&'static [Kernel]],
    most_pixels: usize,
    most_panels: usize,
}

// SAFETY: the pointers come from a shared and an exclusive borrow that outlive the job, and tasks
// write disjoint parts of the output.
unsafe impl Sync for Job<'_> {}

impl<'a> Job<'a> {
    fn new(
        conv: &'a PackedConv2d,
        placement: &Placement,
        input: View<'a>,
        output: &'a mut ViewMut<'_>,
    ) -> Self {
        let (input_layout, output_layout) = (input.layout(), output.layout());
        let kernels = conv.isa.kernels();
        let [mut rows, mut columns] = placement.output;
        let pointwise = conv.window.kernel_size == [1, 1]
            && conv.window.stride == [1, 1]
            && input_layout.is_dense()
            && output_layout.is_dense();
        if pointwise {
            (rows, columns) = (1, rows * columns);
        }
        // The window starts at the padding, which lies `halo - padding` inside the memory.
        let start = (input_layout.halo[0] - placement.padding[0]) * input_layout.row_step()
            + (input_layout.halo[1] - placement.padding[1]) * input_layout.block;
        let input_column = placement.stride[1] * conv.block;
        Self {
            conv,
            in_blocks: (conv.in_channels / conv.groups).div_ceil(conv.block),
            out_blocks: (conv.out_channels / conv.groups).div_ceil(BLOCK),
            batch: input_layout.batch,
            rows,
            columns,
            input: input.data().as_ptr().wrapping_add(start),
            output: output
                .data_mut()
                .as_mut_ptr()
                .wrapping_add(output_layout.offset(0, 0, 0, 0)),
            input_picture: input_layout.picture_step(),
            output_picture: output_layout.picture_step(),
            input_block: input_layout.block_step(),
            output_block: output_layout.block_step(),
            input_row: placement.stride[0] * input_layout.row_step(),
            input_column,
            output_row: output_layout.row_step(),
            tap: [
                placement.dilation[0] * input_layout.row_step(),
                placement.dilation[1] * input_layout.block,
            ],
            kernels: match (conv.block, input_column) {
                (1, _) => kernels.planar,
                (_, BLOCK) => kernels.blocked,
                _ => kernels.blocked_strided,
            },
            most_pixels: kernels.most_pixels,
            most_panels: kernels.most_panels,
        }
    }

    /// Packed weights from one input block to one output block, in numbers.
    fn panel_block(&self) -> usize {
        let [kh, kw] = self.conv.window.kernel_size;
        kh * kw * self.conv.block * BLOCK
    }

    /// Packed weights of one output block, in numbers.
    fn panel(&self) -> usize {
        self.in_blocks * self.panel_block()
    }

    fn tasks(&self) -> Tasks {
        // Few weights: a task takes all output blocks of a band of rows, whose input then stays in
        // the cache. Many: a task takes as many blocks as the cache holds.
        let panel_bytes = self.panel() * size_of::<f32>();
        let blocks_in_run = (WEIGHTS_IN_CACHE / panel_bytes.max(1))
            .clamp(self.most_panels, self.out_blocks.max(self.most_panels));
        let chunk_bytes = self.panel_block() * size_of::<f32>() * self.most_panels;
        let blocks_in_chunk = (WEIGHTS_IN_CHUNK / chunk_bytes.max(1)).clamp(1, self.in_blocks);
        let row = self.columns * blocks_in_run * self.panel();
        let rows_in_band = (TASK_MULTIPLY_ADDS / row.max(1)).clamp(1, self.rows);
        Tasks {
            pictures: self.batch,
            groups: self.conv.groups,
            runs_in_group: self.out_blocks.div_ceil(blocks_in_run),
            blocks_in_run,
            blocks_in_chunk,
            bands: self.rows.div_ceil(rows_in_band),
            rows_in_band,
        }
    }

    /// Computes one task.
    ///
    /// # Safety
    ///
    /// The layouts that the job was made from fit the slices behind its pointers, and no other
    /// thread computes the same task.
    unsafe fn run(&self, tasks: &Tasks, task: usize) {
        let (task, band) = (task / tasks.bands, task % tasks.bands);
        let (task, run) = (task / tasks.runs_in_group, task % tasks.runs_in_group);
        let (picture, group) = (task / tasks.groups, task % tasks.groups);
        let rows = band * tasks.rows_in_band..self.rows.min((band + 1) * tasks.rows_in_band);
        let last = self.out_blocks.min((run + 1) * tasks.blocks_in_run);
        let mut block = run * tasks.blocks_in_run;
        while block < last {
            let panels = self.most_panels.min(last - block);
            let out_block = group * self.out_blocks + block;
            for chunk in (0..self.in_blocks).step_by(tasks.blocks_in_chunk) {
                let in_blocks = chunk..self.in_blocks.min(chunk + tasks.blocks_in_chunk);
                for row in rows.clone() {
                    // SAFETY: the caller's, passed on; rows and blocks lie within the tensors.
                    unsafe { self.row(picture, group, &in_blocks, out_block, panels, row) };
                }
            }
            block += panels;
        }
    }

    /// Adds the products of `in_blocks` to `panels` output blocks of one output row; with the
    /// first of the input blocks begins the sum, with the last it is finished.
    ///
    /// # Safety
    ///
    /// As [`run`](Self::run); the row and the blocks lie within the tensors.
    unsafe fn row(
        &self,
        picture: usize,
        group: usize,
        in_blocks: &Range<usize>,
        out_block: usize,
        panels: usize,
        row: usize,
    ) {
        let kernels = self.kernels[panels - 1];
        let (first, last) = (in_blocks.start == 0, in_blocks.end == self.in_blocks);
        let weight = out_block * self.panel() + in_blocks.start * self.panel_block();
        // SAFETY: within the input, the output, the weights and the bias: `picture < batch`,
        // `row < rows`, the blocks are within their counts, and `check` has compared the extents.
        let (input, output, weight, bias) = unsafe {
            (
                self.input.add(
                    picture * self.input_picture
                        + (group * self.in_blocks + in_blocks.start) * self.input_block
                        + row * self.input_row,
                ),
                self.output.add(
                    picture * self.output_picture
                        + out_block * self.output_block
                        + row * self.output_row,
                ),
                self.conv.weight.as_ptr().add(weight),
                self.conv.bias.as_ptr().add(out_block * BLOCK),
            )
        };
        // Tiles of nearly one size: 13 pixels are 5 + 4 + 4, not 6 + 6 + 1.
        let tiles = self.columns.div_ceil(self.most_pixels);
        let (pixels, longer) = (self.columns / tiles, self.columns % tiles);
        let mut column = 0;
        for tile in 0..tiles {
            let pixels = pixels + usize::from(tile < longer);
            let operands = Tile {
                input: input.wrapping_add(column * self.input_column),
                input_pixel: self.input_column,
                input_block: self.input_block,
                input_row: self.tap[0],
                input_tap: self.tap[1],
                blocks: in_blocks.len(),
                kernel_size: self.conv.window.kernel_size,
                weight,
                weight_panel: self.panel(),
                bias: if first { bias } else { std::ptr::null() },
                output: output.wrapping_add(column * BLOCK),
                output_panel: self.output_block,
                activation: if last {
                    self.conv.activation
                } else {
                    Activation::Identity
                },
            };
            // SAFETY: the tile's pixels are `column..column + pixels` of the row; the instruction
            // set is there, as the `Isa` in the convolution shows.
            unsafe { kernels[pixels - 1](&operands) };
            column += pixels;
        }
    }
}
