//! NumPy's `.npy` and `.npz`: the tensor files that `run` and `grad` read and write.
//!
//! The format is specified in NumPy's `numpy.lib.format`, versions 1 to 3. The existing crate for
//! ndarray needs a C compiler (through a parser of Python literals), and plain arrays need little code.

#[cfg(test)]
mod fuzz;
mod header;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use files::{Kind, whole_file};
use ndarray::{ArrayD, IxDyn, ShapeBuilder};

use self::header::{Decode, Header};

/// The reason a tensor file was rejected; each message is one line with the file's name.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", files::show::name(path.as_os_str()))]
pub(crate) struct Error {
    path: PathBuf,
    reason: Reason,
}

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Reason {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    File(#[from] files::Error),
    #[error("not a .npy file: it does not begin with \\x93NUMPY")]
    Magic,
    #[error("not a .npy file, but {0}")]
    Other(Kind),
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
    #[error("dtype {got:?}, expected {expected} converts")]
    Kind { got: String, expected: &'static str },
    #[error("shape {0:?}, expected one label for each picture, shape [n]")]
    LabelShape(Vec<usize>),
    #[error("label {index} is {got}, expected a class counted from 0")]
    Label { index: usize, got: i128 },
    #[error("shape {shape:?} needs {expected} bytes of data, the file has {got}")]
    Length {
        shape: Vec<usize>,
        expected: u128,
        got: u64,
    },
    #[error("the archive cannot be written: {0}")]
    Archive(String),
}

/// The longest header accepted, in bytes: far more than any shape needs.
const MOST_HEADER: u64 = 1 << 16;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Reads a `.npy` of f32 in either byte order and either order of axes.
///
/// # Errors
///
/// [`Error`] for anything else. A false size in a header allocates no memory.
pub(crate) fn read(path: &Path) -> Result<ArrayD<f32>, Error> {
    let expected = "float32: numpy.asarray(x, dtype=numpy.float32)";
    read_as(path, expected, |kind| match kind {
        b"f4" => Some(|bytes| array(bytes).map(f32::from_le_bytes)),
        _ => None,
    })
}

/// Reads a `.npy` of f32 or f64, as [`read`] does.
///
/// # Errors
///
/// As [`read`].
pub(crate) fn read_f64(path: &Path) -> Result<ArrayD<f64>, Error> {
    let expected = "float32 or float64: numpy.asarray(x, dtype=numpy.float64)";
    read_as(path, expected, |kind| match kind {
        b"f4" => Some(|bytes| array(bytes).map(|bytes| f32::from_le_bytes(bytes).into())),
        b"f8" => Some(|bytes| array(bytes).map(f64::from_le_bytes)),
        _ => None,
    })
}

/// Reads a `.npy` of classes, `[n]`, of any integer type.
///
/// # Errors
///
/// As [`read`], and for a negative label.
pub(crate) fn read_labels(path: &Path) -> Result<Vec<usize>, Error> {
    let expected = "integers: numpy.asarray(x, dtype=numpy.int64)";
    let labels = read_as::<i128>(path, expected, |kind| match kind {
        b"i1" => Some(|bytes| array(bytes).map(|bytes| i8::from_le_bytes(bytes).into())),
        b"i2" => Some(|bytes| array(bytes).map(|bytes| i16::from_le_bytes(bytes).into())),
        b"i4" => Some(|bytes| array(bytes).map(|bytes| i32::from_le_bytes(bytes).into())),
        b"i8" => Some(|bytes| array(bytes).map(|bytes| i64::from_le_bytes(bytes).into())),
        b"u1" => Some(|bytes| array(bytes).map(|bytes| u8::from_le_bytes(bytes).into())),
        b"u2" => Some(|bytes| array(bytes).map(|bytes| u16::from_le_bytes(bytes).into())),
        b"u4" => Some(|bytes| array(bytes).map(|bytes| u32::from_le_bytes(bytes).into())),
        b"u8" => Some(|bytes| array(bytes).map(|bytes| u64::from_le_bytes(bytes).into())),
        _ => None,
    })?;
    let fault = |reason| Error {
        path: path.to_owned(),
        reason,
    };
    if labels.ndim() != 1 {
        return Err(fault(Reason::LabelShape(labels.shape().to_vec())));
    }
    let class = |(index, &got): (usize, &i128)| {
        usize::try_from(got).map_err(|_| fault(Reason::Label { index, got }))
    };
    labels.iter().enumerate().map(class).collect()
}

fn array<const SIZE: usize>(bytes: &[u8]) -> Option<[u8; SIZE]> {
    bytes.try_into().ok()
}

/// Reads a `.npy` of the types (`f4`, `i8`, ...) for which `decode` returns a function.
fn read_as<T: Clone>(
    path: &Path,
    expected: &'static str,
    decode: impl Fn(&[u8]) -> Option<Decode<T>>,
) -> Result<ArrayD<T>, Error> {
    read_file(path, expected, decode).map_err(|reason| Error {
        path: path.to_owned(),
        reason,
    })
}

fn read_file<T: Clone>(
    path: &Path,
    expected: &'static str,
    decode: impl Fn(&[u8]) -> Option<Decode<T>>,
) -> Result<ArrayD<T>, Reason> {
    let mut file = File::open(path)?;
    // A pipe has no known length.
    let length = file
        .metadata()
        .map(|found| found.is_file().then_some(found.len()))?;
    let mut start = [0; 8];
    fill(&mut file, &mut start, "is cut short")?;
    let [magic @ .., major, _minor] = &start;
    if magic != MAGIC {
        return Err(match Kind::of(&start) {
            Some(kind) => Reason::Other(kind),
            None => Reason::Magic,
        });
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
    // At most `MOST_HEADER`.
    let mut text = vec![0; got as usize];
    fill(&mut file, &mut text, "is cut short")?;
    let header = Header::parse(&String::from_utf8_lossy(&text))?;

    let (big_endian, size, decode) = (header.kind(decode)).ok_or_else(|| Reason::Kind {
        got: header.descr.clone(),
        expected,
    })?;
    let expected = (header.shape.iter())
        .try_fold(size as u128, |bytes, &size| bytes.checked_mul(size as u128))
        .unwrap_or(u128::MAX);
    let wrong_length = |got: u64| Reason::Length {
        shape: header.shape.clone(),
        expected,
        got,
    };
    let before = 8 + width as u64 + text.len() as u64;
    let got = length.map(|length| length.saturating_sub(before));
    if let Some(got) = got.filter(|&got| expected != u128::from(got)) {
        return Err(wrong_length(got));
    }
    // The buffer grows as bytes arrive, so a false size in the header allocates nothing. One byte more
    // than expected is enough to detect a file that is too long.
    let most = u64::try_from(expected).map_or(u64::MAX, |bytes| bytes.saturating_add(1));
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    let got = bytes.len() as u64;
    if expected != u128::from(got) {
        return Err(wrong_length(got));
    }
    let numbers = bytes.chunks_exact_mut(size).map_while(|number| {
        if big_endian {
            number.reverse();
        }
        decode(number)
    });
    let shape = IxDyn(&header.shape).set_f(header.fortran_order);
    let numbers = numbers.collect();
    ArrayD::from_shape_vec(shape, numbers).map_err(|_| wrong_length(got))
}

/// Fills `bytes`, or reports that the header is cut short.
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

/// Writes one tensor as `.npy`, whole or not at all.
///
/// # Errors
///
/// [`Error`] if the file cannot be written; an existing file is then unchanged.
pub(crate) fn write(path: &Path, tensor: &ArrayD<f32>) -> Result<(), Error> {
    write_file(path, |file| Ok(write_tensor(file, tensor)?))
}

/// Writes named tensors as `.npz`, whole or not at all.
///
/// # Errors
///
/// As [`write()`].
pub(crate) fn write_npz(path: &Path, tensors: &[(&str, &ArrayD<f32>)]) -> Result<(), Error> {
    let archive = |error: zip::result::ZipError| Reason::Archive(error.to_string());
    write_file(path, |file| {
        let mut zip = zip::ZipWriter::new_stream(file);
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored)
            // A fixed time: the same tensors give the same bytes.
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

/// Writes a new file in the same folder and then renames it to `path`.
pub(crate) fn write_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Reason>,
) -> Result<(), Error> {
    whole_file::replace(path, write).map_err(|reason| Error {
        path: path.to_owned(),
        reason,
    })
}

fn write_tensor(mut file: impl Write, tensor: &ArrayD<f32>) -> io::Result<()> {
    let sizes: String = tensor
        .shape()
        .iter()
        .map(|size| format!("{size}, "))
        .collect();
    let dictionary = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({sizes}), }}");
    // Spaces and a newline, so that the data begins at a multiple of 64 bytes.
    let padding = 64 - (10 + dictionary.len() + 1) % 64;
    let header = format!("{dictionary}{}\n", " ".repeat(padding));
    let length = u16::try_from(header.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the shape has too many axes"))?;
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
    fn written_tensors_are_read_back() {
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
    fn tensors_get_the_permissions_of_new_files() {
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
    fn both_kinds_of_floats_are_read_as_f64() {
        let header = |kind| format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (2,)}}");
        let numbers: Vec<u8> = [0.1_f64, -2.0]
            .iter()
            .flat_map(|x| x.to_be_bytes())
            .collect();
        let tensor = read_f64(file(&header(">f8"), &numbers).path()).unwrap();
        assert_eq!(tensor, ndarray::arr1(&[0.1, -2.0]).into_dyn());
        let numbers: Vec<u8> = [0.1_f32, -2.0]
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect();
        let tensor = read_f64(file(&header("<f4"), &numbers).path()).unwrap();
        assert_eq!(
            tensor,
            ndarray::arr1(&[f64::from(0.1_f32), -2.0]).into_dyn()
        );
        let refused = read_f64(file(&header("<i8"), &[0; 16]).path()).unwrap_err();
        assert!(matches!(refused.reason, Reason::Kind { .. }));
    }

    #[test]
    fn labels_are_integers_of_any_kind() {
        let read = |kind: &str, shape: &str, numbers: &[u8]| {
            let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}");
            read_labels(file(&header, numbers).path()).map_err(|error| error.reason)
        };
        assert_eq!(read("|u1", "(3,)", &[0, 200, 7]).unwrap(), [0, 200, 7]);
        assert_eq!(read("|i1", "(1,)", &[5]).unwrap(), [5]);
        assert_eq!(read("<u2", "(1,)", &[1, 2]).unwrap(), [513]);
        assert_eq!(read(">i2", "(1,)", &[1, 2]).unwrap(), [258]);
        assert_eq!(read("<i4", "(1,)", &[1, 0, 1, 0]).unwrap(), [65_537]);
        assert_eq!(read(">u4", "(1,)", &[0, 0, 0, 9]).unwrap(), [9]);
        assert_eq!(read("<i8", "(1,)", &[3, 0, 0, 0, 0, 0, 0, 0]).unwrap(), [3]);
        assert_eq!(read("<u8", "(0,)", &[]).unwrap(), [0; 0]);
        let negative = read("|i1", "(2,)", &[1, 0xfe]);
        assert!(matches!(negative, Err(Reason::Label { index: 1, got: -2 })));
        let matrix = read("|u1", "(2, 1)", &[1, 2]);
        assert!(matches!(matrix, Err(Reason::LabelShape(shape)) if shape == [2, 1]));
        for kind in ["<f4", "|b1", "<i3", "<i16", "i4", "<i", "", "é4"] {
            let refused = read(kind, "(1,)", &[0; 4]);
            assert!(matches!(refused, Err(Reason::Kind { .. })), "{kind}");
        }
    }

    #[test]
    fn hostile_headers_are_rejected() {
        let refused = |header: &str| read(file(header, &[0; 16]).path()).unwrap_err().reason;
        for kind in ["<f8", "<i4", "|b1", "|O", "<f2"] {
            let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (4,)}}");
            assert!(matches!(refused(&header), Reason::Kind { got, .. } if got == kind));
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
    fn files_of_other_formats_are_named() {
        let refused = |bytes: &[u8]| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), bytes).unwrap();
            read(file.path()).unwrap_err().reason
        };
        assert!(matches!(refused(b""), Reason::Header { .. }));
        assert!(matches!(
            refused(b"<html></html>"),
            Reason::Other(Kind::Html)
        ));
        assert!(matches!(refused(b"1.0, 2.0, 3.0"), Reason::Magic));
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
