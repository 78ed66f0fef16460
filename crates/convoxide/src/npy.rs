//! NumPy's `.npy` and `.npz`: the tensors that `run` reads and writes.
//!
//! The format is that of NumPy's `numpy.lib.format`, versions 1 to 3. The crate that reads it for
//! ndarray needs a C compiler (through a parser of Python's literals), and f32 alone needs little.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use ndarray::{ArrayD, IxDyn, ShapeBuilder};

use crate::whole_file;

/// Why a file of tensors was refused; each message one line, with the file's name.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub(crate) struct Error {
    path: PathBuf,
    reason: Reason,
}

/// What was wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Reason {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("not a .npy file: it does not begin with \\x93NUMPY")]
    Magic,
    #[error("version {0} of the .npy format, expected 1 to 3")]
    Version(u8),
    #[error("the header of {got} bytes is over the limit of {MOST_HEADER}")]
    HeaderLength { got: u64 },
    #[error("the header {what}, at byte {at} of {text:?}")]
    Header {
        what: &'static str,
        at: usize,
        text: String,
    },
    #[error("dtype {0:?}, expected float32: numpy.asarray(x, dtype=numpy.float32) converts")]
    Kind(String),
    #[error("shape {shape:?} takes {expected} bytes, the file has {got} of numbers")]
    Length {
        shape: Vec<usize>,
        expected: u128,
        got: u64,
    },
    #[error("the archive cannot be written: {0}")]
    Archive(String),
}

/// Far over what any shape needs.
const MOST_HEADER: u64 = 1 << 16;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Reads a `.npy` of f32, of either byte order and either order of axes.
///
/// # Errors
///
/// [`Error`] for anything else, before memory is taken for what a header only claims.
pub(crate) fn read(path: &Path) -> Result<ArrayD<f32>, Error> {
    read_file(path).map_err(|reason| Error {
        path: path.to_owned(),
        reason,
    })
}

fn read_file(path: &Path) -> Result<ArrayD<f32>, Reason> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut start = [0; 8];
    fill(&mut file, &mut start, "is cut short")?;
    let [magic @ .., major, _minor] = &start;
    if magic != MAGIC {
        return Err(Reason::Magic);
    }
    let (width, mut size) = match major {
        1 => (2, [0; 4]),
        2 | 3 => (4, [0; 4]),
        &other => return Err(Reason::Version(other)),
    };
    fill(&mut file, &mut size[..width], "is cut short")?;
    let got = u64::from(u32::from_le_bytes(size));
    if got > MOST_HEADER {
        return Err(Reason::HeaderLength { got });
    }
    let mut text = vec![0; usize::try_from(got).unwrap_or(0)];
    fill(&mut file, &mut text, "is cut short")?;
    let header = Header::parse(&String::from_utf8_lossy(&text))?;

    let big_endian = match header.descr.as_str() {
        "<f4" | "=f4" | "|f4" => false,
        ">f4" => true,
        other => return Err(Reason::Kind(other.to_owned())),
    };
    let expected = (header.shape.iter())
        .try_fold(4u128, |bytes, &size| bytes.checked_mul(size as u128))
        .unwrap_or(u128::MAX);
    let got = length.saturating_sub(8 + width as u64 + text.len() as u64);
    if expected != u128::from(got) {
        let shape = header.shape;
        return Err(Reason::Length {
            shape,
            expected,
            got,
        });
    }
    // As long as the file is, so no claim of a header takes memory.
    let mut bytes = Vec::new();
    file.take(got).read_to_end(&mut bytes)?;
    let numbers = bytes.as_chunks::<4>().0.iter().map(|&number| {
        if big_endian {
            f32::from_be_bytes(number)
        } else {
            f32::from_le_bytes(number)
        }
    });
    let shape = IxDyn(&header.shape).set_f(header.fortran_order);
    ArrayD::from_shape_vec(shape, numbers.collect()).map_err(|_| Reason::Length {
        shape: header.shape,
        expected,
        got: bytes.len() as u64,
    })
}

/// Reads exactly as many bytes, or says that the header ends before.
fn fill(file: &mut File, bytes: &mut [u8], what: &'static str) -> Result<(), Reason> {
    file.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Reason::Header {
            what,
            at: 0,
            text: String::new(),
        },
        _ => Reason::Io(error),
    })
}

