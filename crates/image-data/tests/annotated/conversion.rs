//! A dataset stays the same when it is written in one format, read, and written in another.

use std::collections::BTreeMap;
use std::sync::Arc;

use image_data::{AnnotationFormat, BBox, Error, ObjectKind, Result, Role};
use proptest::prelude::*;

use super::*;

/// Pictures without files.
#[derive(Clone, Debug)]
struct Drawn {
    classes: Vec<String>,
    labels: Vec<Boxes>,
}

impl Dataset<Boxes> for Drawn {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Boxes {
        self.labels[index].clone()
    }

    fn picture(&self, index: usize) -> Result<Picture> {
        let [h, w] = SIZE;
        Picture::from_rgb(w, h, w * 3, &vec![index as u8; h * w * 3])
    }

    fn name(&self, index: usize) -> String {
        format!("a drawing #{index}")
    }
}

const CLASSES: [&str; 3] = ["zebra", "a \"b\" & <c>: ' #", "名前"];

fn dataset(labels: Vec<Boxes>) -> Arc<dyn Dataset<Boxes>> {
    Arc::new(Drawn {
        classes: CLASSES.map(str::to_owned).to_vec(),
        labels,
    })
}

fn splits(train: Vec<Boxes>, valid: Vec<Boxes>) -> Splits<Boxes> {
    Splits::new(dataset(train), Some(dataset(valid)))
}

/// The boxes of each picture, by part and by the number in the picture's name, sorted.
fn all(splits: &Splits<Boxes>) -> BTreeMap<(usize, usize), Boxes> {
    let mut all = BTreeMap::new();
    let parts = [Some(&splits.train), splits.valid.as_ref()];
    for (part, dataset) in parts.into_iter().flatten().enumerate() {
        assert_eq!(dataset.classes(), CLASSES);
        for index in 0..dataset.len() {
            let picture = dataset.picture(index).unwrap();
            all.insert((part, usize::from(picture.rgb()[0])), dataset.label(index));
        }
    }
    all
}

/// Whole pixels, or any.
fn edges() -> impl Strategy<Value = BBox> {
    let [h, w] = SIZE.map(|side| side as f32);
    let pair = |end: f32| {
        let any = (0.0..end - 0.5, 0.25..1.0_f32).prop_map(move |(a, share)| {
            let b = (a + (end - a) * share).min(end);
            (a, b)
        });
        let whole = (0..end as u8, 1..=8_u8)
            .prop_map(move |(a, len)| (f32::from(a), f32::from(a + len).min(end)));
        prop_oneof![any, whole]
    };
    (pair(w), pair(h)).prop_map(|((x1, x2), (y1, y2))| BBox::from_xyxy(x1, y1, x2, y2))
}

fn objects() -> impl Strategy<Value = Boxes> {
    let kind = prop_oneof![
        4 => Just(ObjectKind::Plain),
        1 => Just(ObjectKind::Difficult),
        1 => Just(ObjectKind::Crowd),
    ];
    let object = (
        0..CLASSES.len(),
        edges(),
        kind,
        prop::option::of(1.0..500.0),
    );
    let object = object.prop_map(|(class, bbox, kind, area)| ObjectBox {
        class,
        bbox,
        kind,
        area,
    });
    prop::collection::vec(object, 0..4)
}

/// What is left of a label after a format has had it.
fn through(format: AnnotationFormat, boxes: &Boxes) -> Boxes {
    let mut boxes = boxes.clone();
    match format {
        AnnotationFormat::Coco => {}
        AnnotationFormat::Voc => {
            for object in &mut boxes {
                object.area = None;
                if object.kind == ObjectKind::Crowd {
                    object.kind = ObjectKind::Difficult;
                }
            }
        }
        AnnotationFormat::Yolo => {
            boxes.retain(|object| object.kind == ObjectKind::Plain);
            boxes.iter_mut().for_each(|object| object.area = None);
        }
    }
    boxes
}

