//! Files that are damaged, of the wrong kind or malicious: the program prints one line that names
//! the file, exits with code 1, and uses no more memory than in an ordinary run.

use std::process::Output;

use crate::common::{CFG, Fixture, assert_one_line, complaint, json_lines, limited, weights};

/// Runs `detect` on `photos/a.png`, or with other arguments.
fn detect(fixture: &Fixture, arguments: &[&str]) -> Output {
    let mut command = fixture.detect();
    command.args(arguments);
    limited(command).output().unwrap()
}

/// A file of a model, its content, and the text that must follow the file's name in the message.
type Case = (&'static str, Vec<u8>, &'static str);

#[test]
fn model_files() {
    const HTML: &[u8] = b"<!DOCTYPE html>\n<html><head><title>404</title></head></html>\n";
    let good = weights(CFG);
    let cfg = |from: &str, to: &str| {
        assert!(CFG.contains(from));
        CFG.replacen(from, to, 1).into_bytes()
    };
    let cases: [Case; 22] = [
        (
            "tiny.weights",
            HTML.into(),
            "not a weights file but an HTML page",
        ),
        (
            "tiny.weights",
            good[..good.len() - 3].into(),
            "3 bytes are missing",
        ),
        ("tiny.weights", good[..17].into(), "ends inside its header"),
        (
            "tiny.weights",
            [&good[..], &[0; 5]].concat(),
            "5 bytes are left over",
        ),
        ("tiny.weights", Vec::new(), "0 bytes"),
        ("tiny.weights", CFG.into(), "begins with the text"),
        ("tiny.weights", vec![0xff; good.len()], ""),
        ("tiny.cfg", good.clone(), ""),
        ("tiny.cfg", HTML.into(), "not a cfg file but an HTML page"),
        ("tiny.cfg", Vec::new(), "the file has no sections"),
        (
            "tiny.cfg",
            b"[net]\nwidth=32\nheight=32\nchannels=3\n".into(),
            "no layers",
        ),
        ("tiny.cfg", cfg("filters=8", "filters=99999999"), "filters"),
        (
            "tiny.cfg",
            cfg("filters=8", "filters=1000000"),
            "tiny.weights",
        ),
        ("tiny.cfg", cfg("filters=8", "filters=-1"), "filters"),
        ("tiny.cfg", cfg("size=3", "size=0"), "size"),
        ("tiny.cfg", cfg("stride=4", "stride=0"), "stride"),
        ("tiny.cfg", cfg("width=32", "width=99999999"), "width"),
        (
            "tiny.cfg",
            cfg("[yolo]", "[route]\nlayers=-9\n[yolo]"),
            "[route]",
        ),
        ("tiny.cfg", cfg("[yolo]", "[lstm]\n[yolo]"), "[lstm]"),
        ("tiny.cfg", cfg("classes=3", "classes=4"), "[yolo]"),
        ("tiny.names", "cat\ndog\n".into(), "2 class names"),
        (
            "tiny.names",
            HTML.into(),
            "not a names file but an HTML page",
        ),
    ];
    for (file, content, reason) in cases {
        let fixture = Fixture::new();
        fixture.write(file, content);
        let output = detect(&fixture, &["photos/a.png"]);
        // With a cfg of another size, the error is in the weights.
        let named = if reason == "tiny.weights" {
            reason
        } else {
            file
        };
        assert_one_line(&output, &format!("{named}: "));
        assert_one_line(&output, reason);
    }
}

/// A few lines of cfg that need 12 GB: layers of one channel, which kernels pad to 16.
#[test]
fn a_network_over_the_memory_limit_is_refused_before_memory_is_taken() {
    let fixture = Fixture::new();
    let cfg = "[net]\nwidth=9440\nheight=9440\nchannels=3\n\
               [conv]\nactivation=linear\n[conv]\nactivation=linear\n[shortcut]\nfrom=0\n\
               [max]\nsize=32\nstride=32\n[conv]\nfilters=6\nactivation=linear\n\
               [yolo]\nclasses=1\nanchors=10,10\n";
    fixture.write("tiny.weights", weights(cfg));
    fixture.write("tiny.names", "thing\n");
    fixture.write("tiny.cfg", cfg);
    let output = detect(&fixture, &["photos/a.png"]);
    assert_one_line(&output, "tiny.cfg: the network needs ");
    assert_one_line(&output, "of memory, more than the limit of ");
}

