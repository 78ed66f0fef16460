//! Every kind of mistake in a label: each is found with its file and line, all in one run, and does what
//! the option says.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use image_data::{Error, Faulty, LabelProblem, Severity};

use super::*;

#[test]
fn every_fault_of_yolo_has_its_line() {
    let folder = folder(&[
        ("classes.txt", "cat\ndog\n"),
        ("1.png", ""),
        (
            "1.txt",
            "0 0.5 0.5 0.5 0.5\n\
             1 0.5 0.5 0.5 0.5\n\
             2 0.5 0.5 0.5 0.5\n\
             -1 0.5 0.5 0.5 0.5\n\
             cat 0.5 0.5 0.5 0.5\n\
             0 40 20 40 20\n\
             0 0.5 0.5 0 0.5\n\
             0 0.5 0.5 0.5 -0.5\n\
             0 1.5 0.5 0.5 0.5\n\
             0 0.9 0.5 0.5 0.5\n\
             0 0.5 0.5 0.5\n\
             0 0.5 nan 0.5 0.5\n\
             \n\
             0 0.5 0.5 0.5 0.5\n\
             0 0.5 0.5 1.02 1\n",
        ),
        ("2.txt", "0 0.5 0.5 0.5 0.5\n"),
        ("3.png", "no picture"),
        ("3.txt", "0 0.5 0.5 0.5 0.5\n"),
    ]);
    assert_eq!(
        faults_of(folder.path()),
        [
            "1.txt:3: unknown class 2",
            "1.txt:4: unknown class -1",
            "1.txt:5: the class: expected a number from 0, got \"cat\"",
            "1.txt:6: expected shares of the picture, from 0 to 1, got 40: pixels?",
            "1.txt:11: the line: expected a class and 4 numbers, or a class and the points of an \
             outline, got 4 numbers",
            "1.txt:12: a coordinate: expected a number, got \"nan\"",
            "2.txt: there is no picture 2",
            "1.txt:7: the box has no area: 0 x 20 pixels",
            "1.txt:8: the box has no area: 40 x -20 pixels",
            "1.txt:9: the box (100, 10, 140, 30) is outside the picture of 80 x 40",
            "1.txt:10: the box (52, 10, 92, 30) extends beyond the picture of 80 x 40",
            "1.txt:14: the same label as in line 1",
            "3.png: the picture cannot be read: not a PNG, JPEG, GIF, WebP, TIFF, BMP or PNM picture: \
             its content matches no known picture format",
        ]
    );
}

#[test]
fn every_fault_of_voc_has_its_line() {
    let good = "<name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>\
                </bndbox>";
    let objects = [
        good.to_owned(),
        good.replace("cat", "cow"),
        good.replace("<xmax>9</xmax>", ""),
        good.replace("<ymax>9", "<ymax>ten"),
        good.replace("<name>cat</name>", "<name> </name>"),
        "<name>cat</name>".to_owned(),
        good.replace("<xmin>1", "<xmin>12"),
        good.replace("<xmax>9", "<xmax>85"),
        good.to_owned(),
    ];
    let objects = objects.map(|object| format!("<object>{object}</object>\n"));
    let xml = |size: &str| format!("<annotation>{size}\n{}</annotation>", objects.concat());
    let folder = folder(&[
        ("classes.txt", "cat\ncot\n"),
        ("a/1.png", ""),
        ("a/1.xml", &xml("")),
        ("2.png", ""),
        ("2.xml", &voc(&[]).replace("80", "90")),
        ("3.png", ""),
        ("3.xml", "<annotation>\n<size>"),
        ("4.png", ""),
        ("4.xml", "<html>\n</html>"),
        ("5.xml", &voc(&[])),
        ("b/6.png", ""),
        ("c/6.png", ""),
        ("6.xml", &voc(&[])),
    ]);
    assert_eq!(
        faults_of(folder.path()),
        [
            "3.xml:1: the root node was opened but never closed",
            "4.xml:1: the first element: expected annotation, got html",
            "5.xml: there is no picture 5",
            "6.xml: several pictures match: b/6.png, c/6.png",
            "a/1.xml:4: xmax is missing",
            "a/1.xml:5: ymax: expected a number, got \"ten\"",
            "a/1.xml:6: name is missing",
            "a/1.xml:7: bndbox is missing",
            "a/1.xml:3: unknown class cow; did you mean cot?",
            "2.xml: 2.png: the labels are for a picture of 90 x 40, the picture is 80 x 40",
            "a/1.xml:8: the box has no area: -2 x 9 pixels",
            "a/1.xml:9: the box (0, 0, 85, 9) extends beyond the picture of 80 x 40",
            "a/1.xml:10: the same label as in line 2",
        ]
    );
}

