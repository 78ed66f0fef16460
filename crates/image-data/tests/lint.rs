//! A folder with every kind of mistake: lint reports each one once under its name, and nothing
//! else.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use image_data::{
    DatasetLimits, Error, Finding, LintOptions, LintReport, Picture, Same, Severity, Shapes,
    ShapesOptions, Splits, lint, lint_with,
};

fn png(color: ExtendedColorType, [height, width]: [u32; 2], byte: impl Fn(usize) -> u8) -> Vec<u8> {
    let len = (height * width) as usize * usize::from(color.channel_count());
    let pixels: Vec<u8> = (0..len).map(byte).collect();
    let mut file = Vec::new();
    PngEncoder::new(&mut file)
        .write_image(&pixels, width, height, color)
        .unwrap();
    file
}

/// Returns a colour picture of the usual size; each `number` has its own pixels.
fn usual(number: usize) -> Vec<u8> {
    png(ExtendedColorType::Rgb8, [20, 30], |at| {
        (at * 7 + number) as u8
    })
}

fn grey(number: usize) -> Vec<u8> {
    png(ExtendedColorType::L8, [20, 30], |at| {
        (at * 3 + number) as u8
    })
}

fn write(folder: &Path, path: &str, bytes: &[u8]) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn report(folder: &Path) -> LintReport {
    let splits = Splits::survey(folder, &DatasetLimits::default()).unwrap();
    let report = lint(&splits, &LintOptions::default()).unwrap();
    let four = LintOptions {
        workers: 4,
        ..LintOptions::default()
    };
    assert_eq!(report, lint(&splits, &four).unwrap());
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<LintReport>(&json).unwrap(), report);
    report
}

/// Returns the lines of the findings, without the folder's name.
fn lines(folder: &Path) -> Vec<(Severity, String)> {
    let prefix = format!("{}/", folder.display());
    report(folder)
        .findings
        .iter()
        .map(|finding| (finding.severity(), finding.to_string().replace(&prefix, "")))
        .collect()
}

#[test]
fn each_kind_of_trouble_is_found_by_its_file() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path();
    for number in 0..40 {
        write(
            folder,
            &format!("train/cat/{number:02}.png"),
            &usual(number),
        );
    }
    for number in 0..3 {
        write(
            folder,
            &format!("train/dog/{number}.png"),
            &usual(100 + number),
        );
    }
    write(folder, "valid/cat/1.png", &usual(200));
    fs::create_dir_all(folder.join("train/eel")).unwrap();

    let mut jpeg = Vec::new();
    let encoder = JpegEncoder::new(&mut jpeg);
    let pixels: Vec<u8> = (0..20 * 30 * 3).map(|at| (at * 11) as u8).collect();
    encoder
        .write_image(&pixels, 30, 20, ExtendedColorType::Rgb8)
        .unwrap();
    write(folder, "train/cat/lies.png", &jpeg);
    write(
        folder,
        "train/cat/endless.png",
        &usual(60)[..usual(60).len() - 12],
    );
    write(folder, "train/cat/empty.png", b"");
    write(folder, "train/cat/short.png", &usual(50)[..200]);
    write(folder, "train/cat/page.jpg", b"<!DOCTYPE html><p>not found");
    write(folder, "train/cat/none.ppm", b"P6 0 3 255\n");
    write(
        folder,
        "train/cat/clear.png",
        &png(ExtendedColorType::Rgba8, [20, 30], |at| at as u8),
    );
    write(
        folder,
        "train/cat/huge.png",
        &png(ExtendedColorType::Rgb8, [100, 150], |at| at as u8),
    );
    write(
        folder,
        "train/cat/long.png",
        &png(ExtendedColorType::Rgb8, [8, 60], |at| at as u8),
    );
    write(folder, "train/cat/grey.png", &grey(0));
    write(folder, "train/cat/notes.txt", b"meow");
    write(folder, "train/.DS_Store", b"x");
    // The same bytes in one class; the same pixels in a different file, class and part.
    write(folder, "train/cat/again.png", &usual(3));
    write(folder, "train/dog/cat.png", &usual(7));
    let same = Picture::decode(&usual(9), &DatasetLimits::default().pictures).unwrap();
    let ppm = [b"P6 30 20 255\n", same.rgb()].concat();
    write(folder, "valid/dog/cat.ppm", &ppm);

    write(folder, "train/cat/new.heic", b"RIFF");
    // A class that the training part lacks, with a similar name, and a damaged picture in it.
    write(folder, "valid/dig/1.png", &usual(201));
    write(folder, "valid/dig/2.png", b"");

    let expected = [
        (
            Severity::Error,
            "train: the class eel has no pictures: its folder is empty",
        ),
        (
            Severity::Error,
            "valid: the class dig (2 pictures) is not one of the 3 classes of the training \
             pictures; did you mean dog?",
        ),
        (
            Severity::Warning,
            "train: class dog occurs 4 times, the largest 51 times",
        ),
        (Severity::Warning, "valid: class eel does not occur"),
        (
            Severity::Warning,
            "train/cat/clear.png: has an alpha channel, which is dropped",
        ),
        (Severity::Error, "train/cat/empty.png: the file is empty"),
        (
            Severity::Warning,
            "train/cat/endless.png: the PNG has no end mark; all of its pixels are there",
        ),
        (
            Severity::Warning,
            "train/cat/lies.png: the content is JPEG, the name says another format",
        ),
        (
            Severity::Error,
            "train/cat/none.ppm: a picture of 0 x 3 has no pixels",
        ),
        (
            Severity::Error,
            "train/cat/page.jpg: not a PNG, JPEG, GIF, WebP, TIFF, BMP or PNM picture: it is an HTML page",
        ),
        (
            Severity::Error,
            "train/cat/short.png: the file is cut short",
        ),
        (Severity::Error, "valid/dig/2.png: the file is empty"),
        (
            Severity::Warning,
            "train/cat/03.png, train/cat/again.png: the same bytes",
        ),
        (
            Severity::Error,
            "train/cat/07.png, train/dog/cat.png: the same bytes, in several classes",
        ),
        (
            Severity::Error,
            "train/cat/09.png, valid/dog/cat.ppm: the same pixels, in several classes and in train and valid",
        ),
        (
            Severity::Note,
            "pictures of 3 sizes, from 8 x 60 to 100 x 150: to train on them, the preprocessing \
             needs a crop or an exact resize",
        ),
        (
            Severity::Warning,
            "train/cat/huge.png: 100 x 150 pixels are far from the usual size",
        ),
        (
            Severity::Warning,
            "train/cat/long.png: 8 x 60 pixels are far from the usual proportions",
        ),
        (
            Severity::Note,
            "train/cat/grey.png: grey, while most are in colour",
        ),
        (
            Severity::Warning,
            "train/cat/new.heic: left out: pictures in .heic are not read",
        ),
        (
            Severity::Note,
            "left out: 1, hidden, or an operating system's own: train/.DS_Store",
        ),
        (
            Severity::Note,
            "left out: 1, not named like a picture (.txt): train/cat/notes.txt",
        ),
    ];
    let found = lines(folder);
    let found: Vec<(Severity, &str)> = found.iter().map(|(s, line)| (*s, &**line)).collect();
    assert_eq!(found, expected);

    let report = report(folder);
    let [train, valid] = &report.parts[..] else {
        panic!("{:?}", report.parts);
    };
    assert_eq!((&*train.part, train.samples), ("train", 55));
    assert_eq!(train.classes[2], ("eel".to_owned(), 0));
    assert_eq!(report.count(Severity::Error), 9);
    assert_eq!(train.sizes, Some([[8, 30], [100, 150]]));
    assert_eq!(
        (&*valid.part, valid.samples, valid.sizes),
        ("valid", 4, Some([[20, 30]; 2]))
    );
    let duplicates = report.findings.iter().find_map(|finding| match finding {
        Finding::Duplicates {
            same: Same::Pixels,
            labels_differ: true,
            samples,
        } => Some(samples),
        _ => None,
    });
    let [first, second] = &duplicates.unwrap()[..] else {
        panic!("{duplicates:?}");
    };
    assert_eq!(
        (first.class.as_deref(), &*first.part),
        (Some("cat"), "train")
    );
    assert_eq!(
        (second.class.as_deref(), &*second.part),
        (Some("dog"), "valid")
    );
}

