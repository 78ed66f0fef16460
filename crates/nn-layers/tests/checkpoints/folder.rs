//! The folder of a training run's checkpoints.

use std::path::Path;

use nn_layers::CheckpointFolder;

use super::*;

/// Returns the names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Returns a checkpoint of this step.
fn at(step: u64, best: u64) -> Checkpoint<f32> {
    let mut checkpoint = checkpoint();
    checkpoint.position.step = step;
    checkpoint.best.as_mut().unwrap().step = best;
    checkpoint
}

#[test]
fn a_folder_keeps_the_last_ones_and_the_best() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("runs").join("1");
    let mut folder = CheckpointFolder::new(&path, 3);
    assert_eq!(folder.latest::<f32>(), Ok(None));
    for step in 1..=7 {
        folder.save(&at(step * 100, 200)).unwrap();
    }
    let expected = [
        "last.ckpt",
        "step-000200.ckpt",
        "step-000500.ckpt",
        "step-000600.ckpt",
    ];
    assert_eq!(names(&path), expected);
    // The same step again; then another one, beside the temporary file of a process that was
    // killed.
    folder.save(&at(700, 300)).unwrap();
    assert_eq!(
        names(&path),
        ["last.ckpt", "step-000500.ckpt", "step-000600.ckpt"]
    );
    std::fs::write(path.join(".convoxide-abc"), "half").unwrap();
    let mut folder = CheckpointFolder::new(&path, 1);
    folder.save(&at(1_234_567, 700)).unwrap();
    assert_eq!(names(&path), ["last.ckpt", "step-000700.ckpt"]);
    // Files from later steps or with other names do not belong to this folder.
    for name in [
        "step-9.ckpt",
        "step-x.ckpt",
        "step-00000000009.ckpt",
        "model.safetensors",
    ] {
        std::fs::write(path.join(name), "").unwrap();
    }
    std::fs::write(path.join("step-9999999.ckpt"), "").unwrap();
    folder.save(&at(1_234_568, 0)).unwrap();
    let expected = [
        "last.ckpt",
        "model.safetensors",
        "step-00000000009.ckpt",
        "step-9.ckpt",
        "step-9999999.ckpt",
        "step-x.ckpt",
    ];
    assert_eq!(names(&path), expected);
    let restored = folder.latest::<f32>().unwrap().unwrap();
    assert_eq!(restored.checkpoint, at(1_234_568, 0));
    assert_eq!(restored.path, path.join("last.ckpt"));
    assert!(restored.damaged.is_empty());
}

#[test]
fn a_damaged_checkpoint_gives_way_to_an_older_one() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path();
    let mut folder = CheckpointFolder::new(path, 3);
    for step in [100, 200, 300] {
        folder.save(&at(step, 0)).unwrap();
    }
    let last = path.join("last.ckpt");
    let whole = std::fs::read(&last).unwrap();
    std::fs::write(&last, &whole[..whole.len() - 5]).unwrap();
    let restored = folder.latest::<f32>().unwrap().unwrap();
    assert_eq!(restored.checkpoint.position.step, 200);
    assert_eq!(restored.path, path.join("step-000200.ckpt"));
    match &restored.damaged[..] {
        [Error::InFile { path, error }] => {
            assert_eq!(path, &last);
            assert!(
                matches!(**error, Error::File(FileError::Length { .. })),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
    // When training continues from there, the damaged checkpoint is replaced and not kept.
    folder.save(&at(250, 0)).unwrap();
    assert_eq!(
        names(path),
        ["last.ckpt", "step-000100.ckpt", "step-000200.ckpt"]
    );
    // As if the process had been killed between the two renames.
    std::fs::remove_file(&last).unwrap();
    let restored = CheckpointFolder::new(path, 3)
        .latest::<f32>()
        .unwrap()
        .unwrap();
    assert_eq!(
        (restored.checkpoint.position.step, restored.damaged),
        (200, vec![])
    );

    for name in ["step-000100.ckpt", "step-000200.ckpt"] {
        std::fs::write(path.join(name), "<html>").unwrap();
    }
    match folder.latest::<f32>() {
        Err(Error::InFile { path, .. }) => assert!(path.ends_with("step-000200.ckpt"), "{path:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_folder_that_is_a_file() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("file");
    std::fs::write(&path, "").unwrap();
    let mut folder = CheckpointFolder::new(&path, 3);
    for result in [
        folder.save(&at(1, 0)).map(|_| ()),
        folder.latest::<f32>().map(|_| ()),
    ] {
        match result {
            Err(Error::InFile { error, .. }) => {
                assert!(
                    matches!(*error, Error::File(FileError::Io { .. })),
                    "{error}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}
