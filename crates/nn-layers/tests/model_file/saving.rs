//! Saving a model file: what is refused, and what happens if writing fails.

use super::*;

#[test]
fn nothing_is_written_that_could_not_be_read() {
    let with = |name: &str, slot, value: ArrayD<f32>| {
        let mut model = ModelFile::default();
        model.params.insert(name, slot, value);
        model.to_bytes().unwrap_err()
    };
    let number = |number| ArrayD::from_elem(IxDyn(&[]), number);
    for value in [0.5, f32::NAN, f32::INFINITY, 1e30] {
        let error = with("n", Slot::Counter, number(value));
        assert!(
            matches!(error, Error::File(FileError::TensorValue { index: 0, .. })),
            "{error}"
        );
    }
    for name in ["", "__metadata__", "a\nb", &"x".repeat(513)] {
        let error = with(name, Slot::Weight, number(0.0));
        assert!(
            matches!(error, Error::File(FileError::TensorName { .. })),
            "{error}"
        );
    }
    let error = with("w", Slot::Weight, ArrayD::zeros(vec![1; 9]));
    assert!(
        matches!(error, Error::File(FileError::TensorRank { got: 9, .. })),
        "{error}"
    );
    for value in [f32::NAN, f32::INFINITY] {
        let error = with("w", Slot::Weight, number(value));
        assert!(
            matches!(error, Error::File(FileError::TensorValue { index: 0, .. })),
            "{error}"
        );
    }
    let error = with("bn.running_var", Slot::Buffer, number(-0.5));
    assert!(
        matches!(error, Error::File(FileError::TensorValue { .. })),
        "{error}"
    );
    // Read again, a counter with the name of a statistic would be a statistic.
    let error = with("running_mean", Slot::Counter, number(0.0));
    assert!(
        matches!(error, Error::File(FileError::TensorType { .. })),
        "{error}"
    );

    let mut deep = json!(0);
    for _ in 0..200 {
        deep = json!([deep]);
    }
    let metadata = |config, classes| {
        let model = ModelFile {
            metadata: Some(Metadata {
                config,
                classes,
                ..Metadata::default()
            }),
            params: Params::new(),
        };
        model.to_bytes().unwrap_err()
    };
    let error = metadata(deep, vec![]);
    assert!(
        matches!(error, Error::File(FileError::Metadata { .. })),
        "{error}"
    );
    let error = metadata(json!(0), vec!["x".repeat(9 << 20)]);
    assert!(
        matches!(error, Error::File(FileError::HeaderTooLarge { .. })),
        "{error}"
    );
}

#[test]
fn a_save_that_fails_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let good = model();
    good.save(&path).unwrap();

    // Writing fails after the first tensors, at a counter that is not a whole number.
    let mut bad = model();
    bad.params
        .insert("z", Slot::Counter, ArrayD::from_elem(IxDyn(&[]), 0.5));
    let error = bad.save(&path).unwrap_err();
    match &error {
        Error::InFile { path: named, error } => {
            assert_eq!(named, &path);
            assert!(
                matches!(**error, Error::File(FileError::TensorValue { .. })),
                "{error}"
            );
        }
        other => panic!("{other}"),
    }
    assert_eq!(ModelFile::open(&path).unwrap(), good);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

    let missing = folder.path().join("missing").join("model.safetensors");
    match good.save(&missing).unwrap_err() {
        Error::InFile { error, .. } => assert!(
            matches!(
                &*error,
                Error::File(FileError::Io {
                    kind: std::io::ErrorKind::NotFound,
                    ..
                })
            ),
            "{error}"
        ),
        other => panic!("{other}"),
    }
    for save in [good.save(folder.path()), good.save("/dev/null")] {
        match save {
            Err(Error::InFile { error, .. }) => {
                assert!(
                    matches!(*error, Error::File(FileError::NotAFile { .. })),
                    "{error}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Root may write anywhere, so as root, which is common in containers, there is nothing to test.
#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_written_keeps_its_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    model().save(&path).unwrap();
    let before = std::fs::read(&path).unwrap();
    let permit = |mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(folder.path(), mode).unwrap();
    };
    permit(0o500);
    let may_write = tempfile::tempfile_in(folder.path()).is_ok();
    let result = ModelFile::default().save(&path);
    permit(0o700);
    if may_write {
        println!("skipped: this user may write to a read-only folder");
        return;
    }
    match result {
        Err(Error::InFile { error, .. }) => assert!(
            matches!(
                &*error,
                Error::File(FileError::Io {
                    kind: std::io::ErrorKind::PermissionDenied,
                    ..
                })
            ),
            "{error}"
        ),
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[cfg(unix)]
#[test]
fn a_saved_file_is_for_whom_the_umask_lets_in() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let mode = |name: &str| {
        let path = folder.path().join(name);
        std::fs::metadata(path).unwrap().permissions().mode()
    };
    std::fs::write(folder.path().join("any"), "").unwrap();
    model().save(folder.path().join("model")).unwrap();
    assert_eq!(mode("model"), mode("any"));
}
