//! Stages, and what is wrong with them.

use transfer::{Error, Stages};

use crate::network;

#[test]
fn every_trainable_parameter_is_in_one_stage() {
    let graph = network();
    let stages = Stages::new(&graph, [vec!["stage1"], vec!["stage2"], vec!["fc"]]).unwrap();
    assert_eq!(stages.below(0), [""; 0]);
    assert_eq!(stages.below(2), ["stage1", "stage2"]);
    assert_eq!(stages.below(9), ["stage1", "stage2", "fc"]);

    let refuse = |stages: &[&[&str]]| {
        let stages = stages.iter().map(|names| names.iter().copied());
        Stages::new(&graph, stages).unwrap_err()
    };
    match refuse(&[&["stage1"], &["stage2.conv"], &["fc"]]) {
        Error::NoStage { param } => assert_eq!(param, "stage2.bn.weight"),
        other => panic!("{other:?}"),
    }
    match refuse(&[]) {
        Error::NoStage { param } => assert_eq!(param, "stage1.conv.weight"),
        other => panic!("{other:?}"),
    }
    match refuse(&[&["stage1", "stage2"], &["stage2.bn", "fc"]]) {
        Error::SeveralStages { param, stages } => {
            assert_eq!((&*param, stages), ("stage2.bn.weight", [0, 1]));
        }
        other => panic!("{other:?}"),
    }
    // The second name is part of the first, in one stage.
    assert!(Stages::new(&graph, [vec!["stage1", "stage1.bn"], vec!["stage2", "fc"]]).is_ok());
    for empty in [&["pool"][..], &[]] {
        match refuse(&[&["stage1"], empty, &["stage2", "fc"]]) {
            Error::EmptyStage { stage } => assert_eq!(stage, 1),
            other => panic!("{other:?}"),
        }
    }
    for (name, expected) in [
        ("stage", &["stage1", "stage2"][..]),
        ("stage1.cnov", &["stage1.conv"]),
        ("fc.weight", &[]),
        ("", &[]),
    ] {
        match refuse(&[&["stage1", name], &["stage2"], &["fc"]]) {
            Error::UnknownNode { name: got, near } => {
                assert_eq!(got, name);
                assert!(near.starts_with(&crate::strings(expected)), "{near:?}");
                assert_eq!(near.is_empty(), expected.is_empty(), "{near:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn everything_but_the_head_is_found_by_its_scopes() {
    let graph = network();
    let names = |head: &[&str]| {
        let head = head.iter().copied();
        Stages::with_head(&graph, head).map(|stages| stages.names()[0].clone())
    };
    assert_eq!(names(&["fc"]).unwrap(), ["stage1", "stage2"]);
    assert_eq!(
        names(&["stage2.bn", "fc"]).unwrap(),
        ["stage1", "stage2.conv"]
    );
    match names(&["stage1", "stage2", "fc"]) {
        Err(Error::EmptyStage { stage: 0 }) => {}
        other => panic!("{other:?}"),
    }
    match names(&["classifier"]) {
        Err(Error::UnknownNode { name, .. }) => assert_eq!(name, "classifier"),
        other => panic!("{other:?}"),
    }
}
