//! Whether a file's data is all there, which the decoders forgive and a detector should not.
//!
//! A JPEG decoder fills what is missing with grey, and a PNG decoder does not look for the end.
//! Both formats mark their end, so this walks from mark to mark without decoding anything.

/// How a file ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    /// With the format's mark.
    Marked,
    /// Without it, where all data may be there.
    Missing,
    /// Before all data.
    #[default]
    Cut,
}

/// What a walk over a JPEG's markers found.
#[derive(Debug, Default)]
pub(crate) struct JpegScan {
    /// Where the end marker is there, the entropy-coded data is long enough for the picture.
    pub(crate) end: End,
    /// Bytes of coefficients that the decoder keeps for the whole picture, because its scans do not
    /// hold all components and frequencies at once.
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
            // Start of image, restarts and the reserved 01 stand alone.
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
            // Start of frame, but not the tables that share its numbers.
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

/// A JPEG without an end marker with the marker behind it, and in front of that what its last scan
/// would go on with if it were not whole: different in each.
pub(crate) fn jpeg_endings(file: &[u8]) -> [Vec<u8>; 3] {
    /// More than a decoder reads ahead.
    const LEN: usize = 64;
    // Half of the marker.
    let file = file.strip_suffix(&[0xff]).unwrap_or(file);
    [0x00, 0x55, 0xaa].map(|byte| [file, &[byte; LEN], &[0xff, END_OF_IMAGE]].concat())
}

const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;

/// The next marker at or after `at`, and the place behind it. Stray bytes are passed over.
fn next_marker(file: &[u8], at: usize) -> Option<(u8, usize)> {
    let rest = file.get(at..)?;
    let offset = rest
        .windows(2)
        .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff))?;
    Some((rest[offset + 1], at + offset + 2))
}

/// The segment at `at`: two bytes of its own length, then the rest.
fn segment(file: &[u8], at: usize) -> Option<&[u8]> {
    let rest = file.get(at..)?;
    let &[high, low, ..] = rest else { return None };
    let len = usize::from(u16::from_be_bytes([high, low]));
    rest.get(..len.max(2))
}

/// How many bytes of entropy-coded data there are from `at` to the next marker.
fn entropy_len(file: &[u8], at: usize) -> usize {
    let rest = file.get(at..).unwrap_or_default();
    rest.windows(2)
        .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7 | 0xff))
        .unwrap_or(rest.len())
}

/// What a start of frame says, and the scans that have come since.
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
    /// The lowest bit of each coefficient that a scan has had.
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

    /// Notes which coefficients of which components a scan has: its header is two bytes of length,
    /// the components with two bytes each, the first and the last coefficient, and two half bytes
    /// of bits.
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

    /// Whether every coefficient of every component has come down to its last bit.
    fn has_every_scan(&self) -> bool {
        let mut coefficients = self.components.iter().flat_map(|known| &known.lowest_bit);
        !self.components.is_empty() && coefficients.all(|lowest| *lowest == Some(0))
    }

    /// Largest sampling factors `[v, h]`.
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

    /// How many blocks of 8x8 the component with the most has for certain. Each takes a bit.
    fn blocks(&self) -> u64 {
        let [v, h] = self.largest();
        let units = (self.size[0] / (8 * v)) * (self.size[1] / (8 * h));
        units * self.blocks_of_a_unit().max().unwrap_or(0)
    }

    /// 64 coefficients of two bytes for each block of each component.
    fn coefficient_bytes(&self) -> u64 {
        let [v, h] = self.largest();
        let units = self.size[0].div_ceil(8 * v) * self.size[1].div_ceil(8 * h);
        units * self.blocks_of_a_unit().sum::<u64>() * 128
    }

    /// For each component.
    fn blocks_of_a_unit(&self) -> impl Iterator<Item = u64> {
        let components = self.components.iter();
        components.map(|known| known.sampling[0] * known.sampling[1])
    }
}

/// A PNG's last chunk: no data, and its checksum.
pub(crate) const PNG_END: [u8; 12] = *b"\0\0\0\0IEND\xaeB`\x82";

/// What a walk over a PNG's chunks found.
#[derive(Debug, Default)]
pub(crate) struct PngScan {
    pub(crate) end: End,
    /// Where the last whole chunk ends.
    pub(crate) chunks: usize,
    /// The length of a palette that does not consist of colours.
    pub(crate) broken_palette: Option<usize>,
}

/// Walks over a PNG's chunks (PNG specification, section 5).
pub(crate) fn scan_png(file: &[u8]) -> PngScan {
    const SIGNATURE_LEN: usize = 8;
    // Length, type and checksum.
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

    /// A frame of 64 x 32 with 4:2:0 sampling, then a scan of `components` with `data`.
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
    fn jpeg_needs_a_bit_for_each_block() {
        // 64 x 32 has 32 luma blocks: 4 bytes at the least.
        assert_eq!(scan_jpeg(&jpeg(0xc0, 3, &[1, 2, 3, 4])).end, End::Marked);
        assert_eq!(scan_jpeg(&jpeg(0xc0, 3, &[1, 2, 3])).end, End::Cut);
        let whole = jpeg(0xc0, 3, &[1, 0xff, 0, 0xff, 0xd3, 4]);
        assert_eq!(scan_jpeg(&whole).end, End::Marked);
        for len in 0..whole.len() {
            assert_ne!(scan_jpeg(&whole[..len]).end, End::Marked, "{len} bytes");
        }
    }

    #[test]
    fn only_where_every_scan_is_there_may_the_end_be_missing() {
        let without_end = |frame, scans: &[&[u8]]| {
            let mut file = jpeg(frame, 0, &[]);
            // The empty scan, and the end.
            file.truncate(file.len() - 7);
            for scan in scans {
                file.extend([0xff, 0xda, 0, 2 + scan.len() as u8]);
                file.extend(*scan);
                file.extend([1, 2, 3, 4]);
            }
            scan_jpeg(&file).end
        };
        // Components 1 to 3 with their tables, then band and bits.
        let all = |first, last, bits| vec![3, 1, 0, 2, 0, 3, 0, first, last, bits];
        let one = |id, first, last, bits| vec![1, id, 0, first, last, bits];
        assert_eq!(without_end(0xc0, &[&all(0, 63, 0)]), End::Missing);
        assert_eq!(without_end(0xc0, &[&one(1, 0, 63, 0)]), End::Cut);
        let each = [1, 2, 3].map(|id| one(id, 0, 63, 0));
        assert_eq!(
            without_end(0xc0, &[&each[0], &each[1], &each[2]]),
            End::Missing
        );
        // Progressive: without the frequencies, then without their last bit.
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
        // 2 x 4 units of 4 luma and 2 chroma blocks, 128 bytes each.
        let kept = 2 * 4 * 6 * 128;
        assert_eq!(scan_jpeg(&jpeg(0xc0, 3, &[0; 4])).coefficient_bytes, 0);
        assert_eq!(scan_jpeg(&jpeg(0xc0, 1, &[0; 4])).coefficient_bytes, kept);
        assert_eq!(scan_jpeg(&jpeg(0xc2, 3, &[0; 4])).coefficient_bytes, kept);
    }
}
