//! How programs lay out datasets with boxes. Each layout has the same two objects, so that the same boxes
//! have to come out.

use std::fs::File;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use image_data::{AnnotationFormat, AnySplits, Error, ObjectKind, Role};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

/// `x1, y1, x2, y2` of a cat, and of a dog.
const CAT: [f32; 4] = [8.0, 4.0, 24.0, 20.0];
const DOG: [f32; 4] = [40.0, 10.0, 80.0, 40.0];

/// The same boxes in YOLO's unit.
const TXT: &str = "0 0.2 0.3 0.2 0.4\n1 0.75 0.625 0.5 0.75\n";

fn both() -> Vec<(String, [f32; 4])> {
    vec![named("cat", CAT), named("dog", DOG)]
}

/// The same boxes in VOC's.
fn xml() -> String {
    voc(&[("cat", [9, 5, 24, 20]), ("dog", [41, 11, 80, 40])])
}

/// The same boxes in COCO's, of picture 3.
fn coco(file_name: &str) -> String {
    format!(
        r#"{{"info": {{}},
"images": [{{"id": 3, "file_name": "{file_name}", "width": 80, "height": 40}}],
"annotations": [
 {{"id": 1, "image_id": 3, "category_id": 17, "bbox": [8, 4, 16, 16], "area": 256, "iscrowd": 0}},
 {{"id": 2, "image_id": 3, "category_id": 18, "bbox": [40, 10, 40, 30], "area": 700.5, "iscrowd": 1}}
],
"categories": [{{"id": 18, "name": "dog"}}, {{"id": 17, "name": "cat"}}]}}"#
    )
}

/// Whether boxes are equal up to the rounding of shares.
fn assert_close(found: &[(String, [f32; 4])], expected: &[(String, [f32; 4])]) {
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((class, edges), (expected_class, expected_edges)) in found.iter().zip(expected) {
        assert_eq!(class, expected_class);
        for (edge, expected) in edges.iter().zip(expected_edges) {
            // A few roundings of a number below 80 in f32.
            assert!((edge - expected).abs() < 1e-4, "{found:?}");
        }
    }
}

fn parts(splits: &Splits<Boxes>) -> Vec<(Role, usize)> {
    let parts = splits.contents.parts.iter();
    parts.map(|part| (part.role, part.pictures)).collect()
}

#[test]
fn yolo_is_read_as_each_program_lays_it_out() {
    let yaml =
        "path: /somewhere/else/cells\ntrain: images/train\nval: images/val\nnames: [cat, dog]\n";
    let layouts: [&[(&str, &str)]; 6] = [
        // Ultralytics.
        &[
            ("data.yaml", yaml),
            ("images/train/1.png", ""),
            ("images/val/2.png", ""),
            ("labels/train/1.txt", TXT),
            ("labels/val/2.txt", TXT),
        ],
        // Roboflow, whose paths begin one folder too high.
        &[
            (
                "data.yaml",
                "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['cat', 'dog']\n",
            ),
            ("train/images/1.png", ""),
            ("train/labels/1.txt", TXT),
            ("valid/images/2.png", ""),
            ("valid/labels/2.txt", TXT),
        ],
        // Lists of pictures.
        &[
            (
                "d.yaml",
                "train: train.txt\nval: [val.txt]\nnames: {1: dog, 0: cat}\n",
            ),
            ("train.txt", "./images/1.png\n"),
            ("val.txt", "/data/me/d/images/2.png\n\n"),
            ("images/1.png", ""),
            ("images/2.png", ""),
            ("labels/1.txt", TXT),
            ("labels/2.txt", TXT),
        ],
        // Darknet.
        &[
            (
                "obj.data",
                "classes = 2\ntrain = data/train.txt\nvalid = data/test.txt\nnames = data/obj.names\n",
            ),
            ("data/obj.names", "cat\ndog\n"),
            ("data/train.txt", "data/obj/1.png\n"),
            ("data/test.txt", "data/obj/2.png\r\n"),
            ("data/obj/1.png", ""),
            ("data/obj/1.txt", TXT),
            ("data/obj/2.png", ""),
            ("data/obj/2.txt", TXT),
        ],
        // Labels beside the pictures, in folders that name the parts.
        &[
            ("train/classes.txt", "cat\ndog\n"),
            ("train/1.png", ""),
            ("train/1.txt", TXT),
            ("val/2.png", ""),
            ("val/2.txt", TXT),
        ],
        // Without a description.
        &[
            ("classes.txt", "cat\r\ndog\r\n"),
            ("images/train/1.png", ""),
            ("images/val/2.png", ""),
            ("labels/train/1.txt", TXT),
            ("labels/val/2.txt", TXT),
        ],
    ];
    for files in layouts {
        let folder = folder(files);
        let splits = open(folder.path());
        assert_eq!(
            parts(&splits),
            [(Role::Train, 1), (Role::Valid, 1)],
            "{files:?}"
        );
        assert_close(&boxes(&splits.train, 0), &both());
        assert_close(&boxes(&splits.valid.unwrap(), 0), &both());
        let any = AnySplits::open(folder.path(), &AnnotationOptions::default()).unwrap();
        assert!(matches!(any, AnySplits::Boxes(_)), "{files:?}");
    }
}

