//! Identifying a model's files by their content, and where output is written.

use nn_layers::{Checkpoint, Metadata, ModelFile};
use resnet::ResNet;

use crate::common::{Fixture, complaint, resnet20, save, save_resnet20, stderr};

fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

#[test]
fn what_is_not_a_model_is_named_for_what_it_is() {
    let fixture = Fixture::new();
    let checkpoint = Checkpoint::<f32> {
        params: resnet20(3).init(1).unwrap(),
        ..Checkpoint::default()
    };
    checkpoint.save(fixture.path("last.ckpt")).unwrap();
    fixture.write("model.pth", "PK\x03\x04 and a pickle");
    fixture.write("old.pt", b"\x80\x02}q\0(X\x05\0\0\0");
    fixture.write("page.cfg", "<!DOCTYPE html><html></html>");
    fixture.write("keras.h5", b"\x89HDF\r\n\x1a\n");
    fixture.write("photo.jpg", b"\xff\xd8\xff\xe0");
    fixture.write("run/log.jsonl", "");
    std::fs::create_dir(fixture.path("folder")).unwrap();
    for (model, said) in [
        ("last.ckpt", "checkpoint"),
        ("model.pth", "a zip archive, like PyTorch's own files"),
        ("old.pt", "a Python pickle, like PyTorch's own files"),
        ("page.cfg", "an HTML page"),
        ("keras.h5", "an HDF5 file"),
        ("photo.jpg", "a JPEG picture"),
        ("run", "training run's folder without a model"),
        ("folder", "it is a folder"),
        ("missing.safetensors", "No such file"),
    ] {
        for arguments in [
            &["summary", model][..],
            &["classify", "--model", model, "photos/a.png"],
        ] {
            let message = complaint(&fixture, arguments);
            assert!(
                message.starts_with(&format!("convoxide: {model}: ")),
                "{message}"
            );
            assert!(message.contains(said), "expected {said:?} in {message}");
        }
    }
    for weights in ["model.pth", "run", "last.ckpt"] {
        let message = complaint(&fixture, &["summary", "resnet20", "--weights", weights]);
        assert!(
            message.starts_with(&format!("convoxide: {weights}: ")),
            "{message}"
        );
    }
}

