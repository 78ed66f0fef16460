//! Datasets from other sources: which folders are parts, which are classes, and what is reported of
//! the rest.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

use image_data::{
    ClassFolders, Dataset, DatasetLimits, Error, Fault, LintOptions, Reason, Role, Splits, lint,
};
use tempfile::TempDir;

/// Returns a picture of one pixel.
fn pgm(grey: u8) -> Vec<u8> {
    [b"P5 1 1 255\n", &[grey][..]].concat()
}

/// Creates a folder with these files; a name that ends in `/` is a folder.
fn folder(files: &[&str]) -> (TempDir, PathBuf) {
    let keep = tempfile::tempdir().unwrap();
    let root = keep.path().join("data");
    for (number, file) in files.iter().enumerate() {
        let path = root.join(file);
        if file.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, pgm(number as u8)).unwrap();
        }
    }
    (keep, root)
}

fn open(root: &Path) -> Result<Splits, Error> {
    Splits::open(root, &DatasetLimits::default())
}

fn fault(root: &Path) -> Fault {
    match open(root) {
        Err(Error::File { reason, .. }) => match *reason {
            Error::Layout(fault) => {
                assert_eq!(fault.to_string().lines().count(), 1);
                fault
            }
            other => panic!("{other}"),
        },
        Err(other) => panic!("{other}"),
        Ok(splits) => panic!("{}", splits.contents),
    }
}

/// Returns the role, the name and the number of pictures of each part.
fn parts(splits: &Splits) -> Vec<(Role, &str, usize)> {
    let parts = splits.contents.parts.iter();
    parts
        .map(|part| (part.role, &*part.name, part.pictures))
        .collect()
}

#[test]
fn parts_are_found_by_their_usual_names() {
    for (train, test, role) in [
        ("train", "valid", Role::Valid),
        ("Train", "Test", Role::Test),
        ("TRAINING", "TESTING", Role::Test),
        ("train", "dev", Role::Valid),
        ("training", "Validation", Role::Valid),
        ("seg_train", "seg_test", Role::Test),
        ("train_images", "val_images", Role::Valid),
        ("asl-train", "asl-eval", Role::Valid),
    ] {
        let files = [
            format!("{train}/cat/1.pgm"),
            format!("{train}/dog/1.pgm"),
            format!("{train}/dog/2.pgm"),
            format!("{test}/dog/1.pgm"),
        ];
        let (_keep, root) = folder(&files.each_ref().map(String::as_str));
        let splits = open(&root).unwrap();
        assert_eq!(parts(&splits), [(Role::Train, train, 3), (role, test, 1)]);
        assert_eq!(splits.train.classes(), ["cat", "dog"]);
        // Evaluation never uses the training part.
        assert_eq!(splits.evaluation().picture(0).unwrap().rgb(), [3; 3]);
        let title = splits.evaluation_title();
        assert!(
            title == test || title.contains(&format!("({test})")),
            "{title}"
        );
    }
}

#[test]
fn a_part_may_lie_in_a_folder_of_its_own_name_and_one_without_labels_beside_it() {
    // The layout of the Intel scenes on Kaggle.
    let (_keep, root) = folder(&[
        "seg_train/seg_train/sea/1.pgm",
        "seg_train/seg_train/street/1.pgm",
        "seg_test/seg_test/sea/2.pgm",
        "seg_pred/seg_pred/3.pgm",
    ]);
    let splits = open(&root).unwrap();
    assert_eq!(splits.train.classes(), ["sea", "street"]);
    assert_eq!(
        parts(&splits),
        [
            (Role::Train, "seg_train/seg_train", 2),
            (Role::Test, "seg_test/seg_test", 1)
        ]
    );
    let left_out = splits.contents.by_reason();
    assert_eq!(
        (&left_out[0].reason, left_out.len()),
        (&Reason::NoLabels, 1)
    );
    assert_eq!(splits.contents.missed(), 1);
}

#[test]
fn of_valid_and_test_one_is_measured_and_both_are_there() {
    let (_keep, root) = folder(&["train/a/1.pgm", "test/a/2.pgm", "val/a/3.pgm"]);
    let splits = open(&root).unwrap();
    assert_eq!(splits.evaluation_title(), "valid (val)");
    assert_eq!(splits.evaluation().picture(0).unwrap().rgb(), [2; 3]);
    assert_eq!(splits.test.unwrap().picture(0).unwrap().rgb(), [1; 3]);
    assert_eq!(
        splits.contents.notes,
        ["evaluated on valid (val); to evaluate on test, open it by itself"]
    );
}