/// Weights of the fastest algorithm exceed the limit, small ones do not.
#[test]
fn small_memory_holds_for_detectors() {
    let fixture = Fixture::new();
    let wide = "[conv]\nfilters=64\nsize=3\npad=1\nactivation=leaky\n";
    let cfg = format!(
        "[net]\nwidth=16\nheight=16\nchannels=3\n{wide}{wide}\
         [conv]\nfilters=6\nactivation=linear\n[yolo]\nclasses=1\nanchors=10,10\n"
    );
    fixture.write("tiny.weights", weights(&cfg));
    fixture.write("tiny.names", "thing\n");
    fixture.write("tiny.cfg", cfg);
    let arguments = ["photos/a.png", "--memory-limit", "550kB"];
    let output = detect(&fixture, &arguments);
    assert_one_line(&output, "more than the limit of 537.1 KiB");
    let output = detect(&fixture, &[&arguments[..], &["--memory", "small"]].concat());
    assert!(output.status.success(), "{output:?}");
}

/// A few lines of cfg that need 6 GB for weights, without a weights file.
#[test]
fn random_weights_are_refused_before_memory_is_taken() {
    let fixture = Fixture::new();
    let cfg = "[net]\nwidth=1\nheight=1\nchannels=3\n\
               [conv]\nfilters=40000\nactivation=linear\n\
               [conv]\nfilters=40000\nactivation=linear\n\
               [conv]\nfilters=6\n[yolo]\nclasses=1\nanchors=10,10\n";
    fixture.write("wide.cfg", cfg);
    fixture.write("x.npy", crate::architectures::npy([1, 3, 1, 1]));
    let commands: [&[&str]; 2] = [
        &["bench"],
        &["run", "--input", "x.npy", "--output", "y.npz"],
    ];
    for command in commands {
        let mut arguments = [command, &["-q", "wide.cfg", "--memory-limit", "500MB"]].concat();
        let message = complaint(&fixture, &arguments);
        assert!(
            message.contains("more than the limit of 476.8 MiB"),
            "{message}"
        );
        if cfg!(target_os = "linux") {
            // Now the limit allows it, but the system does not.
            let last = arguments.len() - 1;
            arguments[last] = "30GB";
            let message = complaint(&fixture, &arguments);
            assert!(
                message.contains("not enough memory for the 6400000000 bytes of the parameter"),
                "{message}"
            );
        }
    }
}

/// The file has the length that the cfg requires, so only the system can refuse the memory.
#[test]
fn weights_that_do_not_fit_into_memory_are_an_error() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let fixture = Fixture::new();
    let cfg = "[net]\nwidth=1\nheight=1\nchannels=3\n\
               [conv]\nfilters=4096\n[conv]\nfilters=4096\nsize=3\npad=1\n\
               [conv]\nfilters=6\n[yolo]\nclasses=1\nanchors=10,10\n";
    fixture.write("tiny.cfg", cfg);
    let (first, large, last) = (4096 * 4_u64, 4096 + 4096 * 4096 * 9, 6 + 6 * 4096);
    let file = std::fs::File::create(fixture.path("tiny.weights")).unwrap();
    // Zeros that take no space on the disk: a header of version 0.0.
    file.set_len(16 + 4 * (first + large + last)).unwrap();
    let arguments = [
        "detect",
        "--model",
        "tiny.cfg",
        "--weights",
        "tiny.weights",
        "photos/a.png",
    ];
    let output = limited(fixture.command_with(&arguments)).output().unwrap();
    assert_one_line(
        &output,
        "tiny.weights: not enough memory for the weights: 603979776 bytes",
    );
}

#[test]
fn other_kinds_of_file_are_told_by_what_is_in_them() {
    let other = [
        (&b"\x40\0\0\0\0\0\0\0{\"a\":{"[..], ".safetensors file"),
        (b"PK\x03\x04\0\0\0\0", "zip archive"),
        (b"\x89PNG\r\n\x1a\n\0\0", "PNG picture"),
    ];
    for (content, kind) in other {
        for file in ["tiny.cfg", "tiny.weights", "tiny.names"] {
            let fixture = Fixture::new();
            // The same, also longer than a cfg may be.
            fixture.write(file, [content, &vec![b' '; 2 << 20]].concat());
            let what = file.strip_prefix("tiny.").unwrap();
            let output = detect(&fixture, &["photos/a.png"]);
            assert_one_line(&output, &format!("{file}: not a {what} file but a {kind}"));
        }
    }
}