#[test]
fn a_model_file_is_one_under_any_name() {
    let fixture = Fixture::new();
    let metadata = Metadata {
        architecture: "resnet20".into(),
        config: serde_json::to_value(resnet20(3)).unwrap(),
        ..Metadata::default()
    };
    let params = resnet20(3).init(1).unwrap();
    save(&fixture.path("model.ckpt"), params, Some(metadata));
    let output = fixture
        .command_with(&["summary", "model.ckpt"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_model_file_as_the_weights_of_an_architecture_says_what_it_is() {
    let fixture = Fixture::new();
    let small = ResNet {
        layers: vec![1, 1, 1],
        ..resnet20(3)
    };
    let metadata = Metadata {
        architecture: "resnet20".into(),
        config: serde_json::to_value(&small).unwrap(),
        classes: ["cat", "dog", "ship"].map(str::to_owned).to_vec(),
        input_size: Some([48, 48]),
        ..Metadata::default()
    };
    save(
        &fixture.path("m.safetensors"),
        small.init(1).unwrap(),
        Some(metadata.clone()),
    );
    let run = |arguments: &str| {
        let output = fixture.command_with(&words(arguments)).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    run("export resnet20 --weights m.safetensors --output a.safetensors");
    run("export m.safetensors --output b.safetensors");
    let bytes = |name: &str| std::fs::read(fixture.path(name)).unwrap();
    assert_eq!(bytes("a.safetensors"), bytes("b.safetensors"));
    let exported = ModelFile::open(fixture.path("a.safetensors"))
        .unwrap()
        .metadata
        .unwrap();
    assert_eq!(exported.config, metadata.config);
    assert_eq!(exported.classes, metadata.classes);
    assert_eq!(exported.input_size, Some([48, 48]));

    let message = complaint(&fixture, &words("summary resnet18 --weights m.safetensors"));
    assert!(
        message.contains("a model file of resnet20, not of resnet18"),
        "{message}"
    );
    let arguments = "summary resnet20 --classes 4 --weights m.safetensors";
    let message = complaint(&fixture, &words(arguments));
    assert!(message.contains("its network has 3 classes"), "{message}");

    // If the classes of the weights had another order, they would get wrong names.
    let swapped = Metadata {
        classes: ["dog", "cat", "ship"].map(str::to_owned).to_vec(),
        ..metadata
    };
    save(
        &fixture.path("s.safetensors"),
        small.init(2).unwrap(),
        Some(swapped),
    );
    let message = complaint(
        &fixture,
        &words("summary m.safetensors --weights s.safetensors"),
    );
    assert!(
        message.starts_with("convoxide: s.safetensors: "),
        "{message}"
    );
    assert!(message.contains("another order"), "{message}");
}

#[test]
fn an_ending_that_asks_for_another_format_is_refused() {
    let fixture = Fixture::new();
    save_resnet20(&fixture.path("w.safetensors"), 3);
    for (arguments, format) in [
        (
            "kernels resnet20 --weights w.safetensors --output k.jpg",
            ".png",
        ),
        (
            "run resnet20 --weights w.safetensors --input x.npy --output y.txt",
            ".npy or .npz",
        ),
        (
            "grad resnet20 --input x.npy --labels y.npy --output g.npz",
            ".safetensors",
        ),
        (
            "export resnet20 --weights w.safetensors --output m.pth",
            ".safetensors",
        ),
    ] {
        let message = complaint(&fixture, &words(arguments));
        assert!(message.contains(format), "{message}");
        let output = arguments.rsplit(' ').next().unwrap();
        assert!(!fixture.path(output).exists());
    }
    let arguments = "kernels resnet20 --weights w.safetensors --output k.PNG";
    let output = fixture.command_with(&words(arguments)).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[cfg(unix)]
#[test]
fn only_a_regular_file_is_replaced_and_it_keeps_its_permissions() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let fixture = Fixture::new();
    save_resnet20(&fixture.path("w.safetensors"), 3);
    fixture.write("x.npy", crate::architectures::npy([1, 3, 8, 8]));
    fixture.write("labels.npy", labels());
    for (arguments, output) in [
        ("kernels resnet20 --weights w.safetensors", "k.png"),
        (
            "run resnet20 --weights w.safetensors --input x.npy",
            "y.npy",
        ),
        (
            "run resnet20 --weights w.safetensors --input x.npy",
            "y.npz",
        ),
        (
            "grad resnet20 --weights w.safetensors --input x.npy --labels labels.npy",
            "g.safetensors",
        ),
        ("export resnet20 --weights w.safetensors", "m.safetensors"),
    ] {
        let arguments = [&words(arguments)[..], &["--output", output]].concat();
        fixture.write("target", "precious");
        symlink("target", fixture.path(output)).unwrap();
        let message = complaint(&fixture, &arguments);
        assert!(
            message.contains("a symbolic link"),
            "{arguments:?}: {message}"
        );
        assert_eq!(std::fs::read(fixture.path("target")).unwrap(), b"precious");
        std::fs::remove_file(fixture.path(output)).unwrap();

        fixture.write(output, "old");
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(fixture.path(output), mode).unwrap();
        let done = fixture.command_with(&arguments).output().unwrap();
        assert!(done.status.success(), "{}", stderr(&done));
        let mode = fixture
            .path(output)
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{output}");
    }
}

/// Returns a `.npy` with a single label, 1.
#[cfg(unix)]
fn labels() -> Vec<u8> {
    let header = "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }\n";
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(1i64.to_le_bytes());
    bytes
}

#[cfg(unix)]
#[test]
fn a_tensor_may_come_through_a_pipe() {
    use std::io::Write;
    use std::process::Stdio;
    let fixture = Fixture::new();
    save_resnet20(&fixture.path("w.safetensors"), 3);
    let whole = crate::architectures::npy([1, 3, 8, 8]);
    let longer = [&whole[..], b"more"].concat();
    for (input, said) in [
        (&whole[..], None),
        (&whole[..whole.len() - 1], Some("the file has 767")),
        (&longer[..], Some("the file has 769")),
    ] {
        let arguments = "run resnet20 --weights w.safetensors --input /dev/stdin --output y.npy";
        let mut command = fixture.command_with(&words(arguments));
        let mut child = command
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A process that stops early does not read the rest.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        match said {
            None => assert!(output.status.success(), "{output:?}"),
            Some(said) => assert!(stderr(&output).contains(said), "{output:?}"),
        }
    }
}

#[test]
fn one_memory_limit_holds_for_every_command() {
    let fixture = Fixture::new();
    save_resnet20(&fixture.path("w.safetensors"), 3);
    fixture.write("x.npy", crate::architectures::npy([1, 3, 64, 64]));
    #[cfg(unix)]
    fixture.write("labels.npy", labels());
    fixture.picture("data/a/1.png", [64, 64]);
    fixture.picture("data/b/1.png", [64, 64]);
    fixture.picture("data/c/1.png", [64, 64]);
    for arguments in [
        "classify --model resnet20 --weights w.safetensors data/a/1.png",
        "eval --model resnet20 --weights w.safetensors --data data",
        "run resnet20 --weights w.safetensors --input x.npy --output y.npy",
        "bench resnet20 --batch 4",
        "bench resnet20 --batch 4 --train",
        #[cfg(unix)]
        "grad resnet20 --weights w.safetensors --input x.npy --labels labels.npy --output g",
    ] {
        let arguments = [&words(arguments)[..], &["-q", "--memory-limit", "500kB"]].concat();
        let message = complaint(&fixture, &arguments);
        assert!(
            message.contains("more than the limit of 488.3 KiB"),
            "{arguments:?}: {message}"
        );
    }
    let output = fixture
        .command_with(&["bench", "resnet20", "--memory-limit", "lots"])
        .output();
    assert_eq!(output.unwrap().status.code(), Some(2));
}

/// Weights of the fastest algorithms exceed the limit, small ones do not.
#[test]
fn small_memory_holds_for_every_command() {
    let fixture = Fixture::new();
    save_resnet20(&fixture.path("w.safetensors"), 3);
    fixture.write("x.npy", crate::architectures::npy([1, 3, 32, 32]));
    for class in ["a", "b", "c"] {
        fixture.picture(format!("data/{class}/1.png"), [32, 32]);
    }
    for arguments in [
        "classify --model resnet20 --weights w.safetensors data/a/1.png",
        "eval --model resnet20 --weights w.safetensors --data data",
        "run resnet20 --weights w.safetensors --input x.npy --output y.npy",
        "bench resnet20 --runs 1",
        "summary resnet20 --plan",
    ] {
        let common = ["-q", "--memory-limit", "2.2MiB", "--memory"];
        let arguments = [&words(arguments)[..], &common].concat();
        let message = complaint(&fixture, &[&arguments[..], &["fast"]].concat());
        assert!(
            message.contains("more than the limit of 2.2 MiB"),
            "{message}"
        );
        let output = fixture.command_with(&arguments).arg("small").output();
        let output = output.unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    let output = fixture
        .command_with(&["bench", "resnet20", "--memory", "tiny"])
        .output();
    assert_eq!(output.unwrap().status.code(), Some(2));
}

#[test]
fn numbers_that_are_not_finite_are_an_error_but_for_run_which_warns() {
    let fixture = Fixture::new();
    let mut params = resnet20(3).init(1).unwrap();
    params.get_mut("fc.weight").unwrap().value.fill(f32::MAX);
    save(&fixture.path("w.safetensors"), params, None);
    fixture.write("x.npy", crate::architectures::npy([1, 3, 8, 8]));
    for arguments in [
        "classify --model resnet20 --weights w.safetensors photos/a.png -q",
        "bench resnet20 --weights w.safetensors --runs 1",
    ] {
        let message = complaint(&fixture, &words(arguments));
        assert!(message.contains("finite"), "{message}");
    }
    let arguments = "run resnet20 --weights w.safetensors --input x.npy --output y.npy";
    let output = fixture.command_with(&words(arguments)).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(stderr(&output).contains("3 of the 3 values"), "{output:?}");
}