/// Shares are rounded in f64, which may change the last bit of a pixel's f32: below 80 at most 4e-6.
fn assert_same(
    found: &BTreeMap<(usize, usize), Boxes>,
    expected: &BTreeMap<(usize, usize), Boxes>,
    through_shares: bool,
) {
    let tolerance = if through_shares { 8e-6 } else { 0.0 };
    assert_eq!(found.len(), expected.len());
    for ((key, found), (expected_key, expected)) in found.iter().zip(expected) {
        assert_eq!((key, found.len()), (expected_key, expected.len()));
        for (found, expected) in found.iter().zip(expected) {
            let (a, b) = (found.bbox, expected.bbox);
            let off = [a.x1 - b.x1, a.y1 - b.y1, a.x2 - b.x2, a.y2 - b.y2];
            assert!(off.iter().all(|off| off.abs() <= tolerance), "{a:?} {b:?}");
            let bbox = b;
            assert_eq!(&ObjectBox { bbox, ..*found }, expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn boxes_survive_each_format_and_each_pair(
        train in prop::collection::vec(objects(), 1..4),
        valid in prop::collection::vec(objects(), 1..3),
    ) {
        let drawn = splits(train, valid);
        let keep = tempfile::tempdir().unwrap();
        for first in AnnotationFormat::ALL {
            let folder = keep.path().join(first.name());
            let written = drawn.write_annotated(&folder, first, &|| {}).unwrap();
            let once = open(&folder);
            prop_assert_eq!(once.contents.labels.len(), 0, "{:?}", once.contents.labels);
            let expected: BTreeMap<_, _> = all(&drawn)
                .into_iter()
                .map(|(key, boxes)| (key, through(first, &boxes)))
                .collect();
            let first_shares = first == AnnotationFormat::Yolo;
            assert_same(&all(&once), &expected, first_shares);
            prop_assert_eq!(written.pictures, expected.len());
            prop_assert_eq!(written.objects, expected.values().map(Vec::len).sum::<usize>());
            let roles: Vec<Role> = once.contents.parts.iter().map(|part| part.role).collect();
            prop_assert_eq!(roles, [Role::Train, Role::Valid]);
            for second in AnnotationFormat::ALL {
                let folder = keep.path().join(format!("{first}-{second}"));
                once.write_annotated(&folder, second, &|| {}).unwrap();
                let expected: BTreeMap<_, _> = expected
                    .iter()
                    .map(|(key, boxes)| (*key, through(second, boxes)))
                    .collect();
                let shares = first_shares || second == AnnotationFormat::Yolo;
                assert_same(&all(&open(&folder)), &expected, shares);
            }
        }
    }
}

#[test]
fn what_a_format_cannot_express_is_said() {
    let object = |kind| ObjectBox {
        kind,
        ..ObjectBox::new(0, BBox::from_xyxy(1.0, 2.0, 9.0, 8.0))
    };
    let kinds = [ObjectKind::Plain, ObjectKind::Difficult, ObjectKind::Crowd];
    let drawn = Splits::new(dataset(vec![kinds.map(object).to_vec()]), None);
    for (format, objects, notes) in [
        (AnnotationFormat::Coco, 3, vec![]),
        (
            AnnotationFormat::Voc,
            3,
            vec!["1 crowd is a difficult object now: VOC has no crowds"],
        ),
        (
            AnnotationFormat::Yolo,
            1,
            vec!["2 objects are left out: YOLO has neither difficult objects nor crowds"],
        ),
    ] {
        let keep = tempfile::tempdir().unwrap();
        let written = drawn.write_annotated(keep.path(), format, &|| {}).unwrap();
        assert_eq!((written.pictures, written.objects), (1, objects));
        assert_eq!(written.notes, notes);
    }
}

#[test]
fn files_are_copied_byte_for_byte_and_turned_pictures_are_made_upright() {
    let turned = faults::turned_jpeg(6);
    let straight = faults::turned_jpeg(1);
    let folder = folder(&[
        ("classes.txt", "cat\n"),
        ("a/images/1.txt", "0 0.5 0.5 0.5 0.25\n"),
        ("b/images/1.txt", "0 0.5 0.5 0.5 0.5\n"),
    ]);
    write(folder.path(), "a/images/1.jpg", &turned);
    write(folder.path(), "b/images/1.jpg", &straight);
    let splits = open(folder.path());
    let keep = tempfile::tempdir().unwrap();
    let written = splits
        .write_annotated(keep.path(), AnnotationFormat::Yolo, &|| {})
        .unwrap();
    assert_eq!(
        written.notes,
        [
            "1 picture is written upright as PNG: their EXIF orientation turns them, which not every \
          program knows"
        ]
    );
    let images = keep.path().join("images/train");
    assert_eq!(fs::read(images.join("1_2.jpg")).unwrap(), straight);
    let [h, w] = SIZE;
    let upright = Picture::open(images.join("1.png"), &image_data::Limits::default()).unwrap();
    assert_eq!(upright.size(), [w, h]);
    let again = open(keep.path());
    assert_eq!(again.train.label(0), splits.train.label(0));
    assert_eq!(again.train.label(1), splits.train.label(1));
}

#[test]
fn a_folder_with_files_is_left_alone() {
    let folder = folder(&[("notes.txt", "mine")]);
    let drawn = splits(vec![vec![]], vec![vec![]]);
    let error = drawn.write_annotated(folder.path(), AnnotationFormat::Coco, &|| {});
    let Err(Error::File { path, reason }) = error else {
        panic!("this was accepted")
    };
    assert_eq!(path, folder.path());
    assert!(matches!(*reason, Error::NotEmpty), "{reason}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
