//! The kind of a file, detected from its first bytes and never from its name.

use std::fmt;

/// A kind of file that may be found where another was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// No bytes at all.
    Empty,
    /// A web page, as left by a failed download.
    Html,
    /// The pointer that git-lfs stores in place of a large file.
    GitLfsPointer,
    /// A `.safetensors` file: a Convoxide model file or checkpoint, or weights.
    Safetensors,
    /// A zip archive, as `.pth` and `.npz` files are.
    Zip,
    /// A PyTorch file of the format before version 1.6: several pickles, then the values.
    PyTorchLegacy,
    /// Any other Python pickle.
    Pickle,
    /// A NumPy array.
    Npy,
    /// HDF5, as written by Keras.
    Hdf5,
    /// A tar archive.
    Tar,
    /// Data compressed by gzip.
    Gzip,
    /// Data compressed by bzip2.
    Bzip2,
    /// Data compressed by xz.
    Xz,
    /// Data compressed by Zstandard.
    Zstd,
    /// A 7-Zip archive.
    SevenZip,
    /// A RAR archive.
    Rar,
    /// A PNG picture.
    Png,
    /// A JPEG picture.
    Jpeg,
    /// A GIF picture.
    Gif,
    /// A BMP picture.
    Bmp,
    /// A TIFF picture.
    Tiff,
    /// A WebP picture.
    WebP,
    /// A HEIF or AVIF picture.
    Heif,
    /// A PBM, PGM, PPM or PAM picture.
    Pnm,
    /// A PDF document.
    Pdf,
}

impl Kind {
    /// The most bytes that [`Kind::of`] examines.
    pub const LOOKED_AT: usize = 512;

    /// The kind of the file that begins with these bytes, or `None` if they match no kind listed here:
    /// text, raw numbers, or something unknown.
    ///
    /// ```
    /// use files::Kind;
    ///
    /// assert_eq!(Kind::of(b"PK\x03\x04"), Some(Kind::Zip));
    /// assert_eq!(Kind::of(b"[net]\nwidth=416"), None);
    /// assert_eq!(Kind::of(b"<html>").unwrap().to_string(), "an HTML page");
    /// ```
    #[must_use]
    pub fn of(start: &[u8]) -> Option<Self> {
        if start.is_empty() {
            return Some(Self::Empty);
        }
        if is_html(start) {
            return Some(Self::Html);
        }
        let at = |offset: usize, magic: &[u8]| {
            start
                .get(offset..)
                .is_some_and(|rest| rest.starts_with(magic))
        };
        let kinds: [(usize, &[u8], Self); 27] = [
            (0, b"version https://git-lfs", Self::GitLfsPointer),
            // The header's length in 8 bytes, then the header.
            (6, b"\0\0{", Self::Safetensors),
            (0, b"PK\x03\x04", Self::Zip),
            (0, b"PK\x05\x06", Self::Zip),
            // Protocol 2, then protocol 4 with the frame that the first pickle consists of.
            (2, PYTORCH_MAGIC, Self::PyTorchLegacy),
            (11, PYTORCH_MAGIC, Self::PyTorchLegacy),
            (0, b"\x80\x02", Self::Pickle),
            (0, b"\x93NUMPY", Self::Npy),
            (0, b"\x89HDF\r\n\x1a\n", Self::Hdf5),
            (257, b"ustar", Self::Tar),
            (0, b"\x1f\x8b", Self::Gzip),
            (0, b"BZh", Self::Bzip2),
            (0, b"\xfd7zXZ\0", Self::Xz),
            (0, b"\x28\xb5\x2f\xfd", Self::Zstd),
            (0, b"7z\xbc\xaf\x27\x1c", Self::SevenZip),
            (0, b"Rar!\x1a\x07", Self::Rar),
            (0, b"\x89PNG\r\n\x1a\n", Self::Png),
            (0, b"\xff\xd8\xff", Self::Jpeg),
            (0, b"GIF8", Self::Gif),
            (0, b"II*\0", Self::Tiff),
            (0, b"MM\0*", Self::Tiff),
            (8, b"WEBP", Self::WebP),
            (4, b"ftypheic", Self::Heif),
            (4, b"ftypmif1", Self::Heif),
            (4, b"ftypavif", Self::Heif),
            (0, b"BM", Self::Bmp),
            (0, b"%PDF-", Self::Pdf),
        ];
        let found = kinds.iter().find(|(offset, magic, _)| at(*offset, magic));
        found.map(|&(_, _, kind)| kind).or_else(|| match start {
            [b'P', b'1'..=b'7', space, ..] if space.is_ascii_whitespace() => Some(Self::Pnm),
            // Protocols 4 and 5 begin with a frame, protocol 3 with any opcode.
            [0x80, 3, ..] | [0x80, 4 | 5, 0x95, ..] => Some(Self::Pickle),
            _ => None,
        })
    }
}