#[test]
fn one_folder_of_a_part_is_that_part() {
    let (_keep, root) = folder(&["set/train/cat/1.pgm", "set/train/dog/1.pgm"]);
    let splits = open(&root).unwrap();
    assert_eq!(parts(&splits), [(Role::Train, "set/train", 2)]);
    assert_eq!(splits.evaluation_title(), "train (set/train)");
    let (_keep, root) = folder(&["set/cat/1.pgm", "set/dog/1.pgm"]);
    assert_eq!(parts(&open(&root).unwrap()), [(Role::All, "set", 2)]);
}

#[test]
fn a_class_may_be_called_as_a_part_is() {
    for files in [
        &["plane/1.pgm", "train/1.pgm"][..],
        &["bus/1.pgm", "car/1.pgm", "train/1.pgm", "train/web/1.pgm"],
        &["bus/1.pgm", "bullet_train/1.pgm", "bullet_train/web/1.pgm"],
        &["bullet_train/1.pgm", "steam_train/1.pgm"],
        &["control/p1/1.pgm", "contest/p2/1.pgm"],
    ] {
        let (_keep, root) = folder(files);
        let splits = open(&root).unwrap();
        assert_eq!(parts(&splits), [(Role::All, "", files.len())], "{files:?}");
    }
}

#[test]
fn what_may_be_a_part_or_a_class_is_an_error_that_lists_the_folders() {
    let (_keep, root) = folder(&["train/a/1.pgm", "dev2/a/1.pgm", "docs/read.txt"]);
    let fault = fault(&root);
    assert_eq!(
        fault,
        Fault::UnknownPart {
            found: vec!["dev2".to_owned(), "train".to_owned()],
            unknown: vec!["dev2".to_owned()],
        }
    );
    assert!(
        fault
            .to_string()
            .starts_with("dev2, train found: dev2 may be")
    );
}

#[test]
fn parts_that_cannot_be_are_errors() {
    for (files, expected) in [
        (
            &["train/a/1.pgm", "val/a/1.pgm", "valid/a/1.pgm"][..],
            "val, valid are all valid",
        ),
        (&["test/a/1.pgm", "valid/a/1.pgm"], "no part to train on"),
        (&["train/1.pgm", "test/1.pgm"], "a folder for each class"),
        // Not two classes called Train and TEST.
        (&["Train/1.pgm", "TEST/2.pgm"], "a folder for each class"),
        (
            &["train/a/1.pgm", "valid/1.pgm"],
            "valid: expected a folder for each class",
        ),
        (&["train/a/1.pgm", "valid/"], "valid: no pictures"),
        (
            &["train/a/1.pgm", "valid/b/1.pgm"],
            "the class b (1 picture) is not one",
        ),
    ] {
        let (_keep, root) = folder(files);
        let fault = fault(&root).to_string();
        assert!(fault.contains(expected), "{files:?}: {fault}");
    }
    // In competitions, the test part usually has no labels.
    let (_keep, root) = folder(&["train/a/1.pgm", "train/b/1.pgm", "test/1.pgm"]);
    let splits = open(&root).unwrap();
    assert_eq!(splits.evaluation_title(), "train");
    assert_eq!(splits.contents.left_out[0].reason, Reason::NoLabels);
}

#[test]
fn a_class_without_pictures_is_an_error_that_names_it() {
    let (_keep, root) = folder(&["train/images/1.pgm", "train/labels/1.txt"]);
    assert_eq!(
        fault(&root).to_string(),
        "train: the class labels has no pictures: images and labels side by side are data for \
         detection or segmentation"
    );
    let (_keep, root) = folder(&["cat/1.pgm", "dog/1.heic", "eel/"]);
    let survey = Splits::survey(&root, &DatasetLimits::default()).unwrap();
    let faults: Vec<String> = survey
        .contents
        .faults
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        faults,
        [
            "all: the class dog has no pictures: 1 file of its folder left out",
            "all: the class eel has no pictures: its folder is empty"
        ]
    );
    assert!(matches!(
        ClassFolders::open(&root, &DatasetLimits::default()),
        Err(Error::File { reason, .. }) if matches!(*reason, Error::Layout(Fault::EmptyClass { .. }))
    ));
    // The other parts need no class folders.
    let (_keep, root) = folder(&[
        "train/a/1.pgm",
        "train/b/1.pgm",
        "valid/a/1.pgm",
        "valid/b/",
    ]);
    let contents = open(&root).unwrap().contents;
    assert_eq!(
        contents.parts[1].to_string(),
        "valid: 1 picture of 1 of 2 classes"
    );
}

