//! Checks for truncated files, which the decoders accept and a detector should not.
//!
//! A JPEG decoder fills missing data with grey, and a PNG decoder does not check for the end. Both
//! formats have an end mark, so these checks walk over the markers or chunks and decode nothing.

/// How a file ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    /// With the format's end mark.
    Marked,
    /// Without the end mark, but possibly with all of its data.
    Missing,
    /// With data missing.
    #[default]
    Cut,
}

/// The result of a walk over a JPEG's markers.
#[derive(Debug, Default)]
pub(crate) struct JpegScan {
    /// [`End::Marked`] only if the entropy-coded data is also long enough for the picture.
    pub(crate) end: End,
    /// The bytes of coefficients that the decoder keeps for the whole picture, because no single
    /// scan contains all components and frequencies; else 0.
    pub(crate) coefficient_bytes: u64,
}

/// Walks over a JPEG's markers (ITU-T T.81, annex B).
pub(crate) fn scan_jpeg(file: &[u8]) -> JpegScan {
    let mut scan = JpegScan::default();
    let mut frame = Frame::default();
    let mut entropy_bytes = 0;
    let mut at = 0;
    while let Some((marker, after)) = next_marker(file, at) {
        at = after;
        match marker {
            END_OF_IMAGE => {
                if entropy_bytes * 8 >= frame.blocks() {
                    scan.end = End::Marked;
                }
                return scan;
            }
            // Start of image, restarts and the reserved 01 have no segment.
            0x01 | 0xd0..=0xd8 => continue,
            _ => {}
        }
        let Some(segment) = segment(file, at) else {
            break;
        };
        at += segment.len();
        match marker {
            START_OF_SCAN => {
                let components = segment.get(2).copied().map_or(0, usize::from);
                if frame.progressive || components < frame.components.len() {
                    scan.coefficient_bytes = frame.coefficient_bytes();
                }
                frame.scan(segment);
                let data = entropy_len(file, at);
                entropy_bytes += data as u64;
                at += data;
            }
            // Start of frame, but not the table markers in the same range.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                frame = Frame::parse(segment, marker & 3 == 2).unwrap_or_default();
            }
            _ => {}
        }
    }
    if entropy_bytes > 0 && entropy_bytes * 8 >= frame.blocks() && frame.has_every_scan() {
        scan.end = End::Missing;
    }
    scan
}

/// Completes a JPEG without an end marker in three ways: each adds filler bytes that continue the
/// last scan, different each time, and then the marker.
pub(crate) fn jpeg_endings(file: &[u8]) -> [Vec<u8>; 3] {
    /// More bytes than a decoder reads ahead.
    const LEN: usize = 64;
    // The first half of the marker may be there.
    let file = file.strip_suffix(&[0xff]).unwrap_or(file);
    [0x00, 0x55, 0xaa].map(|byte| [file, &[byte; LEN], &[0xff, END_OF_IMAGE]].concat())
}

const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;

/// Returns the next marker at or after `at`, and the offset after it. Stray bytes are skipped.
fn next_marker(file: &[u8], at: usize) -> Option<(u8, usize)> {
    let rest = file.get(at..)?;
    let offset = rest
        .windows(2)
        .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff))?;
    Some((rest[offset + 1], at + offset + 2))
}

/// Returns the segment at `at`, which begins with its length in two bytes.
fn segment(file: &[u8], at: usize) -> Option<&[u8]> {
    let rest = file.get(at..)?;
    let &[high, low, ..] = rest else { return None };
    let len = usize::from(u16::from_be_bytes([high, low]));
    rest.get(..len.max(2))
}

/// Returns the number of bytes of entropy-coded data from `at` to the next marker.
fn entropy_len(file: &[u8], at: usize) -> usize {
    let rest = file.get(at..).unwrap_or_default();
    rest.windows(2)
        .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7 | 0xff))
        .unwrap_or(rest.len())
}

/// The content of a start of frame, updated with each scan after it.
#[derive(Default)]
struct Frame {
    size: [u64; 2],
    components: Vec<Component>,
    progressive: bool,
}

struct Component {
    id: u8,
    /// Sampling factors `[v, h]`.
    sampling: [u64; 2],
    /// For each coefficient, the lowest bit in any scan so far.
    lowest_bit: [Option<u8>; 64],
}