#[test]
fn voc_is_read_as_each_program_lays_it_out() {
    let xml = xml();
    let main = "VOCdevkit/VOC2007/ImageSets/Main";
    let layouts: [&[(&str, &str)]; 3] = [
        &[
            ("VOCdevkit/VOC2007/JPEGImages/1.png", ""),
            ("VOCdevkit/VOC2007/JPEGImages/2.png", ""),
            ("VOCdevkit/VOC2007/Annotations/1.xml", &xml),
            ("VOCdevkit/VOC2007/Annotations/2.xml", &xml),
            (&format!("{main}/train.txt"), "1\n"),
            (&format!("{main}/val.txt"), "2 \n"),
            // Not the pictures of the class alone.
            (&format!("{main}/cat_train.txt"), "1 1\n2 -1\n"),
            (&format!("{main}/trainval.txt"), "1\n2\n"),
        ],
        &[
            ("train/1.png", ""),
            ("train/1.xml", &xml),
            ("valid/2.png", ""),
            ("valid/2.xml", &xml),
        ],
        &[
            ("train/images/1.png", ""),
            ("train/annotations/1.xml", &xml),
            ("val/images/2.png", ""),
            ("val/annotations/2.xml", &xml),
        ],
    ];
    for files in layouts {
        let folder = folder(files);
        let splits = open(folder.path());
        assert_eq!(
            parts(&splits),
            [(Role::Train, 1), (Role::Valid, 1)],
            "{files:?}"
        );
        assert_eq!(boxes(&splits.train, 0), both());
        assert_eq!(boxes(&splits.valid.unwrap(), 0), both());
    }
}

#[test]
fn coco_is_read_as_each_program_lays_it_out() {
    let [train, val] = ["1.png", "2.png"].map(coco);
    let layouts: [&[(&str, &str)]; 3] = [
        &[
            ("annotations/instances_train2017.json", &train),
            ("annotations/instances_val2017.json", &val),
            ("train2017/1.png", ""),
            ("val2017/2.png", ""),
            ("val2017/1.png", ""),
        ],
        &[
            ("train/_annotations.coco.json", &train),
            ("train/1.png", ""),
            ("valid/_annotations.coco.json", &val),
            ("valid/2.png", ""),
        ],
        &[
            ("train.json", &coco("images/1.png")),
            ("val.json", &coco("/data/me/images/2.png")),
            ("images/1.png", ""),
            ("images/2.png", ""),
        ],
    ];
    for (number, files) in layouts.into_iter().enumerate() {
        let folder = folder(files);
        let splits = open(folder.path());
        assert_eq!(
            parts(&splits),
            [(Role::Train, 1), (Role::Valid, 1)],
            "{number}"
        );
        for dataset in [splits.train, splits.valid.unwrap()] {
            assert_eq!(boxes(&dataset, 0), both(), "{number}");
            let [cat, dog] = &dataset.label(0)[..] else {
                panic!("{number}")
            };
            // The area of a box is not that of an outline.
            assert_eq!((cat.kind, cat.area), (ObjectKind::Plain, None));
            assert_eq!((dog.kind, dog.area), (ObjectKind::Crowd, Some(700.5)));
        }
    }
}

#[test]
fn archives_have_the_boxes_of_their_folders() {
    let files: [(&str, Vec<u8>); 3] = [
        ("set/classes.txt", b"cat\ndog\n".to_vec()),
        ("set/1.txt", TXT.as_bytes().to_vec()),
        ("set/1.png", png()),
    ];
    let keep = tempfile::tempdir().unwrap();
    let tar_gz = keep.path().join("set.tar.gz");
    let mut tar = tar::Builder::new(GzEncoder::new(
        File::create(&tar_gz).unwrap(),
        Compression::fast(),
    ));
    let zip_path = keep.path().join("set.zip");
    let mut zip = ZipWriter::new(File::create(&zip_path).unwrap());
    for (name, bytes) in &files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, &bytes[..]).unwrap();
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
    zip.finish().unwrap();
    for path in [tar_gz, zip_path] {
        let splits = open(&path);
        assert_close(&boxes(&splits.train, 0), &both());
        assert_eq!(splits.train.picture(0).unwrap().size(), SIZE);
    }
}

#[test]
fn the_path_of_a_description_chooses_it() {
    let folder = folder(&[
        ("a.yaml", "train: images\nnames: [cat, dog]\n"),
        ("images/1.png", ""),
        ("labels/1.txt", TXT),
        ("b.json", &coco("images/1.png")),
    ]);
    assert_close(
        &boxes(&open(folder.path().join("a.yaml")).train, 0),
        &both(),
    );
    assert_eq!(boxes(&open(folder.path().join("b.json")).train, 0), both());

    let error = Splits::annotated(folder.path(), &AnnotationOptions::default());
    let Err(Error::File { reason, .. }) = error else {
        panic!("two formats were accepted")
    };
    assert!(matches!(*reason, Error::NoDataset { .. }), "{reason}");
    let options = AnnotationOptions {
        format: Some(AnnotationFormat::Coco),
        ..AnnotationOptions::default()
    };
    let splits = Splits::annotated(folder.path(), &options).unwrap();
    assert_eq!(boxes(&splits.train, 0), both());
}

