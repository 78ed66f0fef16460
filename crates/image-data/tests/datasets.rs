//! Datasets of every format: folders, archives, IDX and CIFAR files.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use image_data::{
    Cifar, CifarLabels, ClassFolders, Dataset, DatasetLimits, Error, FASHION_MNIST_CLASSES, Fault,
    Idx, Picture, Reason, Shapes, ShapesOptions, Splits, Subset, class_counts,
};

fn limits() -> DatasetLimits {
    DatasetLimits::default()
}

/// Returns a PNG of this width in one shade of grey.
fn png(width: usize, grey: u8) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.png");
    Picture::from_rgb(width, 2, 3 * width, &vec![grey; 6 * width])
        .unwrap()
        .save_png(&path)
        .unwrap();
    fs::read(path).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn write(folder: &Path, files: &[(&str, Vec<u8>)]) {
    for (path, bytes) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn tar(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, bytes.as_slice())
            .unwrap();
    }
    tar.into_inner().unwrap()
}

/// Writes the same files as a folder, a tar and a gzipped tar.
fn three_ways(files: &[(&str, Vec<u8>)]) -> (tempfile::TempDir, [PathBuf; 3]) {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["data", "data.tar", "data.tar.gz"].map(|name| folder.path().join(name));
    write(&paths[0], files);
    fs::write(&paths[1], tar(files)).unwrap();
    fs::write(&paths[2], gzip(&tar(files))).unwrap();
    (folder, paths)
}

/// Returns the label, the first byte and the name below the root of each sample.
fn samples(dataset: &dyn Dataset, root: &Path) -> Vec<(usize, u8, String)> {
    (0..dataset.len())
        .map(|index| {
            let name = dataset.name(index);
            let name = Path::new(&name).strip_prefix(root).unwrap();
            let picture = dataset.picture(index).unwrap();
            let name = name.display().to_string();
            (dataset.label(index), picture.rgb()[0], name)
        })
        .collect()
}

#[test]
fn class_folders_are_sorted_on_disk_and_in_archives() {
    // In byte order, `-` comes before `/`, so comparing whole paths would put `cat-fish` first.
    let long = format!("cat/{}/{}.png", "deep".repeat(30), "name".repeat(30));
    let files = [
        ("dog/2.JPEG", png(3, 40)),
        ("dog/10.png", png(3, 30)),
        ("cat-fish/a.png", png(3, 20)),
        (long.as_str(), png(3, 10)),
        ("cat/.hidden.png", png(3, 0)),
        ("cat/notes.txt", b"soft".to_vec()),
        ("read me.png", png(3, 0)),
    ];
    let (_keep, paths) = three_ways(&files);
    for path in &paths {
        let dataset = ClassFolders::open(path, &limits()).unwrap();
        let contents = Splits::open(path, &limits()).unwrap().contents;
        assert_eq!(dataset.classes(), ["cat", "cat-fish", "dog"]);
        assert_eq!(
            samples(&dataset, path),
            [
                (0, 10, long.clone()),
                (1, 20, "cat-fish/a.png".to_owned()),
                (2, 30, "dog/10.png".to_owned()),
                (2, 40, "dog/2.JPEG".to_owned()),
            ]
        );
        let left_out: Vec<_> = contents
            .left_out
            .iter()
            .map(|l| (Path::new(&l.name).strip_prefix(path).unwrap(), &l.reason))
            .collect();
        let text = Reason::Other("txt".to_owned());
        assert_eq!(
            left_out,
            [
                (Path::new("cat/.hidden.png"), &Reason::Hidden),
                (Path::new("cat/notes.txt"), &text),
                (Path::new("read me.png"), &Reason::NoClass),
            ]
        );
        assert_eq!(contents.missed(), 1);
        assert_eq!(dataset.file(1).unwrap().unwrap(), png(3, 20));
        assert_eq!(dataset.label(4), 3);
        assert!(matches!(
            dataset.picture(4),
            Err(Error::Index { index: 4, len: 4 })
        ));
    }
}

#[test]
fn splits_are_found_below_a_single_folder_and_share_their_classes() {
    let files = [
        ("pets/train/cat/1.png", png(1, 1)),
        ("pets/train/dog/1.png", png(1, 2)),
        ("pets/train/eel/1.png", png(1, 3)),
        ("pets/val/dog/1.png", png(1, 4)),
        ("pets/LICENSE", Vec::new()),
    ];
    let (_keep, paths) = three_ways(&files);
    for path in &paths {
        let splits = Splits::open(path, &limits()).unwrap();
        let valid = splits.valid.unwrap();
        assert_eq!(splits.train.classes(), ["cat", "dog", "eel"]);
        assert_eq!(valid.classes(), splits.train.classes());
        let name = "pets/val/dog/1.png".to_owned();
        assert_eq!(samples(&*valid, path), [(1, 4, name)]);
        assert_eq!(class_counts(&*valid).unwrap(), [0, 1, 0]);
    }
}