impl Frame {
    fn parse(segment: &[u8], progressive: bool) -> Option<Self> {
        let &[_, _, _, h1, h0, w1, w0, _, ref components @ ..] = segment else {
            return None;
        };
        let side = |high, low| u64::from(u16::from_be_bytes([high, low]));
        let components = components
            .chunks_exact(3)
            .map(|component| Component {
                id: component[0],
                sampling: [u64::from(component[1] & 15), u64::from(component[1] >> 4)],
                lowest_bit: [None; 64],
            })
            .collect();
        Some(Self {
            size: [side(h1, h0), side(w1, w0)],
            components,
            progressive,
        })
    }

    /// Records the coefficients of each component in a scan. Its header consists of two bytes of
    /// length, the number of components, two bytes for each component, the first and the last
    /// coefficient, and the bit positions in two half bytes.
    fn scan(&mut self, header: &[u8]) {
        let Some((&count, rest)) = header.get(2..).and_then(<[u8]>::split_first) else {
            return;
        };
        let Some((chosen, rest)) = rest.split_at_checked(2 * usize::from(count)) else {
            return;
        };
        let &[first, last, bits, ..] = rest else {
            return;
        };
        let (band, bit) = if self.progressive {
            (usize::from(first)..usize::from(last) + 1, bits & 15)
        } else {
            (0..64, 0)
        };
        for id in chosen.chunks_exact(2).map(|component| component[0]) {
            let component = self.components.iter_mut().find(|known| known.id == id);
            let coefficients = component.and_then(|known| known.lowest_bit.get_mut(band.clone()));
            coefficients.into_iter().flatten().for_each(|lowest| {
                *lowest = Some(lowest.map_or(bit, |lowest| lowest.min(bit)));
            });
        }
    }

    /// Whether the scans contain every coefficient of every component down to its lowest bit.
    fn has_every_scan(&self) -> bool {
        let mut coefficients = self.components.iter().flat_map(|known| &known.lowest_bit);
        !self.components.is_empty() && coefficients.all(|lowest| *lowest == Some(0))
    }

    /// Returns the largest sampling factors `[v, h]`.
    fn largest(&self) -> [u64; 2] {
        let largest = |axis: usize| {
            self.components
                .iter()
                .map(|known| known.sampling[axis])
                .max()
                .unwrap_or(1)
                .max(1)
        };
        [largest(0), largest(1)]
    }

    /// Returns a lower bound of the number of 8x8 blocks in the component with the most blocks.
    /// Each block takes at least one bit.
    fn blocks(&self) -> u64 {
        let [v, h] = self.largest();
        let units = (self.size[0] / (8 * v)) * (self.size[1] / (8 * h));
        units * self.blocks_of_a_unit().max().unwrap_or(0)
    }

    /// Returns the bytes of 64 coefficients of two bytes for each block of each component.
    fn coefficient_bytes(&self) -> u64 {
        let [v, h] = self.largest();
        let units = self.size[0].div_ceil(8 * v) * self.size[1].div_ceil(8 * h);
        units * self.blocks_of_a_unit().sum::<u64>() * 128
    }

    /// Returns the number of blocks per unit of each component.
    fn blocks_of_a_unit(&self) -> impl Iterator<Item = u64> {
        let components = self.components.iter();
        components.map(|known| known.sampling[0] * known.sampling[1])
    }
}

/// A PNG's last chunk: its length of 0, its type and its checksum.
pub(crate) const PNG_END: [u8; 12] = *b"\0\0\0\0IEND\xaeB`\x82";

/// The result of a walk over a PNG's chunks.
#[derive(Debug, Default)]
pub(crate) struct PngScan {
    pub(crate) end: End,
    /// The offset at which the last complete chunk ends.
    pub(crate) chunks: usize,
    /// The length in bytes of a palette, if it is not a multiple of 3.
    pub(crate) broken_palette: Option<usize>,
}

