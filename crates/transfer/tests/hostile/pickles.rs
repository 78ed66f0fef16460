//! Pickles that ask for code to be executed, or whose opcodes do not fit together.

use transfer::Error;

use crate::forge::{
    Tensor, dict, legacy, legacy_one, legacy_start, one, pickle, text, values, zip, zip_one,
};
use crate::{assert_refused, read, refuse};

/// A zip file with this pickle.
fn zipped(opcodes: &[u8]) -> Vec<u8> {
    zip(&pickle(opcodes), &[("0", values())])
}

#[test]
fn the_forged_files_are_good() {
    for bytes in [zip_one(&Tensor::default()), legacy_one(&Tensor::default())] {
        let weights = read(&bytes);
        let w = &weights.params.get("w").unwrap().value;
        assert_eq!(w.shape(), [2, 2]);
        assert_eq!(w.iter().copied().collect::<Vec<_>>(), [1.0, 2.0, 3.0, 4.0]);
    }
}

/// The command makes a file. Python would execute it; here the name alone ends the reading.
#[test]
fn no_command_is_executed() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("executed");
    let command = text(&format!("touch {}", marker.display()));
    let call = |name: &str| [name.as_bytes(), &command, b"\x85R"].concat();
    let good = Tensor::default().pickle();
    for name in [
        "cposix\nsystem\n",
        "cos\nsystem\n",
        "cnt\nsystem\n",
        "csubprocess\nPopen\n",
        "cbuiltins\neval\n",
        "c__builtin__\nexec\n",
        "cwebbrowser\nopen\n",
        "ctorch.hub\nload\n",
        "ctorch\nload\n",
        "ctorch._utils\n_rebuild_qtensor\n",
        "crunpy\n_run_code\n",
    ] {
        let full = name[1..].trim_end().replace('\n', ".");
        for opcodes in [
            call(name),
            dict(&[("w", good.clone()), ("x", call(name))]),
            dict(&[("model", call(name))]),
            // Stored, removed from the stack and forgotten.
            [&*call(name), b"0", &dict(&[("w", good.clone())])].concat(),
            // As an object whose attributes are set.
            [name.as_bytes(), b")\x81}b0", &dict(&[("w", good.clone())])].concat(),
        ] {
            for bytes in [
                zipped(&opcodes),
                legacy(&pickle(&opcodes), &[("0", 4, values())]),
            ] {
                match refuse(&bytes) {
                    Error::Global { name } => assert_eq!(name, full),
                    // An instance at the top is taken for a module, and just as little executed.
                    Error::WholeModule { class } => assert_eq!(class, full),
                    other => panic!("{full}: {other:?}"),
                }
            }
        }
    }
    // In protocol 4 the name comes from the stack, here through the memo.
    let stack_global = [
        &b"\x80\x04"[..],
        b"\x8c\x05posixq\x00\x8c\x06system0h\x00\x8c\x06system\x93",
        &*command,
        b"\x85R.",
    ]
    .concat();
    assert_refused! {
        "posix.system", zip(&stack_global, &[]) => Error::Global { name } if name == "posix.system",
        "the machine's description", [
            pickle(b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"), pickle(&call("cos\nsystem\n")),
        ].concat() => Error::Global { name } if name == "os.system",
        "a terminal's controls", zipped(b"cos\x1b[31m\nsys\xe2\x80\xaetem\n.") =>
            Error::Global { name } if name == "os\\u{1b}[31m.sys\\u{202e}tem",
    }
    assert!(!marker.exists());
}

#[test]
fn objects_other_than_tensors_are_named() {
    let instance = |name: &str| [name.as_bytes(), b"q\x05)\x81}b"].concat();
    let module = [
        &b"(X\x06\0\0\0module"[..],
        b"cmodels\nNet\n",
        &text("net.py"),
        &text("class Net"),
        b"tQ",
    ]
    .concat();
    assert_refused! {
        "a namespace", zipped(&dict(&[("args", instance("cargparse\nNamespace\n"))])) =>
            Error::Global { name } if name == "argparse.Namespace",
        "a numpy scalar", zipped(&dict(&[("best", b"cnumpy.core.multiarray\nscalar\n".to_vec())])) =>
            Error::Global { name } if name == "numpy.core.multiarray.scalar",
        "a whole module", zipped(&instance("cmodels.resnet\nResNet\n")) =>
            Error::WholeModule { class } if class == "models.resnet.ResNet",
        "a module in a checkpoint", zipped(&dict(&[("model", instance("cmodels.yolo\nModel\n"))])) =>
            Error::WholeModule { class } if class == "models.yolo.Model",
        "a layer", zipped(&dict(&[("x", instance("ctorch.nn.modules.conv\nConv2d\n"))])) =>
            Error::WholeModule { class } if class == "torch.nn.modules.conv.Conv2d",
        "a module with its source", legacy(&pickle(&module), &[]) =>
            Error::WholeModule { class } if class == "models.Net",
        "TorchScript", zipped(b"c__torch__.models\nNet\n)\x81") => Error::TorchScript,
    }
}