#[test]
fn grey_and_colour_are_told_by_what_most_are() {
    let with = |greys: usize, colors: usize| {
        let root = tempfile::tempdir().unwrap();
        for number in 0..greys {
            write(root.path(), &format!("a/{number:02}.png"), &grey(number));
        }
        for number in 0..colors {
            write(root.path(), &format!("b/{number:02}.png"), &usual(number));
        }
        let lines = lines(root.path());
        lines.into_iter().map(|(_, line)| line).collect::<Vec<_>>()
    };
    assert_eq!(with(10, 0).len() + with(0, 10).len(), 0);
    assert_eq!(with(1, 9), ["a/00.png: grey, while most are in colour"]);
    let colored =
        ["b/00.png", "b/01.png"].map(|file| format!("{file}: in colour, while most are grey"));
    assert_eq!(with(19, 2), colored);
    assert_eq!(with(3, 5), ["3 pictures are grey, 5 in colour"]);
}

#[test]
fn of_many_equal_pictures_a_few_are_named() {
    let root = tempfile::tempdir().unwrap();
    for number in 0..8 {
        write(root.path(), &format!("a/{number}.png"), &grey(0));
    }
    assert_eq!(
        lines(root.path()),
        [(
            Severity::Warning,
            "a/0.png, a/1.png, a/2.png, a/3.png, a/4.png and 3 more: the same bytes".to_owned()
        )]
    );
}

#[test]
fn each_look_is_told() {
    let shapes = ShapesOptions {
        len: 8,
        ..ShapesOptions::default()
    };
    let splits = Shapes::splits(shapes, 8).unwrap();
    let looks = std::sync::atomic::AtomicUsize::new(0);
    lint_with(&splits, &LintOptions::default(), &|| {
        looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    })
    .unwrap();
    assert_eq!(looks.into_inner(), 16);
}

#[test]
fn options_out_of_range_are_named() {
    let splits = Shapes::splits(
        ShapesOptions {
            len: 8,
            ..ShapesOptions::default()
        },
        8,
    )
    .unwrap();
    let default = LintOptions::default;
    for (options, expected) in [
        (
            LintOptions {
                imbalance: 0.5,
                ..default()
            },
            "imbalance",
        ),
        (
            LintOptions {
                area: f64::NAN,
                ..default()
            },
            "area",
        ),
        (
            LintOptions {
                aspect: f64::INFINITY,
                ..default()
            },
            "aspect",
        ),
        (
            LintOptions {
                workers: 0,
                ..default()
            },
            "workers",
        ),
    ] {
        assert!(matches!(
            lint(&splits, &options),
            Err(Error::Option { what: "lint", field, .. }) if field == expected
        ));
    }
}