#[test]
fn every_fault_of_coco_has_its_line() {
    let annotations = [
        r#"{"id": 10, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9]}"#,
        r#"{"id": 11, "image_id": 9, "category_id": 1, "bbox": [0, 0, 9, 9]}"#,
        r#"{"id": 12, "image_id": 1, "category_id": 3, "bbox": [0, 0, 9, 9]}"#,
        r#"{"id": 13, "image_id": 1, "category_id": 1, "bbox": [0, 0, 0, 9]}"#,
        r#"{"id": 14, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9]}"#,
        r#"{"id": 15, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 99]}"#,
        r#"{"id": 16, "image_id": 1, "category_id": 1}"#,
        r#"{"id": 17, "image_id": 2, "category_id": 1, "bbox": [0, 0, 9, 9]}"#,
        r#"{"id": 18, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9]}"#,
        r#"{"id": 19, "image_id": 1, "category_id": 1, "bbox": [90, 0, 9, 9]}"#,
        r#"{"id": 20, "image_id": 4, "category_id": 1, "bbox": [9, 0, 9, 9]}"#,
    ];
    let json = format!(
        "{{\"images\": [\n{}],\n\"annotations\": [\n{}],\n\"categories\": [{}]}}",
        r#"{"id": 1, "file_name": "1.png", "width": 80, "height": 40},
{"id": 2, "file_name": "2.png"},
{"id": 3},
{"id": 4, "file_name": "1.png"},
{"id": 5, "file_name": "5.png", "width": 40, "height": 80}"#,
        annotations.join(",\n"),
        r#"{"id": 1, "name": "cat"}"#,
    );
    let folder = folder(&[("all.json", &json), ("1.png", ""), ("5.png", "")]);
    assert_eq!(
        faults_of(folder.path()),
        [
            "all.json:3: image 2: there is no picture 2.png",
            "all.json:4: an image: missing field `file_name`",
            "all.json:5: image 4: the picture 1.png has been labelled before",
            "all.json:9: annotation 11: image_id: expected the id of an image, got 9",
            "all.json:10: annotation 12: unknown class 3",
            "all.json:12: an annotation: invalid length 3, expected an array of length 4",
            "all.json:14: an annotation: missing field `bbox`",
            "all.json:11: annotation 13: the box has no area: 0 x 9 pixels",
            "all.json:13: annotation 15: the box (0, 0, 9, 99) extends beyond the picture of 80 x 40",
            "all.json:16: annotation 18: the same label as in line 8",
            "all.json:17: annotation 19: the box (90, 0, 99, 9) is outside the picture of 80 x 40",
            "all.json: 5.png: the labels are for a picture of 40 x 80, the picture is 80 x 40",
        ]
    );
}

#[test]
fn faults_of_descriptions_are_found() {
    for (files, expected) in [
        (
            &[
                (
                    "data.yaml",
                    "train: images\nval: [valid]\nnames: {0: cat, 2: dog}\n",
                ),
                ("images/1.png", ""),
            ],
            "data.yaml:3: names: expected each number from 0 to 1 once, got 2",
        ),
        (
            &[
                ("data.yaml", "train: images\nval: [valid]\nnames: [cat]\n"),
                ("images/1.png", ""),
            ],
            "data.yaml: valid: expected a folder or a file of the dataset, got valid",
        ),
        (
            &[
                ("obj.data", "classes=1\ntrain=images\nnames = obj.names\n"),
                ("images/1.png", ""),
            ],
            "obj.data:3: names: expected a folder or a file of the dataset, got obj.names",
        ),
    ] {
        let folder = folder(files);
        let found = match Splits::survey_annotated(folder.path(), &AnnotationOptions::default()) {
            Ok(splits) => lines(folder.path(), &splits.contents.labels),
            // Nothing else is in the dataset.
            Err(Error::File { reason, .. }) => match *reason {
                Error::Labels { first, .. } => lines(folder.path(), &[*first]),
                other => panic!("{other}"),
            },
            Err(other) => panic!("{other}"),
        };
        assert_eq!(found, [expected]);
    }
}

/// A JPEG of [`SIZE`] whose EXIF orientation is `orientation`.
pub(crate) fn turned_jpeg(orientation: u8) -> Vec<u8> {
    let [h, w] = SIZE;
    let mut file = Vec::new();
    let mut encoder = JpegEncoder::new(&mut file);
    // TIFF's header, and a directory with one entry: tag 0x112, a short.
    let exif = [
        b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0",
        &[orientation, 0, 0, 0, 0, 0, 0][..],
    ]
    .concat();
    encoder.set_exif_metadata(exif).unwrap();
    encoder
        .write_image(
            &vec![90; h * w * 3],
            w as u32,
            h as u32,
            ExtendedColorType::Rgb8,
        )
        .unwrap();
    file
}