#[test]
fn files_without_a_state_dict_say_what_they_hold() {
    let tensor = Tensor::default().pickle();
    let some = dict(&[("w", tensor.clone())]);
    assert_refused! {
        "a tensor", zipped(&tensor) => Error::NoStateDict { got: "a tensor" },
        "a list", zipped(b"]") => Error::NoStateDict { got: "a list" },
        "None", zipped(b"N") => Error::NoStateDict { got: "None" },
        "an empty dictionary", zipped(b"}") => Error::NoStateDict { got: "a dictionary" },
        "numbers", zipped(&dict(&[("a", b"K\x01".to_vec())])) => Error::NoStateDict { .. },
        "a list that contains itself", zipped(b"]q\x00h\x00a") => Error::NoStateDict { .. },
        "a dictionary that contains itself", zipped(b"}q\x00X\x01\0\0\0ah\x00s") =>
            Error::NoStateDict { .. },
        "two state dicts", zipped(&dict(&[("teacher", some.clone()), ("student", some.clone())])) =>
            Error::SeveralStateDicts { found } if found == ["teacher", "student"],
    }
    // Plain data of every kind are read past; a list of pairs is how Python 2 wrote such a dictionary.
    let pairs = b"ccollections\nOrderedDict\n](](X\x01\0\0\0wNe](X\x01\0\0\0v".to_vec();
    let pairs = [&pairs[..], &tensor, b"ee\x85R"].concat();
    let data = dict(&[
        ("set", b"c__builtin__\nset\n](K\x01K\x02e\x85R".to_vec()),
        ("new set", b"\x8f(K\x01\x90".to_vec()),
        ("counter", b"ccollections\nCounter\n}\x85R".to_vec()),
        (
            "bytes",
            b"c_codecs\nencode\nX\x01\0\0\0aX\x06\0\0\0latin1\x86R".to_vec(),
        ),
        ("long", b"\x8a\x0b12345678901".to_vec()),
        ("float", b"G12345678".to_vec()),
        ("device", b"ctorch\ndevice\nX\x03\0\0\0cpu\x85R".to_vec()),
        ("size", b"ctorch\nSize\nK\x01\x85\x85R".to_vec()),
        ("model", pairs),
    ]);
    let weights = read(&zipped(&data));
    assert!(weights.params.get("v").is_some());
    assert_eq!(weights.report.unused[0].to_string(), "w (None)");
    // One of an unusual name is taken if there is no other.
    let weights = read(&zipped(&dict(&[("teacher", some.clone())])));
    assert_eq!(weights.report.key.as_deref(), Some("teacher"));
    // A dictionary in itself and in many places is looked at once.
    let shared = b"}q\x00(".to_vec();
    let keys = (0..2000).flat_map(|key| [text(&format!("k{key}")), b"h\x00".to_vec()].concat());
    let shared = [shared, keys.collect(), text("w"), tensor, b"u".to_vec()].concat();
    assert_eq!(read(&zipped(&shared)).params.len(), 1);
}