#[test]
fn pictures_without_objects_belong_to_the_dataset() {
    let empty = coco("1.png")
        .replace("\"image_id\": 3", "\"image_id\": 4")
        .replace(
            "\"images\": [",
            "\"images\": [{\"id\": 4, \"file_name\": \"2.png\"}, ",
        );
    let cases: [&[(&str, &str)]; 3] = [
        &[
            ("classes.txt", "cat\ndog\n"),
            ("1.png", ""),
            ("2.png", ""),
            ("2.txt", TXT),
            ("3.png", ""),
            ("3.txt", "\n"),
        ],
        &[
            ("1.png", ""),
            ("1.xml", &voc(&[])),
            ("2.png", ""),
            ("2.xml", &xml()),
        ],
        &[("1.png", ""), ("2.png", ""), ("all.json", &empty)],
    ];
    for files in cases {
        let folder = folder(files);
        let splits = open(folder.path());
        let counts: Vec<usize> = (0..splits.train.len())
            .map(|index| splits.train.label(index).len())
            .collect();
        assert_eq!(counts.iter().sum::<usize>(), 2, "{files:?}");
        assert_eq!(
            counts.iter().filter(|&&count| count == 0).count(),
            counts.len() - 1
        );
        assert!(counts.len() > 1);
        assert_eq!(splits.train.classes(), ["cat", "dog"]);
    }
}

#[test]
fn voc_counts_from_1_unless_a_0_shows_otherwise() {
    let folder = folder(&[
        ("1.png", ""),
        ("1.xml", &voc(&[("cat", [0, 5, 24, 20])])),
        ("2.png", ""),
        ("2.xml", &voc(&[("cat", [9, 5, 24, 20])])),
    ]);
    let splits = open(folder.path());
    assert_eq!(
        boxes(&splits.train, 0),
        [named("cat", [0.0, 5.0, 24.0, 20.0])]
    );
    assert_eq!(
        boxes(&splits.train, 1),
        [named("cat", [9.0, 5.0, 24.0, 20.0])]
    );
    let contents = splits.contents.to_string();
    assert!(contents.contains("count pixels from 0"), "{contents}");
}

#[test]
fn outlines_count_as_the_boxes_around_them() {
    let folder = folder(&[
        ("classes.txt", "cat\n"),
        ("1.png", ""),
        ("1.txt", "0 0.1 0.1 0.3 0.1 0.2 0.5\n"),
    ]);
    let splits = open(folder.path());
    assert_close(
        &boxes(&splits.train, 0),
        &[named("cat", [8.0, 4.0, 24.0, 20.0])],
    );
}

#[test]
fn difficult_objects_are_marked() {
    let xml = xml().replacen("<bndbox>", "<difficult>1</difficult><bndbox>", 1);
    let folder = folder(&[("1.png", ""), ("1.xml", &xml)]);
    let kinds = open(folder.path()).train.label(0);
    let kinds: Vec<ObjectKind> = kinds.iter().map(|object| object.kind).collect();
    assert_eq!(kinds, [ObjectKind::Difficult, ObjectKind::Plain]);
}

#[test]
fn many_pictures_of_one_name_are_told_apart() {
    let mut files = vec![("classes.txt".to_owned(), "cat\ndog\n".to_owned())];
    for number in 0..50 {
        files.push((format!("{number}/images/0001.png"), String::new()));
        files.push((
            format!("{number}/labels/0001.txt"),
            format!("{} 0.5 0.5 1 1", number % 2),
        ));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (&**a, &**b)).collect();
    let folder = folder(&files);
    let splits = open(folder.path());
    assert_eq!(splits.train.len(), 50);
    for index in 0..50 {
        let number: usize = splits
            .train
            .name(index)
            .rsplit('/')
            .nth(2)
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(splits.train.label(index)[0].class, number % 2);
    }
}

#[test]
fn class_folders_with_other_texts_are_no_boxes() {
    let folder = folder(&[
        ("cat/1.png", ""),
        ("cat/1.txt", "A cat.\n"),
        ("dog/2.png", ""),
        ("info.json", r#"{"images": 2, "author": "me"}"#),
        ("about.xml", "<about>cats</about>"),
        ("settings.yaml", "names: [a]\n"),
    ]);
    let any = AnySplits::open(folder.path(), &AnnotationOptions::default()).unwrap();
    let AnySplits::Classes(splits) = any else {
        panic!("boxes were found")
    };
    assert_eq!(splits.train.classes(), ["cat", "dog"]);
}
