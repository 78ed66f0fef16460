//! Writes a file whole, fails to write it again, and tells what kind of file it is.
//!
//! `cargo run -p files --example whole_file photo.jpg model.safetensors ...` tells other files' kinds.

use std::error::Error;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use files::{Kind, show, whole_file};

fn main() -> Result<(), Box<dyn Error>> {
    let others: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let folder = tempfile::tempdir()?;
    write_and_tell(folder.path(), &others, &mut io::stdout())
}

/// Writes into `folder` and tells the kinds of what it wrote and of the other files.
pub(crate) fn write_and_tell(
    folder: &Path,
    others: &[PathBuf],
    out: &mut dyn Write,
) -> Result<(), Box<dyn Error>> {
    // A picture of two pixels, in a format that can be written by hand.
    let path = folder.join("two pixels.ppm");
    whole_file::replace::<files::Error>(&path, |file| {
        Ok(file.write_all(b"P6\n2 1\n255\n\xff\xff\xff\x00\x00\x00")?)
    })?;

    // A writer that gives up in the middle: the picture is still there, and nothing else.
    let failed = whole_file::replace::<files::Error>(&path, |file| {
        file.write_all(b"P6\n9999 9999\n255\n")?;
        Err(io::Error::other("out of pixels").into())
    });
    if let Err(error) = failed {
        writeln!(out, "not replaced: {}", show::message(&error.to_string()))?;
    }

    for path in [&path].into_iter().chain(others) {
        let (file, length) = files::open(path)?;
        let mut start = Vec::new();
        file.take(Kind::LOOKED_AT as u64).read_to_end(&mut start)?;
        let kind = Kind::of(&start).map_or("no known kind".to_owned(), |kind| kind.to_string());
        let name = show::name(path.file_name().unwrap_or(path.as_os_str()));
        writeln!(out, "{name}: {kind}, {length} bytes")?;
    }
    Ok(())
}