#[test]
fn pickles_that_do_not_fit_together() {
    let with_argument =
        |argument: &[u8]| [&b"ctorch._utils\n_rebuild_tensor_v2\n"[..], argument, b"R"].concat();
    for (reason, opcodes) in [
        ("a value is missing", b"".to_vec()),
        ("a value is missing", b"0".to_vec()),
        ("a value is missing", b"K\x01(0".to_vec()),
        ("a value is missing", b"(\x85".to_vec()),
        ("the end of a container without a start", b"K\x01t".to_vec()),
        ("the end of a container without a start", b"u".to_vec()),
        (
            "elements of a value that is not a list",
            b"K\x01K\x02a".to_vec(),
        ),
        (
            "entries of a value that is not a dictionary",
            b"]K\x01K\x02s".to_vec(),
        ),
        ("a key without a value", b"}(K\x01u".to_vec()),
        ("a key without a value", b"(K\x01d".to_vec()),
        ("a value that was never stored", b"h\x07".to_vec()),
        (
            "a value that was never stored",
            b"j\xff\xff\xff\xff".to_vec(),
        ),
        ("a value that was never stored", b"Nq\x02h\x01".to_vec()),
        ("attributes of an object without any", b"]}b".to_vec()),
        (
            "a call of a value that is not a function",
            b"K\x01)R".to_vec(),
        ),
        (
            "a call of a value that is not a function",
            with_argument(b"]"),
        ),
        ("a call with the wrong arguments", with_argument(b")")),
        (
            "a call with the wrong arguments",
            b"ctorch\nSize\n)R".to_vec(),
        ),
        ("a call of a type", b"ctorch\nFloatStorage\n)R".to_vec()),
        (
            "a tensor without a storage",
            with_argument(b"(K\x01K\x00))t"),
        ),
        ("a reference that is not a tuple", b"K\x01Q".to_vec()),
        (
            "a reference to something other than a storage",
            b"(K\x01tQ".to_vec(),
        ),
        ("a name that is not a text", b"K\x01K\x02\x93".to_vec()),
        ("a name is too long", [b"c", &[b'a'; 600][..]].concat()),
        ("a text is not UTF-8", b"X\x01\0\0\0\xff".to_vec()),
        (
            "an entry that is not a pair",
            b"ccollections\nOrderedDict\n](K\x01e\x85R".to_vec(),
        ),
    ] {
        let error = refuse(&zipped(&opcodes));
        assert!(
            matches!(error, Error::Pickle { reason: got, .. } if got == reason),
            "{reason}: {error}"
        );
    }
    for (opcode, opcodes) in [
        // Extensions, instances, out-of-band buffers, protocol 0, and no opcode at all.
        (0x82, &b"\x82\x01"[..]),
        (0x81, b"))\x81"),
        (0x92, b"\x92"),
        (b'i', b"ios\nsystem\n"),
        (b'o', b"(o"),
        (0x97, b"\x97"),
        (b'I', b"I1\n"),
        (0xff, b"\xff"),
    ] {
        let error = refuse(&zipped(opcodes));
        assert!(
            matches!(error, Error::Opcode { opcode: got, .. } if got == opcode),
            "{error}"
        );
    }
    assert_refused! {
        "protocol 0", zip(b"}.", &[]) => Error::Pickle { .. },
        "protocol 6", zip(b"\x80\x06}.", &[]) => Error::Pickle { .. },
        "no end", zip(b"\x80\x02}", &[]) => Error::Truncated { what: "the pickle", .. },
        "a text beyond the end", zipped(b"X\xff\xff\xff\x00") => Error::Truncated { .. },
        "bytes beyond the end", zipped(b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff") =>
            Error::Truncated { .. },
        "a long integer beyond the end", zipped(b"\x8b\xff\xff\xff\xff") => Error::Truncated { .. },
        "a text of an absurd length", zipped(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff") =>
            Error::PickleMemory { .. },
    }
}

#[test]
fn legacy_streams_that_do_not_fit_together() {
    let storage = || [("0", 4, values())];
    let one = one(&Tensor::default());
    let magic = pickle(b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19");
    let little = |flag: &[u8]| pickle(&dict(&[("little_endian", flag.to_vec())]));
    let with_keys = |keys: &[u8]| [legacy_start(), one.clone(), pickle(keys)].concat();
    let two = pickle(&dict(&[
        ("a", Tensor::default().pickle()),
        (
            "b",
            Tensor {
                count: 5,
                ..Tensor::default()
            }
            .pickle(),
        ),
    ]));
    let mut longer = legacy_one(&Tensor::default());
    longer.push(0);
    let length = longer.len() as u64;
    assert_refused! {
        "another protocol", [magic.clone(), pickle(b"M\xe8\x03")].concat() => Error::Pickle { .. },
        "big-endian", [magic, pickle(b"M\xe9\x03"), little(b"\x89"), one.clone()].concat() =>
            Error::BigEndian,
        "no list of storages", with_keys(b"N") => Error::Pickle { .. },
        "a key that is no text", with_keys(b"]K\x01a") => Error::Pickle { .. },
        "an unknown storage", with_keys(&[b"]", &text("7")[..], b"a"].concat()) =>
            Error::MissingStorage { storage } if storage == "7",
        "a storage that is not there", legacy(&one, &[]) =>
            Error::MissingStorage { storage } if storage == "0",
        "a storage listed twice", legacy(&one, &[("0", 4, values()), ("0", 4, values())]) =>
            Error::Pickle { reason: "a storage is listed twice", .. },
        "two descriptions", legacy(&two, &storage()) =>
            Error::Pickle { reason: "two descriptions of one storage differ", .. },
        "another count", legacy(&one, &[("0", 5, values())]) =>
            Error::StorageLength { expected: 16, got: 20, .. },
        "an absurd count", legacy(&one, &[("0", u64::MAX, values())]) =>
            Error::StorageLength { got: u64::MAX, .. },
        "missing values", legacy(&one, &[("0", 4, values()[1..].to_vec())]) =>
            Error::Truncated { what: "a storage", .. },
        "a byte more", longer => Error::TooLong { expected, got } if (expected, got) == (length - 1, length),
    }
}