/// A `.npy`'s header: a Python dictionary with these three keys.
#[derive(Debug, Default, PartialEq)]
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl Header {
    fn parse(text: &str) -> Result<Self, Reason> {
        let mut parser = Parser { text, at: 0 };
        let mut header = Self::default();
        let mut keys = [false; 3];
        parser.expect("{", "is no dictionary")?;
        while !parser.accept("}") {
            let key = parser.string()?;
            parser.expect(":", "has no colon behind a key")?;
            match key {
                "descr" => {
                    header.descr = parser.string()?.to_owned();
                    keys[0] = true;
                }
                "fortran_order" => {
                    header.fortran_order = parser.accept("True");
                    if !header.fortran_order {
                        parser.expect("False", "has neither True nor False as fortran_order")?;
                    }
                    keys[1] = true;
                }
                "shape" => {
                    header.shape = parser.tuple()?;
                    keys[2] = true;
                }
                _ => return Err(parser.fault("has an unknown key")),
            }
            if !parser.accept(",") {
                parser.expect("}", "has no comma behind a value")?;
                break;
            }
        }
        if keys == [true; 3] {
            Ok(header)
        } else {
            Err(parser.fault("lacks descr, fortran_order or shape"))
        }
    }
}

/// As much of Python's literals as a header has.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn fault(&self, what: &'static str) -> Reason {
        Reason::Header {
            what,
            at: self.at,
            text: self.text.trim_end().chars().take(200).collect(),
        }
    }

    /// What is left, without white space in front.
    fn rest(&mut self) -> &'a str {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        rest
    }

    fn accept(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn expect(&mut self, word: &str, what: &'static str) -> Result<(), Reason> {
        if self.accept(word) {
            Ok(())
        } else {
            Err(self.fault(what))
        }
    }

    /// `'text'` or `"text"`; a structured or object dtype is a list and no text.
    fn string(&mut self) -> Result<&'a str, Reason> {
        let rest = self.rest();
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let quote = quote.ok_or_else(|| self.fault("has no text where one belongs"))?;
        let inside = &rest[1..];
        let end = inside
            .find(quote)
            .ok_or_else(|| self.fault("has a text without an end"))?;
        self.at += end + 2;
        Ok(&inside[..end])
    }

    /// `()`, `(3,)` or `(1, 3, 224, 224)`.
    fn tuple(&mut self) -> Result<Vec<usize>, Reason> {
        self.expect("(", "has no tuple as shape")?;
        let mut sizes = Vec::new();
        while !self.accept(")") {
            let rest = self.rest();
            let digits = rest.find(|c: char| !c.is_ascii_digit());
            let digits = &rest[..digits.unwrap_or(rest.len())];
            let size = digits
                .parse()
                .map_err(|_| self.fault("has a size that is none"))?;
            self.at += digits.len();
            sizes.push(size);
            if !self.accept(",") {
                self.expect(")", "has no comma behind a size")?;
                break;
            }
        }
        Ok(sizes)
    }
}

/// Writes one tensor as `.npy`, whole or not at all.
///
/// # Errors
///
/// [`Error`] where the file cannot be written; what was there before is then still there.
pub(crate) fn write(path: &Path, tensor: &ArrayD<f32>) -> Result<(), Error> {
    write_file(path, |file| Ok(write_tensor(file, tensor)?))
}

/// Writes tensors with their names as `.npz`, whole or not at all.
///
/// # Errors
///
/// As [`write()`].
pub(crate) fn write_npz(path: &Path, tensors: &[(&str, &ArrayD<f32>)]) -> Result<(), Error> {
    let archive = |error: zip::result::ZipError| Reason::Archive(error.to_string());
    write_file(path, |file| {
        let mut zip = zip::ZipWriter::new(file);
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored)
            // The same tensors, the same bytes.
            .last_modified_time(zip::DateTime::default())
            .large_file(true);
        for (name, tensor) in tensors {
            zip.start_file(format!("{name}.npy"), options)
                .map_err(archive)?;
            write_tensor(&mut zip, tensor)?;
        }
        zip.finish().map_err(archive)?;
        Ok(())
    })
}

fn write_file(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> Result<(), Reason>,
) -> Result<(), Error> {
    whole_file::write(path, write).map_err(|reason| Error {
        path: path.to_owned(),
        reason,
    })
}

