//! Label files that are damaged, nested, endless or made to be slow.

use std::fmt::Write as _;

use image_data::{DatasetLimits, Error};
use proptest::prelude::*;

use super::*;

/// The faults of a dataset, or of one that has nothing else.
fn outcome(folder: &Path, limits: DatasetLimits) -> Result<Vec<String>, Error> {
    let options = AnnotationOptions {
        limits,
        ..AnnotationOptions::default()
    };
    match Splits::survey_annotated(folder, &options) {
        Ok(splits) => Ok(lines(folder, &splits.contents.labels)),
        Err(error) => {
            let line = error.to_string();
            assert!(!line.contains(char::is_control), "{line:?}");
            match error {
                Error::File { path, reason } => match *reason {
                    Error::Labels { first, .. } => Ok(lines(folder, &[*first])),
                    reason => Err(Error::File {
                        path,
                        reason: Box::new(reason),
                    }),
                },
                other => Err(other),
            }
        }
    }
}

#[test]
fn xml_cannot_grow_or_nest_without_end() {
    let mut billion = "<!DOCTYPE a [<!ENTITY x0 \"xxxxxxxxxx\">".to_owned();
    for level in 1..12 {
        let before = format!("&x{};", level - 1).repeat(10);
        let _ = write!(billion, "<!ENTITY x{level} \"{before}\">");
    }
    billion += "]><annotation><object><name>&x11;</name></object></annotation>";
    let external = "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>\
                    <annotation><object><name>&x;</name></object></annotation>";
    let nested = format!("<annotation>{}", "<a>".repeat(100_000));
    let many = format!("<annotation>{}</annotation>", "<a/>".repeat(2 << 20));
    for xml in [&billion, external, &nested, &many] {
        let folder = folder(&[("1.png", ""), ("1.xml", xml)]);
        let found = outcome(folder.path(), DatasetLimits::default()).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("1.xml:1: "), "{found:?}");
    }
}

#[test]
fn json_cannot_nest_without_end() {
    let nested = format!(
        "{{\"images\": [], \"annotations\": [], \"categories\": [], \"x\": {}",
        "[".repeat(1 << 20)
    );
    let folder = folder(&[("1.png", ""), ("all.json", &nested)]);
    let found = outcome(folder.path(), DatasetLimits::default()).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("all.json:1: "), "{found:?}");
}

#[test]
fn a_label_file_has_a_largest_size() {
    let limits = DatasetLimits {
        max_archive_bytes: 1 << 10,
        ..DatasetLimits::default()
    };
    let json = format!("{{\"images\": [{}]}}", " ".repeat(1 << 11));
    let folder = folder(&[("1.png", ""), ("all.json", &json)]);
    let Err(Error::File { reason, .. }) = outcome(folder.path(), limits) else {
        panic!("this was accepted")
    };
    assert!(matches!(*reason, Error::OverLimit { .. }), "{reason}");
}

/// The time of a comparison of each label with each would be hours.
#[test]
fn many_labels_are_read_in_linear_time() {
    let line = |number: usize| format!("0 0.5 0.5 0.5 0.{number:06}\n");
    let txt: String = (1..200_000).map(line).collect();
    let unknown = "7 0.5 0.5 0.5 0.5\n".repeat(100_000);
    let folder = folder(&[
        ("classes.txt", "cat\n"),
        ("1.png", ""),
        ("1.txt", &txt),
        ("2.png", ""),
        ("2.txt", &unknown),
    ]);
    let splits = Splits::survey_annotated(folder.path(), &AnnotationOptions::default()).unwrap();
    assert_eq!(splits.train.label(0).len(), 199_999);
    assert_eq!(splits.contents.labels.len(), 100_000);
}

#[test]
fn many_pictures_of_one_name_are_found_in_linear_time() {
    let images: Vec<String> = (0..20_000)
        .map(|id| format!("{{\"id\": {id}, \"file_name\": \"x/{id}/y/1.png\"}}"))
        .collect();
    let json = format!(
        "{{\"images\": [{}], \"annotations\": [], \"categories\": []}}",
        images.join(",")
    );
    let keep = tempfile::tempdir().unwrap();
    let path = keep.path().join("set.tar");
    let mut tar = tar::Builder::new(fs::File::create(&path).unwrap());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    add("set/all.json", json.as_bytes());
    let png = png();
    for id in 0..20_000 {
        add(&format!("set/{id}/y/1.png"), &png);
    }
    tar.finish().unwrap();
    let options = AnnotationOptions::default();
    let splits = Splits::survey_annotated(&path, &options).unwrap();
    assert_eq!(splits.contents.labels, []);
    assert_eq!(splits.train.len(), 20_000);
}

/// The files of a small dataset of each format.
fn samples() -> [Vec<(&'static str, String)>; 3] {
    let xml = voc(&[("cat", [9, 5, 24, 20]), ("dog", [41, 11, 80, 40])]);
    let json = r#"{"images": [{"id": 1, "file_name": "1.png", "width": 80, "height": 40}],
"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}],
"categories": [{"id": 1, "name": "cat"}]}"#;
    [
        vec![("1.xml", xml)],
        vec![("all.json", json.to_owned())],
        vec![
            ("data.yaml", "train: images\nnames: [cat]\n".to_owned()),
            ("labels/1.txt", "0 0.5 0.5 0.5 0.5\n".to_owned()),
        ],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Any change of any bytes yields a dataset whose boxes are in their pictures, or faults on one line.
    #[test]
    fn changed_bytes_are_a_dataset_or_faults(
        format in 0..3_usize,
        file in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..4),
    ) {
        let mut files = samples()[format].clone();
        let keep = tempfile::tempdir().unwrap();
        let changed = file.index(files.len());
        for (number, (name, text)) in files.drain(..).enumerate() {
            let mut bytes = text.into_bytes();
            for (at, byte, kind) in changes.iter().filter(|_| number == changed) {
                let at = at.index(bytes.len());
                match kind {
                    0 => bytes[at] = *byte,
                    1 => bytes.insert(at, *byte),
                    _ if bytes.len() > 1 => drop(bytes.remove(at)),
                    _ => {}
                }
            }
            write(keep.path(), name, &bytes);
        }
        let picture = if format == 2 { "images/1.png" } else { "1.png" };
        write(keep.path(), picture, b"");
        let options = AnnotationOptions::default();
        match Splits::survey_annotated(keep.path(), &options) {
            Err(_) => drop(outcome(keep.path(), DatasetLimits::default())),
            Ok(splits) => {
                lines(keep.path(), &splits.contents.labels);
                for index in 0..splits.train.len() {
                    for object in splits.train.label(index) {
                        prop_assert!(object.class < splits.train.classes().len());
                        prop_assert_eq!(object.bbox.clip(SIZE), object.bbox);
                        prop_assert!(!object.bbox.is_empty());
                    }
                }
            }
        }
    }
}