#[test]
fn a_class_called_train_is_a_class() {
    let (_keep, [path, ..]) = three_ways(&[("plane/1.png", png(1, 1)), ("train/1.png", png(1, 2))]);
    let splits = Splits::open(path, &limits()).unwrap();
    assert_eq!(splits.train.classes(), ["plane", "train"]);
    assert!(splits.valid.is_none());
}

#[test]
fn what_is_no_dataset_says_so() {
    let reason = |files: &[(&str, Vec<u8>)]| {
        let (_keep, [path, ..]) = three_ways(files);
        match Splits::open(&path, &limits()) {
            Err(Error::File {
                path: named,
                reason,
            }) if named == path => *reason,
            other => panic!("{:?}", other.err()),
        }
    };
    assert!(matches!(
        reason(&[("1.png", png(1, 1))]),
        Error::NoDataset { .. }
    ));
    assert!(matches!(
        reason(&[("cat/1.txt", Vec::new())]),
        Error::NoPictures
    ));
    let extra = [
        ("train/cat/1.png", png(1, 1)),
        ("valid/cat/1.png", png(1, 1)),
        ("valid/cow/1.png", png(1, 1)),
    ];
    assert!(matches!(
        reason(&extra),
        Error::Layout(Fault::UnknownClass { class, classes: 1, pictures: 1, .. }) if class == "cow"
    ));
    assert!(matches!(
        Splits::open("no such folder", &limits()),
        Err(Error::File { reason, .. }) if matches!(*reason, Error::Io(_))
    ));
}

#[cfg(unix)]
#[test]
fn links_are_followed_but_not_in_circles() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let [data, elsewhere] = ["data", "elsewhere"].map(|name| folder.path().join(name));
    write(&data, &[("cat/1.png", png(1, 1))]);
    write(&elsewhere, &[("1.png", png(1, 2)), ("2.png", png(1, 3))]);
    symlink(&elsewhere, data.join("dog")).unwrap();
    symlink(&data, elsewhere.join("back")).unwrap();
    symlink(&data, data.join("cat/round")).unwrap();
    symlink("nothing", data.join("cat/0.png")).unwrap();
    let splits = Splits::open(&data, &limits()).unwrap();
    assert_eq!(class_counts(&*splits.train).unwrap(), [1, 2]);
    let left_out = splits.contents.left_out.iter();
    let reasons: Vec<&Reason> = left_out.map(|l| &l.reason).collect();
    assert_eq!(
        reasons,
        [&Reason::DeadLink, &Reason::Circle, &Reason::Circle]
    );
}

/// Returns an IDX file.
fn idx(shape: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, shape.len() as u8];
    file.extend(shape.iter().flat_map(|length| length.to_be_bytes()));
    file.extend(bytes);
    file
}

#[test]
fn mnist_is_found_by_its_names_packed_or_not() {
    let pictures: Vec<u8> = (0..3 * 2 * 5).collect();
    let files = [
        (
            "MNIST/raw/train-images-idx3-ubyte.gz",
            gzip(&idx(&[3, 2, 5], &pictures)),
        ),
        ("MNIST/raw/train-labels-idx1-ubyte", idx(&[3], &[9, 0, 4])),
        ("MNIST/raw/t10k-images.idx3-ubyte", idx(&[1, 1, 2], &[7, 8])),
        (
            "MNIST/raw/t10k-labels.idx1-ubyte.gz",
            gzip(&idx(&[1], &[5])),
        ),
    ];
    let (_keep, paths) = three_ways(&files);
    for path in &paths {
        let splits = Splits::open(path, &limits()).unwrap();
        let splits_title = splits.evaluation_title();
        let Splits { train, valid, .. } = splits;
        assert_eq!((train.len(), train.classes().len()), (3, 10));
        assert_eq!(train.name(2), "train-images #2");
        assert_eq!([0, 1, 2, 3].map(|index| train.label(index)), [9, 0, 4, 10]);
        let picture = train.picture(1).unwrap();
        assert_eq!(picture.size(), [2, 5]);
        let grey: Vec<u8> = (10..20).flat_map(|grey| [grey; 3]).collect();
        assert_eq!(picture.rgb(), grey);
        assert!(matches!(
            train.picture(3),
            Err(Error::Index { index: 3, len: 3 })
        ));
        assert!(train.file(0).unwrap().is_none());
        let valid = valid.unwrap();
        assert_eq!((valid.len(), valid.label(0)), (1, 5));
        assert_eq!(valid.name(0), "t10k-images #0");
        assert_eq!(splits_title, "test (MNIST/raw/t10k)");
    }
}