fn write_tensor(file: &mut impl Write, tensor: &ArrayD<f32>) -> io::Result<()> {
    let sizes: String = tensor
        .shape()
        .iter()
        .map(|size| format!("{size}, "))
        .collect();
    let dictionary = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({sizes}), }}");
    // Spaces and a line's end, so that the numbers begin at a multiple of 64.
    let padding = 64 - (10 + dictionary.len() + 1) % 64;
    let header = format!("{dictionary}{}\n", " ".repeat(padding));
    let length = u16::try_from(header.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a shape of too many axes"))?;
    file.write_all(MAGIC)?;
    file.write_all(&[1, 0])?;
    file.write_all(&length.to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    for number in tensor {
        file.write_all(&number.to_le_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, numbers: &[u8]) -> tempfile::NamedTempFile {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, 0]);
        bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(numbers);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        for shape in [vec![], vec![3], vec![2, 3, 4, 5], vec![0, 7]] {
            let mut next = 0.0;
            let tensor = ArrayD::from_shape_simple_fn(IxDyn(&shape), || {
                next += 0.1;
                next
            });
            write(&path, &tensor).unwrap();
            assert_eq!(read(&path).unwrap(), tensor);
            let length = std::fs::metadata(&path).unwrap().len();
            assert_eq!(length % 64, (tensor.len() * 4 % 64) as u64, "aligned");
        }
    }

    #[cfg(unix)]
    #[test]
    fn whoever_may_read_a_new_file_may_read_a_tensor() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| {
            let file = std::fs::metadata(folder.path().join(name)).unwrap();
            file.permissions().mode()
        };
        std::fs::write(folder.path().join("new"), "").unwrap();
        let tensor = ArrayD::zeros(IxDyn(&[2]));
        write(&folder.path().join("x.npy"), &tensor).unwrap();
        write_npz(&folder.path().join("x.npz"), &[("x", &tensor)]).unwrap();
        assert_eq!([mode("x.npy"), mode("x.npz")], [mode("new"); 2]);
    }

    #[test]
    fn orders_of_axes_and_bytes() {
        let numbers: Vec<u8> = (0u8..6).flat_map(|i| f32::from(i).to_be_bytes()).collect();
        let header = "{'descr': '>f4', 'fortran_order': True, 'shape': (2, 3), }\n";
        let tensor = read(file(header, &numbers).path()).unwrap();
        let expected = ndarray::arr2(&[[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]);
        assert_eq!(tensor, expected.into_dyn());
    }

    #[test]
    fn hostile_headers_are_named() {
        let refused = |header: &str| read(file(header, &[0; 16]).path()).unwrap_err().reason;
        for kind in ["<f8", "<i4", "|b1", "|O", "<f2"] {
            let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (4,)}}");
            assert!(matches!(refused(&header), Reason::Kind(got) if got == kind));
        }
        for shape in [
            "(5,)",
            "(3,)",
            "()",
            "(18446744073709551615, 18446744073709551615)",
        ] {
            let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}");
            assert!(matches!(refused(&header), Reason::Length { .. }), "{shape}");
        }
        for header in [
            "",
            "[]",
            "{",
            "{}",
            "{'descr'}",
            "{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (4,)}",
            "{'descr': '<f4, 'fortran_order': False, 'shape': (4,)}",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (4,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-4,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (4 4)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': 4}",
            "{'descr': '<f4', 'shape': (4,)}",
            "{'é': '<f4', 'fortran_order': False, 'shape': (4,)}",
        ] {
            assert!(matches!(refused(header), Reason::Header { .. }), "{header}");
        }
    }

    #[test]
    fn files_that_are_something_else_are_named() {
        let refused = |bytes: &[u8]| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), bytes).unwrap();
            read(file.path()).unwrap_err().reason
        };
        assert!(matches!(refused(b""), Reason::Header { .. }));
        assert!(matches!(refused(b"<html></html>"), Reason::Magic));
        assert!(matches!(refused(b"\x93NUMPY\x09\x00"), Reason::Version(9)));
        let claim = b"\x93NUMPY\x02\x00\xff\xff\xff\xff";
        assert!(matches!(refused(claim), Reason::HeaderLength { .. }));
        assert!(matches!(
            refused(b"\x93NUMPY\x01\x00\x40\x00{"),
            Reason::Header { .. }
        ));
        let error = read(Path::new("no such file.npy")).unwrap_err();
        assert!(error.to_string().starts_with("no such file.npy: "));
    }
}