#[test]
fn what_systems_and_training_leave_behind_is_no_class() {
    let files = [
        "cat/1.pgm",
        "cat/@eaDir/1.pgm",
        "cat/Thumbs.db",
        "dog/1.pgm",
        "$RECYCLE.BIN/1.pgm",
        "@eaDir/1.pgm",
        "System Volume Information/1.pgm",
        "__MACOSX/cat/._1.pgm",
        "__pycache__/x.pyc",
        ".git/objects/1.pgm",
        "lost+found/",
        "runs/tiny/log.jsonl",
        "desktop.ini",
    ];
    let (_keep, root) = folder(&files);
    let splits = open(&root).unwrap();
    assert_eq!(splits.train.classes(), ["cat", "dog"]);
    assert_eq!(splits.train.len(), 2);
    let reason = |name: &str| {
        let name = root.join(name).display().to_string();
        let left_out = &splits.contents.left_out;
        let found = left_out.iter().find(|left_out| left_out.name == name);
        found.map(|left_out| left_out.reason.clone())
    };
    assert_eq!(reason("runs"), Some(Reason::Runs));
    assert_eq!(reason("cat/Thumbs.db"), Some(Reason::Hidden));
    for folder in [
        "cat/@eaDir",
        "$RECYCLE.BIN",
        "__pycache__",
        ".git",
        "lost+found",
    ] {
        assert_eq!(reason(folder), Some(Reason::HiddenFolder), "{folder}");
    }
    assert_eq!(splits.contents.left_out.len(), 11);
    assert_eq!(splits.contents.missed(), 0);
    // But a folder that contains pictures is a class.
    let (_keep, root) = folder(&["jumps/1.pgm", "runs/1.pgm"]);
    assert_eq!(open(&root).unwrap().train.classes(), ["jumps", "runs"]);
}

#[test]
fn what_is_left_out_is_counted_by_reason() {
    let (_keep, root) = folder(&[
        "a/1.JFIF", "a/2.jpe", "a/3.heic", "a/4.HeIC", "b/1.pgm", "b/2.svg", "b/3.txt", "4.pgm",
    ]);
    let contents = open(&root).unwrap().contents;
    assert_eq!(contents.parts[0].pictures, 3);
    let found: Vec<(String, usize)> = contents
        .by_reason()
        .into_iter()
        .map(|group| (group.reason.to_string(), group.count))
        .collect();
    assert_eq!(
        found,
        [
            ("pictures in .heic are not read".to_owned(), 2),
            ("pictures in .svg are not read".to_owned(), 1),
            ("not in the folder of a class".to_owned(), 1),
            ("not named like a picture (.txt)".to_owned(), 1),
        ]
    );
    assert_eq!(contents.missed(), 4);
    let root = root.display();
    let text = contents.to_string();
    let line =
        format!("left out: 2, pictures in .heic are not read: {root}/a/3.heic, {root}/a/4.HeIC");
    assert!(text.lines().any(|l| l == line), "{text}");

    let (_keep, root) = folder(&["a/1.heic", "b/1.heic"]);
    match open(&root) {
        Err(error) => assert!(
            error
                .to_string()
                .contains("no pictures; left out: 2, pictures in .heic"),
            "{error}"
        ),
        Ok(splits) => panic!("{}", splits.contents),
    }
}