/// The number with which PyTorch began its files before version 1.6, as a pickle stores it.
const PYTORCH_MAGIC: &[u8] = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/// With its article, as in "it is a zip archive".
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty file",
            Self::Html => "an HTML page",
            Self::GitLfsPointer => "a git-lfs pointer",
            Self::Safetensors => "a .safetensors file",
            Self::Zip => "a zip archive",
            Self::PyTorchLegacy => "a PyTorch file in the format before 1.6",
            Self::Pickle => "a Python pickle",
            Self::Npy => "a NumPy array",
            Self::Hdf5 => "an HDF5 file",
            Self::Tar => "a tar archive",
            Self::Gzip => "a gzip file",
            Self::Bzip2 => "a bzip2 file",
            Self::Xz => "an xz file",
            Self::Zstd => "a Zstandard file",
            Self::SevenZip => "a 7-Zip archive",
            Self::Rar => "a RAR archive",
            Self::Png => "a PNG picture",
            Self::Jpeg => "a JPEG picture",
            Self::Gif => "a GIF picture",
            Self::Bmp => "a BMP picture",
            Self::Tiff => "a TIFF picture",
            Self::WebP => "a WebP picture",
            Self::Heif => "a HEIF or AVIF picture",
            Self::Pnm => "a PNM picture",
            Self::Pdf => "a PDF document",
        })
    }
}

/// Whether a file's first bytes are the beginning of an HTML page.
fn is_html(start: &[u8]) -> bool {
    let start = start
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(start)
        .trim_ascii_start();
    ["<!doctype", "<html", "<head", "<body", "<?xml"]
        .iter()
        .any(|tag| {
            start
                .get(..tag.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(tag.as_bytes()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_recognised_in_any_case_behind_blanks() {
        for page in ["<!DOCTYPE html>", "\n <HTML lang=en>", "\u{feff}<html>"] {
            assert_eq!(Kind::of(page.as_bytes()), Some(Kind::Html), "{page}");
        }
    }

    #[test]
    fn text_and_unknown_bytes_have_no_kind() {
        for other in ["<", "[net]\n", "<htm", "P5", "Part one", "\u{1}\u{2}"] {
            assert_eq!(Kind::of(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_header_of_safetensors_is_told_from_a_pickle_of_the_same_length() {
        // A header of 0x280 bytes.
        assert_eq!(
            Kind::of(b"\x80\x02\0\0\0\0\0\0{\"a\""),
            Some(Kind::Safetensors)
        );
        assert_eq!(Kind::of(b"\x80\x02}q\x00(X\x05\0"), Some(Kind::Pickle));
    }

    #[test]
    fn pickles_of_every_protocol_are_told_from_the_files_of_pytorch() {
        let magic = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
        let frame = b"\x95\x0d\0\0\0\0\0\0\0";
        for protocol in 2..=5 {
            let frame: &[u8] = if protocol < 4 { b"" } else { frame };
            let start = [&[0x80, protocol], frame].concat();
            let legacy = [&start[..], magic].concat();
            assert_eq!(Kind::of(&legacy), Some(Kind::PyTorchLegacy), "{protocol}");
            let other = [&start[..], b"}."].concat();
            assert_eq!(Kind::of(&other), Some(Kind::Pickle), "{protocol}");
        }
        assert_eq!(Kind::of(b"\x80\x04}."), None);
    }

    #[test]
    fn a_picture_in_text_is_told_by_the_blank_behind_its_number() {
        assert_eq!(Kind::of(b"P1\n2 2\n0 1 1 0\n"), Some(Kind::Pnm));
        assert_eq!(Kind::of(b"P1x"), None);
    }
}