/// Walks over a PNG's chunks (PNG specification, section 5).
pub(crate) fn scan_png(file: &[u8]) -> PngScan {
    const SIGNATURE_LEN: usize = 8;
    // The length, the type and the checksum.
    const CHUNK_FRAME: usize = 12;
    let mut scan = PngScan {
        chunks: SIGNATURE_LEN,
        ..PngScan::default()
    };
    let mut has_data = false;
    loop {
        let rest = file.get(scan.chunks..).unwrap_or_default();
        if PNG_END.starts_with(rest) && rest.len() < PNG_END.len() {
            if has_data {
                scan.end = End::Missing;
            }
            return scan;
        }
        let &[a, b, c, d, ref kind @ ..] = rest else {
            return scan;
        };
        let len = u32::from_be_bytes([a, b, c, d]) as usize;
        let end = len
            .checked_add(CHUNK_FRAME)
            .filter(|size| *size <= rest.len());
        let Some(size) = end else {
            return scan;
        };
        if kind.starts_with(b"IEND") {
            scan.end = End::Marked;
            return scan;
        }
        has_data |= kind.starts_with(b"IDAT");
        if kind.starts_with(b"PLTE") && !len.is_multiple_of(3) {
            scan.broken_palette = Some(len);
        }
        scan.chunks += size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A JPEG of 64 x 32 pixels with 4:2:0 sampling and one scan: `components` components, `data`.
    fn jpeg(frame: u8, components: u8, data: &[u8]) -> Vec<u8> {
        let mut file = vec![0xff, 0xd8];
        file.extend([
            0xff, frame, 0, 17, 8, 0, 32, 0, 64, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1,
        ]);
        file.extend([0xff, 0xda, 0, 3, components]);
        file.extend(data);
        file.extend([0xff, 0xd9]);
        file
    }

    #[test]
    fn a_jpeg_needs_one_bit_per_block() {
        // 64 x 32 pixels have 32 luma blocks: at least 4 bytes.
        assert_eq!(scan_jpeg(&jpeg(0xc0, 3, &[1, 2, 3, 4])).end, End::Marked);
        assert_eq!(scan_jpeg(&jpeg(0xc0, 3, &[1, 2, 3])).end, End::Cut);
        let whole = jpeg(0xc0, 3, &[1, 0xff, 0, 0xff, 0xd3, 4]);
        assert_eq!(scan_jpeg(&whole).end, End::Marked);
        for len in 0..whole.len() {
            assert_ne!(scan_jpeg(&whole[..len]).end, End::Marked, "{len} bytes");
        }
    }

    #[test]
    fn the_end_mark_may_be_missing_only_if_every_scan_is_there() {
        let without_end = |frame, scans: &[&[u8]]| {
            let mut file = jpeg(frame, 0, &[]);
            // Without the empty scan and the end mark.
            file.truncate(file.len() - 7);
            for scan in scans {
                file.extend([0xff, 0xda, 0, 2 + scan.len() as u8]);
                file.extend(*scan);
                file.extend([1, 2, 3, 4]);
            }
            scan_jpeg(&file).end
        };
        // Components 1 to 3 with their tables, then the coefficients and the bits.
        let all = |first, last, bits| vec![3, 1, 0, 2, 0, 3, 0, first, last, bits];
        let one = |id, first, last, bits| vec![1, id, 0, first, last, bits];
        assert_eq!(without_end(0xc0, &[&all(0, 63, 0)]), End::Missing);
        assert_eq!(without_end(0xc0, &[&one(1, 0, 63, 0)]), End::Cut);
        let each = [1, 2, 3].map(|id| one(id, 0, 63, 0));
        assert_eq!(
            without_end(0xc0, &[&each[0], &each[1], &each[2]]),
            End::Missing
        );
        // Progressive: without the higher frequencies, without their lowest bit, complete.
        assert_eq!(without_end(0xc2, &[&all(0, 0, 0)]), End::Cut);
        assert_eq!(
            without_end(0xc2, &[&all(0, 0, 0), &all(1, 63, 1)]),
            End::Cut
        );
        assert_eq!(
            without_end(0xc2, &[&all(0, 0, 0), &all(1, 63, 1), &all(1, 63, 0x10)]),
            End::Missing
        );
    }

    #[test]
    fn coefficients_are_kept_for_progressive_and_for_separate_scans() {
        // 2 x 4 units of 4 luma and 2 chroma blocks of 128 bytes.
        let kept = 2 * 4 * 6 * 128;
        assert_eq!(scan_jpeg(&jpeg(0xc0, 3, &[0; 4])).coefficient_bytes, 0);
        assert_eq!(scan_jpeg(&jpeg(0xc0, 1, &[0; 4])).coefficient_bytes, kept);
        assert_eq!(scan_jpeg(&jpeg(0xc2, 3, &[0; 4])).coefficient_bytes, kept);
    }
}