/// The content decides how a file is read, its name whether it is.
#[test]
fn every_format_that_is_read_is_a_picture_of_a_class() {
    let suffixes = [
        "bmp", "gif", "jfif", "jpe", "jpeg", "jpg", "pbm", "pgm", "png", "pnm", "ppm", "tif",
        "tiff", "webp",
    ];
    let files: Vec<String> = suffixes
        .iter()
        .flat_map(|suffix| {
            [
                format!("a/1.{suffix}"),
                format!("b/1.{}", suffix.to_uppercase()),
            ]
        })
        .collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let (_keep, root) = folder(&files);
    let Splits {
        train, contents, ..
    } = open(&root).unwrap();
    assert_eq!(train.len(), 2 * suffixes.len(), "{contents}");
    assert_eq!(contents.left_out, []);
    assert!((0..train.len()).all(|index| train.picture(index).is_ok()));
    assert!(image_data::picture_suffixes().eq(suffixes));
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf_8_stay_different() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    // 猫, 狗, 人 and 入 in GBK; decoded with replacement characters, the last two would be equal.
    let names: [&[u8]; 4] = [b"\xc3\xa8", b"\xb9\xb7", b"\xc8\xcb", b"\xc8\xeb"];
    let keep = tempfile::tempdir().unwrap();
    let root = keep.path().join("data");
    let mut tar = tar::Builder::new(Vec::new());
    for name in names {
        let folder = root.join(OsStr::from_bytes(name));
        fs::create_dir_all(&folder).unwrap();
        for file in [b"\xff.pgm", b"\xfe.pgm"] {
            let bytes = pgm(name[1]);
            let path = folder.join(OsStr::from_bytes(file));
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            let below = path.strip_prefix(&root).unwrap();
            tar.append_data(&mut header, below, bytes.as_slice())
                .unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
    let archive = keep.path().join("data.tar");
    fs::write(&archive, tar.into_inner().unwrap()).unwrap();
    for path in [&root, &archive] {
        let splits = open(path).unwrap();
        // `\xc3\xa8` is also valid UTF-8.
        let classes = ["\\xB9\\xB7", "\\xC8\\xCB", "\\xC8\\xEB", "è"];
        assert_eq!(splits.train.classes(), classes);
        assert_eq!(splits.train.len(), 8);
        let greys: Vec<u8> = (0..8)
            .map(|n| splits.train.picture(n).unwrap().rgb()[0])
            .collect();
        assert_eq!(greys, [0xb7, 0xb7, 0xcb, 0xcb, 0xeb, 0xeb, 0xa8, 0xa8]);
        assert!(splits.train.name(0).ends_with("\\xB9\\xB7/\\xFE.pgm"));
    }
    // A folder whose name is displayed in the same way is not another folder of that class.
    let mut alike = root.clone().into_os_string();
    alike.push("/\\xC8\\xCB");
    let alike = PathBuf::from(alike);
    fs::create_dir(&alike).unwrap();
    fs::write(alike.join("1.pgm"), pgm(0)).unwrap();
    assert!(matches!(
        fault(&root),
        Fault::AlikeClasses { folders: 2, .. }
    ));
}

#[test]
fn names_that_look_alike_are_shown_apart() {
    let (_keep, root) = folder(&["cat/1.pgm", "cat\u{200b}/1.pgm", "c\u{202e}at/1.pgm"]);
    let splits = open(&root).unwrap();
    assert_eq!(
        splits.train.classes(),
        ["c\\u{202e}at", "cat", "cat\\u{200b}"]
    );
}

#[test]
fn width_costs_no_square() {
    // 20,000 classes; comparing each with all others would take too long.
    let keep = tempfile::tempdir().unwrap();
    let path = keep.path().join("wide.tar");
    let mut tar = tar::Builder::new(Vec::new());
    for part in ["train", "valid"] {
        for class in 0..20_000 {
            let bytes = pgm(0);
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            let name = format!("{part}/{class}{part}/1.pgm");
            tar.append_data(&mut header, name, bytes.as_slice())
                .unwrap();
        }
    }
    fs::write(&path, tar.into_inner().unwrap()).unwrap();
    let survey = Splits::survey(&path, &DatasetLimits::default()).unwrap();
    assert_eq!(survey.train.classes().len(), 20_000);
    assert_eq!(survey.contents.faults.len(), 20_000);
    assert!(lint(&survey, &LintOptions::default()).is_ok());
}

#[test]
fn nested_folders_have_a_limit() {
    let deep = |depth: usize| format!("a/{}1.pgm", "b/".repeat(depth - 1));
    let (_keep, root) = folder(&[&deep(32), "c/1.pgm"]);
    assert_eq!(open(&root).unwrap().train.len(), 2);
    let (_keep, root) = folder(&[&deep(33), "c/1.pgm"]);
    assert!(matches!(
        open(&root),
        Err(Error::File { reason, .. })
            if matches!(*reason, Error::OverLimit { what: "the depth of nested folders", got: 33, limit: 32 })
    ));
    // A higher limit is possible and causes no stack overflow.
    let limits = DatasetLimits {
        max_depth: usize::MAX,
        ..DatasetLimits::default()
    };
    assert_eq!(Splits::open(&root, &limits).unwrap().train.len(), 2);
    let keep = tempfile::tempdir().unwrap();
    let path = keep.path().join("deep.tar");
    let long = deep(12_000);
    let mut tar = tar::Builder::new(Vec::new());
    let bytes = pgm(0);
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, long, bytes.as_slice())
        .unwrap();
    fs::write(&path, tar.into_inner().unwrap()).unwrap();
    assert_eq!(Splits::open(&path, &limits).unwrap().train.len(), 1);
    assert!(matches!(
        open(&path),
        Err(Error::File { reason, .. }) if matches!(*reason, Error::OverLimit { got: 12_000, limit: 32, .. })
    ));
}
