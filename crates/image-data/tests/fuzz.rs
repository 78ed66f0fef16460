//! Fuzz targets for pictures, archives, and the files of MNIST and CIFAR. Any bytes yield a value
//! or a one-line error, within the memory limits.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::io::Write;

use flate2::write::GzEncoder;
use flate2::{Compression, Crc};
use image::codecs::bmp::BmpEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::pnm::{PnmEncoder, PnmSubtype, SampleEncoding};
use image::{ExtendedColorType, ImageEncoder};
use image_data::{Cifar, CifarLabels, Dataset, DatasetLimits, Idx, Limits, Picture, Splits};
use tar::Header;
use testkit::Fuzz;

/// Small, so that memory reserved for a false size exceeds the limit.
const MIB: u64 = 1 << 20;

fn limits() -> DatasetLimits {
    DatasetLimits {
        pictures: Limits {
            max_pixels: 1 << 16,
            max_bytes: MIB,
            ..Limits::default()
        },
        max_archive_bytes: MIB,
        ..DatasetLimits::default()
    }
}

/// Returns whether a file was accepted. An error must be one line that a terminal can show.
fn accepted<T, E: std::fmt::Display>(result: &Result<T, E>) -> bool {
    if let Err(error) = result {
        let line = error.to_string();
        assert!(
            !line.is_empty() && !line.contains(char::is_control),
            "{line:?}"
        );
    }
    result.is_ok()
}

/// Returns a small picture in every format.
fn pictures() -> Vec<Vec<u8>> {
    let (width, height) = (19, 11);
    let rgb: Vec<u8> = (0..width * height * 3)
        .map(|i| (i * i * 31 / 7) as u8)
        .collect();
    let grey = &rgb[..(width * height) as usize];
    let (color, single) = (ExtendedColorType::Rgb8, ExtendedColorType::L8);
    let mut files = vec![Vec::new(); 6];
    let [png, grey_png, jpeg, bmp, ppm, pgm] = &mut files[..] else {
        unreachable!("six files")
    };
    (PngEncoder::new(png).write_image(&rgb, width, height, color)).unwrap();
    (PngEncoder::new(grey_png).write_image(grey, width, height, single)).unwrap();
    (JpegEncoder::new(jpeg).write_image(&rgb, width, height, color)).unwrap();
    (BmpEncoder::new(bmp).write_image(&rgb, width, height, color)).unwrap();
    PnmEncoder::new(ppm)
        .with_subtype(PnmSubtype::Pixmap(SampleEncoding::Binary))
        .write_image(&rgb, width, height, color)
        .unwrap();
    PnmEncoder::new(pgm)
        .with_subtype(PnmSubtype::Graymap(SampleEncoding::Ascii))
        .write_image(grey, width, height, single)
        .unwrap();
    files
}

/// Corrects the checksums of a PNG's chunks, as far as its chunks can be parsed, so that a mutation
/// gets past them.
fn mend_png(file: &mut [u8]) {
    let mut at = 8;
    while let Some(&[a, b, c, d]) = file.get(at..at + 4) {
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let Some(body) = file.get(at + 4..at + 8 + length) else {
            return;
        };
        let mut crc = Crc::new();
        crc.update(body);
        let Some(place) = file.get_mut(at + 8 + length..at + 12 + length) else {
            return;
        };
        place.copy_from_slice(&crc.sum().to_be_bytes());
        at += 12 + length;
    }
}

#[test]
fn fuzz_picture() {
    let limits = limits().pictures;
    Fuzz::new("picture", pictures())
        .dictionary([
            "IHDR",
            "PLTE",
            "tRNS",
            "IDAT",
            "IEND",
            "acTL",
            "eXIf",
            "\x00\x00\x00\x00",
            "P1 ",
            "P2 ",
            "P3 ",
            "P4 ",
            "P5 ",
            "P6 ",
            "P7\n",
            "#",
            "WIDTH 9\n",
            "MAXVAL 65535\n",
            "ENDHDR\n",
            "BM",
            "Exif\x00\x00",
        ])
        .dictionary([
            // JPEG markers: start, sizes, tables, scan, restart, end.
            [0xff, 0xd8],
            [0xff, 0xc0],
            [0xff, 0xc2],
            [0xff, 0xc4],
            [0xff, 0xdb],
            [0xff, 0xda],
            [0xff, 0xdd],
            [0xff, 0xd0],
            [0xff, 0xd9],
            [0xff, 0xe1],
        ])
        .max_memory(16 * MIB)
        .run(|bytes| {
            let mut mended = bytes.to_vec();
            mend_png(&mut mended);
            let as_it_is = accepted(&Picture::decode(bytes, &limits));
            accepted(&Picture::decode(&mended, &limits)) || as_it_is
        });
}

/// A one-pixel picture.
const PGM: &[u8] = b"P5 1 1 255\n\x07";
const IDX_IMAGES: &[u8] = b"\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x02\x01\x02\x03\x04";
const IDX_LABELS: &[u8] = b"\0\0\x08\x01\0\0\0\x02\x05\x07";