#[test]
fn labels_of_turned_pictures_have_to_be_upright() {
    let [h, w] = SIZE;
    let upright = voc(&[("cat", [1, 1, 9, 9])])
        .replace("<width>80", "<width>41")
        .replace("<height>40", "<height>80")
        .replace("<width>41", "<width>40");
    let lying = voc(&[("cat", [1, 1, 9, 9])]);
    for (orientation, xml, expected) in [
        (1, &lying, None),
        (6, &upright, None),
        (
            6,
            &lying,
            Some(
                "1.xml: 1.jpg: the labels are for a picture of 80 x 40, but its EXIF orientation turns it to 40 x 80",
            ),
        ),
        (
            3,
            &lying,
            Some(
                "1.xml: 1.jpg: the picture is turned by its EXIF orientation: the labels have to be for the upright picture",
            ),
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "1.jpg", &turned_jpeg(orientation));
        write(folder.path(), "1.xml", xml.as_bytes());
        let clip = AnnotationOptions {
            faulty: Faulty::Clip,
            ..AnnotationOptions::default()
        };
        let splits = Splits::survey_annotated(folder.path(), &clip);
        let found = match splits {
            Ok(splits) => {
                let size = splits.train.picture(0).ok().map(|picture| picture.size());
                if orientation == 6 && expected.is_none() {
                    assert_eq!(size, Some([w, h]));
                }
                lines(folder.path(), &splits.contents.labels)
            }
            Err(error) => panic!("{error}"),
        };
        assert_eq!(
            found,
            expected.into_iter().collect::<Vec<_>>(),
            "orientation {orientation}"
        );
    }
}

/// One box that reaches beyond, one outside, one twice, and one that is right.
fn mixed() -> TempDir {
    folder(&[
        ("classes.txt", "cat\n"),
        ("1.png", ""),
        (
            "1.txt",
            "0 0.9 0.5 0.5 0.5\n0 1.5 0.5 0.5 0.5\n0 0.5 0.5 0.5 0.5\n0 0.5 0.5 0.5 0.5\n",
        ),
    ])
}

fn faulty(faulty: Faulty) -> AnnotationOptions {
    AnnotationOptions {
        faulty,
        ..AnnotationOptions::default()
    }
}

#[test]
fn faulty_labels_are_refused_clipped_or_dropped() {
    let folder = mixed();
    let right = named("cat", [20.0, 10.0, 60.0, 30.0]);
    let clipped = named("cat", [52.0, 10.0, 80.0, 30.0]);

    let error = Splits::annotated(folder.path(), &faulty(Faulty::Refuse));
    let Err(Error::File { reason, .. }) = error else {
        panic!("this was accepted")
    };
    let Error::Labels { count, first } = &*reason else {
        panic!("{reason}")
    };
    assert_eq!(*count, 2);
    assert_eq!(first.line, Some(1));
    assert!(matches!(first.problem, LabelProblem::PartlyOutside { .. }));

    let splits = Splits::annotated(folder.path(), &faulty(Faulty::Clip)).unwrap();
    assert_eq!(boxes(&splits.train, 0), [clipped, right.clone()]);
    let contents = splits.contents.to_string();
    assert!(
        contents.contains("labels clipped to their pictures: 1"),
        "{contents}"
    );

    let splits = Splits::annotated(folder.path(), &faulty(Faulty::Drop)).unwrap();
    assert_eq!(boxes(&splits.train, 0), [right]);
    let contents = splits.contents.to_string();
    assert!(
        contents.contains("because they cannot be used: 2"),
        "{contents}"
    );
}

#[test]
fn faults_are_read_back_from_json() {
    let folder = mixed();
    let splits = Splits::survey_annotated(folder.path(), &faulty(Faulty::Clip)).unwrap();
    let faults = &splits.contents.labels;
    let json = serde_json::to_string(faults).unwrap();
    assert_eq!(
        &serde_json::from_str::<Vec<LabelFault>>(&json).unwrap(),
        faults
    );
    let value = serde_json::to_value(&faults[0]).unwrap();
    assert_eq!(value["problem"], "partly_outside");
    assert_eq!(value["line"], 1);
    assert_eq!(value["bbox"][2], "92");
    let severities: Vec<Severity> = faults.iter().map(LabelFault::severity).collect();
    assert_eq!(
        severities,
        [Severity::Error, Severity::Error, Severity::Warning]
    );
}