#[test]
fn model_files_that_are_none() {
    for file in ["tiny.cfg", "tiny.weights", "tiny.names"] {
        let fixture = Fixture::new();
        std::fs::remove_file(fixture.path(file)).unwrap();
        assert_one_line(&detect(&fixture, &["photos/a.png"]), &format!("{file}: "));
        std::fs::create_dir(fixture.path(file)).unwrap();
        assert_one_line(&detect(&fixture, &["photos/a.png"]), &format!("{file}: "));
    }
}

#[test]
fn a_network_that_is_no_detector() {
    let fixture = Fixture::new();
    let headless = CFG.split("[yolo]").next().unwrap();
    fixture.write("tiny.cfg", headless);
    assert_one_line(
        &detect(&fixture, &["photos/a.png"]),
        "tiny.cfg: the network has no [region]",
    );
    let grey = CFG.replace("channels=3", "channels=1");
    fixture.write("tiny.weights", weights(&grey));
    fixture.write("tiny.cfg", grey);
    assert_one_line(
        &detect(&fixture, &["photos/a.png"]),
        "tiny.cfg: the network takes 1 channels",
    );
}

#[test]
fn a_line_break_in_a_name_does_not_break_the_line() {
    let fixture = Fixture::new();
    let output = fixture
        .command()
        .args(["summary", "a\nb\u{1b}[31m.cfg"])
        .output()
        .unwrap();
    assert_one_line(&output, "a\\nb\\u{1b}[31m.cfg: ");
}

#[test]
fn pictures() {
    let fixture = Fixture::new();
    let good = std::fs::read(fixture.path("photos/a.png")).unwrap();
    for (name, content, reason) in [
        ("huge.png", png_that_claims(60_000, 60_000), "60000"),
        ("wide.png", png_that_claims(u32::MAX >> 1, 1), ""),
        ("none.png", png_that_claims(0, 0), ""),
        ("huge.pgm", b"P5 60000 60000 255\n".to_vec(), "60000"),
        ("cut.png", good[..good.len() / 2].to_vec(), "cut short"),
        ("empty.png", Vec::new(), "the file is empty"),
        (
            "page.png",
            b"<!DOCTYPE html><html></html>".to_vec(),
            "an HTML page",
        ),
        ("weights.jpg", weights(CFG), ""),
    ] {
        fixture.write(name, content);
        let output = detect(&fixture, &[name]);
        assert_one_line(&output, &format!("convoxide: {name}: "));
        assert_one_line(&output, reason);
        let output = detect(&fixture, &["--json", name, "photos/a.png"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let lines = json_lines(&output);
        assert_eq!(lines[0]["image"], name);
        assert!(
            lines[0]["error"].as_str().unwrap().contains(reason),
            "{}",
            lines[0]
        );
        assert!(lines[1]["detections"].is_array());
    }
}

/// Returns a PNG of a hundred bytes with a correct checksum in each chunk.
fn png_that_claims(width: u32, height: u32) -> Vec<u8> {
    let header = [
        &width.to_be_bytes()[..],
        &height.to_be_bytes(),
        &[8, 2, 0, 0, 0],
    ]
    .concat();
    // An empty zlib stream: header, an empty stored block, Adler-32.
    let data = [0x78, 0x01, 1, 0, 0, 0xff, 0xff, 0, 0, 0, 1];
    png(&[(b"IHDR", &header), (b"IDAT", &data), (b"IEND", &[])])
}

/// Returns a PNG of these chunks.
fn png(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    for &(kind, content) in chunks {
        png.extend((content.len() as u32).to_be_bytes());
        let checked = [&kind[..], content].concat();
        png.extend(&checked);
        png.extend(crc32(&checked).to_be_bytes());
    }
    png
}

/// Computes the checksum of PNG (PNG specification, annex D) bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// A palette whose length is not a multiple of three, with transparency: a decoder once panicked on
/// it.
#[test]
fn a_decoder_that_gives_up_is_one_line() {
    let header = [
        &1u32.to_be_bytes()[..],
        &1u32.to_be_bytes(),
        &[8, 3, 0, 0, 0],
    ]
    .concat();
    // A stored block with one row: no filter, entry 1.
    let data = [0x78, 0x01, 1, 2, 0, 0xfd, 0xff, 0, 1, 0, 3, 0, 2];
    let palette = [9; 5];
    let png = png(&[
        (b"IHDR", &header),
        (b"PLTE", &palette),
        (b"tRNS", &[7]),
        (b"IDAT", &data),
        (b"IEND", &[]),
    ]);
    let fixture = Fixture::new();
    fixture.write("palette.png", png);
    assert_one_line(&detect(&fixture, &["palette.png"]), "palette.png: ");
}

#[test]
fn the_checksum_is_the_usual_one() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}