/// Returns a `.tar` of these files.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Corrects the checksums of a tar's headers, as far as its entries can be parsed.
fn mend_tar(file: &mut [u8]) {
    let mut at = 0;
    while let Some(block) = file.get_mut(at..at + 512) {
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(block);
        header.set_cksum();
        block.copy_from_slice(header.as_bytes());
        let Ok(size) = header.entry_size() else {
            return;
        };
        let Some(next) = usize::try_from(size)
            .ok()
            .and_then(|size| size.checked_next_multiple_of(512)?.checked_add(at + 512))
        else {
            return;
        };
        at = next;
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Opens an archive and requests every sample, and one past the last.
fn opened(path: &std::path::Path, bytes: &[u8]) -> bool {
    fs::write(path, bytes).unwrap();
    let splits = Splits::open(path, &limits());
    let is_good = accepted(&splits);
    for part in splits
        .iter()
        .flat_map(|splits| [Some(&splits.train), splits.valid.as_ref()])
        .flatten()
    {
        for index in 0..=part.len() {
            accepted(&part.picture(index));
            assert!(!part.name(index).is_empty());
            let is_label = part.label(index) < part.classes().len();
            assert_eq!(is_label, index < part.len());
        }
    }
    is_good
}

#[test]
fn fuzz_archive() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let long = "deep/".repeat(60);
    let archives = [
        tar(&[
            ("train-images-idx3-ubyte", IDX_IMAGES),
            ("train-labels-idx1-ubyte", IDX_LABELS),
        ]),
        tar(&[("train.bin", &[3; 3074])]),
        tar(&[
            ("train/cat/1.pgm", PGM),
            ("train/dog/2.pgm", PGM),
            ("test/cat/3.pgm", PGM),
        ]),
    ];
    let deep = tar(&[(&format!("{long}cat/1.pgm"), PGM), ("dog/1.pgm", PGM)]);
    Fuzz::new("archive", archives)
        .seeds([deep])
        .dictionary([
            "../",
            "/",
            "./",
            "\x00",
            "ustar",
            "ustar  \x00",
            "25 GNU.sparse.major=1\n",
            "20 path=cat/x.pgm\n",
            "22 size=9999999999999\n",
            "77777777777",
            "00000000014",
        ])
        .inputs(1000)
        .run(|bytes| {
            let mut mended = bytes.to_vec();
            mend_tar(&mut mended);
            let as_it_is = opened(&path, bytes);
            opened(&path, &mended) || as_it_is
        });
}

#[test]
fn fuzz_gzip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let tar = tar(&[("cat/1.pgm", PGM), ("dog/1.pgm", PGM)]);
    // Inflates far beyond the limit.
    let bomb = gzip(&vec![0; 8 << 20]);
    Fuzz::new("gzip", [gzip(&tar)])
        .seeds([gzip(PGM), bomb])
        .dictionary([[0x1f, 0x8b], [0x00, 0x00], [0xff, 0xff]])
        .inputs(1000)
        .run(|bytes| opened(&path, bytes));
}

#[test]
fn fuzz_idx() {
    let folder = tempfile::tempdir().unwrap();
    let [images, labels] = ["images", "labels"].map(|name| folder.path().join(name));
    // Both files in one input, after the length of the first.
    let length = u8::try_from(IDX_IMAGES.len()).unwrap();
    let input = [&[length], IDX_IMAGES, IDX_LABELS].concat();
    Fuzz::new("idx", [input])
        .dictionary([
            [0, 0, 8, 3],
            [0, 0, 8, 1],
            [0, 0, 13, 3],
            [0x1f, 0x8b, 8, 0],
        ])
        .run(|bytes| {
            let (length, files) = bytes.split_first().unwrap_or((&0, &[]));
            let (first, second) = files.split_at(files.len().min(usize::from(*length)));
            fs::write(&images, first).unwrap();
            fs::write(&labels, second).unwrap();
            let dataset = Idx::open(&images, &labels, None, &limits());
            if let Ok(dataset) = &dataset {
                assert!((0..dataset.len()).all(|index| dataset.picture(index).is_ok()));
            }
            accepted(&dataset)
        });
}

#[test]
fn fuzz_cifar() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data_batch_1.bin");
    Fuzz::new("cifar", [vec![9; 3073], vec![3; 2 * 3074]])
        .inputs(500)
        .run(|bytes| {
            fs::write(&path, bytes).unwrap();
            let mut any = false;
            for labels in [CifarLabels::Ten, CifarLabels::Fine, CifarLabels::Coarse] {
                let dataset = Cifar::open(&[&path], labels, &limits());
                if let Ok(dataset) = &dataset {
                    assert!((0..dataset.len()).all(|index| dataset.picture(index).is_ok()));
                }
                any |= accepted(&dataset);
            }
            any
        });
}