#[test]
fn fashion_mnist_is_known_by_its_own_folder_and_by_no_other() {
    let files = |folder: &str| {
        [
            (
                format!("{folder}/train-images-idx3-ubyte"),
                idx(&[1, 1, 1], &[0]),
            ),
            (format!("{folder}/train-labels-idx1-ubyte"), idx(&[1], &[8])),
        ]
    };
    for (folder, opened, fashion) in [
        ("Fashion-MNIST", "Fashion-MNIST", true),
        ("x/FashionMNIST/raw", "x", true),
        ("x/FashionMNIST/raw", "x/FashionMNIST/raw", true),
        ("fashion/digits", "fashion/digits", false),
        ("fashion/digits", "fashion", false),
        ("old-fashioned/data/raw", "old-fashioned/data", false),
    ] {
        let root = tempfile::tempdir().unwrap();
        for (path, bytes) in files(folder) {
            write(root.path(), &[(&path, bytes)]);
        }
        let Splits {
            train, contents, ..
        } = Splits::open(root.path().join(opened), &limits()).unwrap();
        if fashion {
            assert_eq!(train.classes(), FASHION_MNIST_CLASSES);
            assert_eq!(train.classes()[train.label(0)], "bag");
            assert!(
                contents.to_string().contains("Fashion-MNIST's"),
                "{contents}"
            );
        } else {
            assert_eq!(train.classes()[train.label(0)], "8", "{folder}");
            assert!(contents.notes.is_empty());
        }
    }
}

#[test]
fn of_two_sets_of_idx_files_none_is_guessed() {
    let root = tempfile::tempdir().unwrap();
    for set in ["MNIST", "KMNIST"] {
        let images = format!("{set}/raw/train-images-idx3-ubyte");
        let labels = format!("{set}/raw/train-labels-idx1-ubyte");
        // Packed and unpacked files side by side, as torchvision leaves them.
        let packed = format!("{images}.gz");
        let pictures = idx(&[1, 1, 1], &[0]);
        write(
            root.path(),
            &[
                (&images, pictures.clone()),
                (&packed, gzip(&pictures)),
                (&labels, idx(&[1], &[8])),
            ],
        );
    }
    match Splits::open(root.path(), &limits()) {
        Err(Error::File { reason, .. }) => {
            assert!(
                matches!(&*reason, Error::NoDataset { reason } if reason.contains("KMNIST/raw")),
                "{reason}"
            );
        }
        other => panic!("{:?}", other.err()),
    }
    assert!(Splits::open(root.path().join("MNIST"), &limits()).is_ok());
}

/// Returns a record of CIFAR: labels, and a picture in which neighbouring bytes differ.
fn record(labels: &[u8], start: usize) -> Vec<u8> {
    let planes = (0..3072).map(|at| ((at * 7 + start) % 251) as u8);
    labels.iter().copied().chain(planes).collect()
}

#[test]
fn cifar_10_is_found_by_its_names() {
    let batch = |n: u8| {
        let records = [record(&[n], n.into()), record(&[9], 100 + usize::from(n))];
        records.concat()
    };
    let files = [
        (
            "cifar-10-batches-bin/batches.meta.txt",
            b"airplane\n".to_vec(),
        ),
        ("cifar-10-batches-bin/data_batch_1.bin", batch(1)),
        ("cifar-10-batches-bin/data_batch_2.bin", batch(2)),
        ("cifar-10-batches-bin/data_batch_3.bin", batch(3)),
        ("cifar-10-batches-bin/data_batch_4.bin", batch(4)),
        ("cifar-10-batches-bin/data_batch_5.bin", batch(5)),
        ("cifar-10-batches-bin/test_batch.bin", record(&[6], 50)),
    ];
    let (_keep, paths) = three_ways(&files);
    for path in &paths {
        let Splits { train, valid, .. } = Splits::open(path, &limits()).unwrap();
        assert_eq!((train.len(), &*train.classes()[3]), (10, "cat"));
        assert_eq!((train.label(4), train.label(5)), (3, 9));
        assert_eq!(train.name(5), "data_batch_3.bin #1");
        // Planes have 1024 bytes: the channels of the first pixel, then those of the first pixel in
        // row 2.
        let rgb = train.picture(5).unwrap();
        let byte = |at: usize| ((at * 7 + 103) % 251) as u8;
        assert_eq!(rgb.rgb()[..3], [byte(0), byte(1024), byte(2048)]);
        assert_eq!(rgb.rgb()[96..99], [byte(32), byte(1056), byte(2080)]);
        assert_eq!(valid.unwrap().label(0), 6);
    }
    let (_keep, [path, ..]) = three_ways(&files[..4]);
    assert!(matches!(
        Splits::open(path, &limits()),
        Err(Error::File { reason, .. }) if matches!(&*reason, Error::NoDataset { reason } if reason == "data_batch_4.bin is missing")
    ));
}

