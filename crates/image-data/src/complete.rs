//! Whether a file's data is all there, which the decoders forgive and a detector should not.
//!
//! A JPEG decoder fills what is missing with grey, and a PNG decoder does not look for the end.
//! Both formats mark their end, so this walks from mark to mark without decoding anything.

/// What a walk over a JPEG's markers found.
#[derive(Debug, Default)]
pub(crate) struct JpegScan {
    /// The end marker is there, and the entropy-coded data is long enough for the picture.
    pub(crate) complete: bool,
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
                scan.complete = entropy_bytes * 8 >= frame.blocks();
                return scan;
            }
            // Start of image, restarts and the reserved 01 stand alone.
            0x01 | 0xd0..=0xd8 => continue,
            _ => {}
        }
        let Some(segment) = segment(file, at) else {
            return scan;
        };
        at += segment.len();
        match marker {
            START_OF_SCAN => {
                let components = segment.get(2).copied().map_or(0, usize::from);
                if frame.progressive || components < frame.sampling.len() {
                    scan.coefficient_bytes = frame.coefficient_bytes();
                }
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
    scan
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

/// What a start of frame says.
#[derive(Default)]
struct Frame {
    size: [u64; 2],
    /// Sampling factors `[v, h]` of each component.
    sampling: Vec<[u64; 2]>,
    progressive: bool,
}

impl Frame {
    fn parse(segment: &[u8], progressive: bool) -> Option<Self> {
        let &[_, _, _, h1, h0, w1, w0, _, ref components @ ..] = segment else {
            return None;
        };
        let side = |high, low| u64::from(u16::from_be_bytes([high, low]));
        let sampling = components
            .chunks_exact(3)
            .map(|component| [u64::from(component[1] & 15), u64::from(component[1] >> 4)])
            .collect();
        Some(Self {
            size: [side(h1, h0), side(w1, w0)],
            sampling,
            progressive,
        })
    }

    /// Largest sampling factors `[v, h]`.
    fn largest(&self) -> [u64; 2] {
        let largest = |axis: usize| {
            self.sampling
                .iter()
                .map(|s| s[axis])
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
        units * self.sampling.iter().map(|s| s[0] * s[1]).max().unwrap_or(0)
    }

    /// 64 coefficients of two bytes for each block of each component.
    fn coefficient_bytes(&self) -> u64 {
        let [v, h] = self.largest();
        let units = self.size[0].div_ceil(8 * v) * self.size[1].div_ceil(8 * h);
        units * self.sampling.iter().map(|s| s[0] * s[1]).sum::<u64>() * 128
    }
}

/// Whether a PNG's chunks reach its end mark (PNG specification, section 5).
pub(crate) fn png_is_complete(file: &[u8]) -> bool {
    const SIGNATURE_LEN: usize = 8;
    // Length, type and checksum.
    const CHUNK_FRAME: usize = 12;
    let mut rest = file.get(SIGNATURE_LEN..).unwrap_or_default();
    while let &[a, b, c, d, ref kind @ ..] = rest {
        let len = u32::from_be_bytes([a, b, c, d]) as usize;
        let Some(next) = len
            .checked_add(CHUNK_FRAME)
            .and_then(|size| rest.get(size..))
        else {
            return false;
        };
        if kind.starts_with(b"IEND") {
            return true;
        }
        rest = next;
    }
    false
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
    fn jpeg_needs_its_end_marker_and_a_bit_for_each_block() {
        // 64 x 32 has 32 luma blocks: 4 bytes at the least.
        assert!(scan_jpeg(&jpeg(0xc0, 3, &[1, 2, 3, 4])).complete);
        assert!(!scan_jpeg(&jpeg(0xc0, 3, &[1, 2, 3])).complete);
        let whole = jpeg(0xc0, 3, &[1, 0xff, 0, 0xff, 0xd3, 4]);
        assert!(scan_jpeg(&whole).complete);
        for len in 0..whole.len() {
            assert!(!scan_jpeg(&whole[..len]).complete, "{len} bytes");
        }
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
