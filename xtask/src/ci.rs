//! `cargo xtask ci`: all checks that a change must pass, in order, each with its time.

use std::time::Instant;

use crate::process::{cargo, run as run_command};
use crate::programs::{self, Kind};
use crate::{Result, demo, docs, fetch, isa, tidy};

type Step = (&'static str, fn() -> Result<()>);

const STEPS: &[Step] = &[
    ("fmt", || {
        run_command(cargo("fmt").args(["--all", "--check"]))
    }),
    ("clippy", || {
        run_command(cargo("clippy").args(["--workspace", "--all-targets", "--", "-Dwarnings"]))
    }),
    ("docs", || docs::run(false)),
    ("tidy", tidy::run),
    // Exactly the command in the README.
    ("test", || run_command(cargo("xtask").arg("test"))),
    ("isa", isa::run),
    ("demo", demo_in_an_empty_folder),
];

/// The task. Stops at the first step that fails.
pub(crate) fn run() -> Result<()> {
    let mut times = Vec::new();
    for (number, (name, step)) in (1..).zip(STEPS) {
        eprintln!("\nci {number}/{}: {name}", STEPS.len());
        let start = Instant::now();
        step().map_err(|error| format!("ci: {name}: {error}"))?;
        times.push(start.elapsed());
        eprintln!("ci {number}/{}: {name} passed", STEPS.len());
    }
    println!("\nci passed");
    for ((name, _), time) in STEPS.iter().zip(&times) {
        println!("  {name:<8}{:>8.1} s", time.as_secs_f64());
    }
    println!(
        "  {:<8}{:>8.1} s",
        "all",
        times.iter().sum::<std::time::Duration>().as_secs_f64()
    );
    Ok(())
}

/// Runs the demo as a new user would, but with the program that was tested, and checks the picture
/// that it draws.
fn demo_in_an_empty_folder() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let programs = programs::of_the_workspace()?;
    let convoxide = programs::named(&programs, Kind::Binary, "convoxide")?;
    demo::run_in(folder.path(), || convoxide.command())?;
    let path = folder.path().join(demo::PICTURE);
    let picture = std::fs::read(&path)
        .map_err(|error| format!("the demo left no {}: {error}", demo::PICTURE))?;
    let photo = std::fs::read(fetch::demo_photo(&fetch::ensure()?))?;
    check_drawn(&picture, &photo)
}

/// Checks that the picture is a complete PNG of the photo's size, and not the photo itself.
fn check_drawn(picture: &[u8], photo: &[u8]) -> Result<()> {
    let size =
        png_size(picture).ok_or_else(|| format!("{} is not a complete PNG", demo::PICTURE))?;
    if Some(size) != png_size(photo) {
        return Err(format!(
            "{} is {} x {}, the photo is not",
            demo::PICTURE,
            size.0,
            size.1
        )
        .into());
    }
    if picture == photo {
        return Err(format!("{} is the photo: nothing was drawn", demo::PICTURE).into());
    }
    Ok(())
}

/// The width and height of a PNG that has a header, data and an end.
fn png_size(png: &[u8]) -> Option<(u32, u32)> {
    const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
    let mut chunks = png.strip_prefix(SIGNATURE)?;
    let (mut size, mut has_data) = (None, false);
    loop {
        // A chunk: length, kind, content, checksum.
        let (length, rest) = chunks.split_first_chunk()?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        let (content, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        chunks = rest.get(4..)?;
        match kind {
            b"IHDR" => {
                let (width, rest) = content.split_first_chunk()?;
                let (height, _) = rest.split_first_chunk()?;
                size = Some((u32::from_be_bytes(*width), u32::from_be_bytes(*height)));
            }
            b"IDAT" => has_data |= !content.is_empty(),
            b"IEND" => return size.filter(|&(width, height)| has_data && width > 0 && height > 0),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32, data: &[u8]) -> Vec<u8> {
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        let mut chunk = |kind: &[u8], content: &[u8]| {
            png.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
            png.extend([kind, content, b"sum."].concat());
        };
        let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
        chunk(b"IHDR", &[size, vec![8, 2, 0, 0, 0]].concat());
        chunk(b"IDAT", data);
        chunk(b"IEND", &[]);
        png
    }

    #[test]
    fn a_drawn_picture_passes() {
        assert_eq!(png_size(&png(600, 400, b"x")), Some((600, 400)));
        check_drawn(&png(600, 400, b"boxes"), &png(600, 400, b"photo")).unwrap();
    }

    #[test]
    fn no_picture_passes_for_none() {
        let whole = png(600, 400, b"x");
        for length in 0..whole.len() {
            assert_eq!(png_size(&whole[..length]), None, "{length}");
        }
        assert_eq!(png_size(&png(600, 400, b"")), None);
        assert_eq!(png_size(&png(0, 400, b"x")), None);
        assert_eq!(png_size(b"<html>not found</html>"), None);
    }

    #[test]
    fn the_photo_itself_or_another_size_does_not_pass() {
        let photo = png(600, 400, b"photo");
        let same = check_drawn(&photo, &photo).unwrap_err();
        assert!(same.to_string().contains("nothing was drawn"), "{same}");
        let small = check_drawn(&png(60, 40, b"photo"), &photo).unwrap_err();
        assert!(small.to_string().contains("60 x 40"), "{small}");
    }
}