#[test]
fn cifar_100_has_fine_and_coarse_labels() {
    let files = [
        (
            "train.bin",
            [record(&[4, 0], 0), record(&[19, 99], 1)].concat(),
        ),
        ("test.bin", record(&[1, 67], 2)),
    ];
    let (_keep, [path, ..]) = three_ways(&files);
    let Splits { train, valid, .. } = Splits::open(&path, &limits()).unwrap();
    assert_eq!(train.classes().len(), 100);
    assert_eq!(train.classes()[train.label(0)], "apple");
    assert_eq!(train.classes()[train.label(1)], "worm");
    let valid = valid.unwrap();
    assert_eq!(valid.classes()[valid.label(0)], "ray");
    let coarse = Cifar::open(&[path.join("train.bin")], CifarLabels::Coarse, &limits()).unwrap();
    assert_eq!(coarse.classes()[coarse.label(0)], "fruit_and_vegetables");
    assert_eq!(coarse.classes()[coarse.label(1)], "vehicles_2");
    assert_eq!(coarse.picture(1).unwrap(), train.picture(1).unwrap());
}

#[test]
fn idx_files_are_opened_by_path_too() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &[("x", idx(&[1, 1, 1], &[3])), ("y", idx(&[1], &[1]))],
    );
    let open = |classes: Option<&[&str]>| {
        Idx::open(
            folder.path().join("x"),
            folder.path().join("y"),
            classes,
            &limits(),
        )
    };
    assert_eq!(open(Some(&["off", "on"])).unwrap().classes(), ["off", "on"]);
    assert!(matches!(
        open(Some(&["off"])),
        Err(Error::File { reason, .. })
            if matches!(*reason, Error::Label { index: 0, label: 1, classes: 1 })
    ));
}

#[test]
fn held_out_samples_are_of_every_class_and_of_no_other_part() {
    let shapes: Arc<dyn Dataset> = Arc::new(
        Shapes::new(ShapesOptions {
            len: 84,
            ..ShapesOptions::default()
        })
        .unwrap(),
    );
    let split = |seed| {
        let Splits { train, valid, .. } = Splits::hold_out(Arc::clone(&shapes), 0.3, seed).unwrap();
        let names = |dataset: &dyn Dataset| -> Vec<String> {
            (0..dataset.len())
                .map(|index| dataset.name(index))
                .collect()
        };
        let valid = valid.unwrap();
        // 84 samples: eleven of each of the first four classes and ten of the others. Three of each
        // class are held out.
        assert_eq!(class_counts(&*valid).unwrap(), [3; 8]);
        assert_eq!(class_counts(&*train).unwrap(), [8, 8, 8, 8, 7, 7, 7, 7]);
        let (train, valid) = (names(&*train), names(&*valid));
        assert!(train.iter().all(|name| !valid.contains(name)));
        valid
    };
    assert_eq!(split(0), split(0));
    assert_ne!(split(0), split(1));
    for share in [0.0, 1.0, f64::NAN, 0.001] {
        assert!(matches!(
            Splits::hold_out(Arc::clone(&shapes), share, 0),
            Err(Error::Option { field: "share", .. })
        ));
    }
    // A sample of each class stays.
    let splits = Splits::hold_out(Arc::clone(&shapes), 0.999, 0).unwrap();
    assert_eq!(class_counts(&*splits.train).unwrap(), [1; 8]);
    let subset = Subset::new(Arc::clone(&shapes), vec![5, 3]).unwrap();
    assert_eq!(subset.picture(1).unwrap(), shapes.picture(3).unwrap());
    assert!(matches!(
        subset.picture(2),
        Err(Error::Index { index: 2, len: 2 })
    ));
    assert_eq!((subset.label(2), subset.name(2)), (8, "#2".to_owned()));
    assert!(matches!(
        Subset::new(shapes, vec![84]),
        Err(Error::Index { index: 84, len: 84 })
    ));
}
