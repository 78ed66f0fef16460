//! Weights files: byte order, both headers, and files of a wrong kind.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot build fails it"
)]

mod common;

use common::{RandomWeights, net, network};
use nn_layers::Params;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use yolo_detect::{Error, Network, Weights, WeightsHeader};

const OLD: WeightsHeader = WeightsHeader {
    major: 0,
    minor: 1,
    revision: 0,
    seen: 7,
};
const NEW: WeightsHeader = WeightsHeader {
    major: 0,
    minor: 2,
    revision: 0,
    seen: 1 << 40 | 7,
};
const TRANSPOSED: WeightsHeader = WeightsHeader {
    major: 0,
    minor: 1001,
    revision: 3,
    seen: 7,
};

/// Returns one layer of each kind that has weights.
fn small() -> Network {
    network(&net(
        2,
        2,
        "[conv]\nbatch_normalize=1\nfilters=2\nsize=1\n[conv]\nfilters=1\nsize=1\n\
         [conn]\nbatch_normalize=1\noutput=2\n[conn]\noutput=3",
    ))
}

/// Returns a file with the values 0, 1, 2, ... after a header.
fn counting(header: WeightsHeader, network: &Network) -> Vec<u8> {
    let numbers = network
        .parameters()
        .iter()
        .map(nn_layers::ParamSpec::elements)
        .sum::<usize>();
    let mut bytes = Vec::new();
    for field in [header.major, header.minor, header.revision] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(&header.seen.to_le_bytes()[..header.bytes() - 12]);
    bytes.extend((0..numbers).flat_map(|number| (number as f32).to_le_bytes()));
    bytes
}

fn read(bytes: &[u8], network: &Network) -> Result<Weights, Error> {
    Weights::read(bytes, bytes.len() as u64, network)
}

fn numbers(params: &Params<f32>, name: &str) -> Vec<u16> {
    params
        .get(name)
        .unwrap()
        .value
        .iter()
        .map(|&number| number as u16)
        .collect()
}

#[test]
fn the_order_is_darknets_for_every_header() {
    let network = small();
    for header in [OLD, NEW, TRANSPOSED] {
        let weights = read(&counting(header, &network), &network).unwrap();
        assert_eq!(weights.header, header);
        let get = |name| numbers(&weights.params, name);
        // A convolution: biases, scales, means, variances, weights.
        assert_eq!(get("0.bn.bias"), [0, 1]);
        assert_eq!(get("0.bn.weight"), [2, 3]);
        assert_eq!(get("0.bn.running_mean"), [4, 5]);
        assert_eq!(get("0.bn.running_var"), [6, 7]);
        assert_eq!(get("0.conv.weight"), [8, 9, 10, 11, 12, 13]);
        assert_eq!(get("1.conv.bias"), [14]);
        assert_eq!(get("1.conv.weight"), [15, 16]);
        // A dense layer: biases, weights, scales, means, variances.
        assert_eq!(get("2.bn.bias"), [17, 18]);
        assert_eq!(get("2.bn.weight"), [27, 28]);
        assert_eq!(get("2.bn.running_mean"), [29, 30]);
        assert_eq!(get("2.bn.running_var"), [31, 32]);
        assert_eq!(get("3.linear.bias"), [33, 34, 35]);
        if header == TRANSPOSED {
            assert_eq!(get("2.linear.weight"), [19, 21, 23, 25, 20, 22, 24, 26]);
            assert_eq!(get("3.linear.weight"), [36, 39, 37, 40, 38, 41]);
        } else {
            assert_eq!(get("2.linear.weight"), [19, 20, 21, 22, 23, 24, 25, 26]);
            assert_eq!(get("3.linear.weight"), [36, 37, 38, 39, 40, 41]);
        }
        weights.params.check(network.graph()).unwrap();
    }
}

#[test]
fn what_was_read_is_written_with_the_same_bytes() {
    let network = small();
    for header in [OLD, NEW, TRANSPOSED] {
        let bytes = counting(header, &network);
        let mut written = Vec::new();
        read(&bytes, &network)
            .unwrap()
            .write(&mut written, &network)
            .unwrap();
        assert_eq!(written, bytes);
    }
}

#[test]
fn the_width_of_seen_follows_the_version() {
    for (major, minor, bytes) in [
        (0, 1, 16),
        (0, 2, 20),
        (0, 5, 20),
        (1, 0, 20),
        (0, 999, 20),
        (0, 1000, 16),
        (1000, 0, 16),
        (-1, 0, 16),
        (i32::MAX, i32::MAX, 16),
        (i32::MIN, i32::MIN, 16),
    ] {
        let header = WeightsHeader {
            major,
            minor,
            revision: 0,
            seen: 1,
        };
        assert_eq!(header.bytes(), bytes, "{major} {minor}");
        let network = small();
        assert_eq!(
            read(&counting(header, &network), &network).unwrap().header,
            header
        );
    }
}

/// Read with the other width, all values would be shifted by one and still look plausible.
#[test]
fn a_header_of_the_other_width_is_an_error() {
    let network = small();
    let mut bytes = counting(OLD, &network);
    bytes[4] = 2;
    assert!(matches!(
        read(&bytes, &network),
        Err(Error::WeightsTooShort { missing: 4, .. })
    ));
    let mut bytes = counting(NEW, &network);
    bytes[4] = 1;
    assert!(matches!(
        read(&bytes, &network),
        Err(Error::WeightsTooLong { left: 4, .. })
    ));
}

#[test]
fn other_files_are_named() {
    let network = small();
    let html = b"<!DOCTYPE html><html><head><title>Moved</title></head></html>".repeat(9);
    assert!(matches!(
        read(&html, &network),
        Err(Error::OtherKind {
            what: "weights",
            kind: files::Kind::Html
        })
    ));
    assert!(matches!(
        read(b"  <html>", &network),
        Err(Error::OtherKind { .. })
    ));
    let cfg = common::YOLOV3_TINY.as_bytes();
    let Err(Error::WeightsAreText { start }) = read(cfg, &network) else {
        panic!()
    };
    assert_eq!(start, "[net]\n# Testing\n");
    assert!(matches!(
        read(&[], &network),
        Err(Error::WeightsHeader {
            expected: 16,
            got: 0
        })
    ));
    assert!(matches!(
        read(&counting(NEW, &network)[..18], &network),
        Err(Error::WeightsHeader {
            expected: 20,
            got: 18
        })
    ));
}

#[test]
fn a_length_that_was_wrong_is_found_while_reading() {
    let network = small();
    let bytes = counting(NEW, &network);
    let length = bytes.len() as u64;
    let shrunk = Weights::read(&bytes[..bytes.len() - 1], length, &network);
    assert!(matches!(shrunk, Err(Error::Read(_))));
    let grown = [bytes.as_slice(), &[0]].concat();
    let grown = Weights::read(grown.as_slice(), length, &network);
    assert!(matches!(grown, Err(Error::WeightsTooLong { .. })));
}

/// A cfg of 2^31 parameters would need 8 GiB; a short weights file is rejected because of its
/// length.
#[test]
fn no_memory_is_taken_for_weights_that_are_not_there() {
    let layers = "[conv]\nfilters=32768\n[conv]\nfilters=65000\nsize=1";
    let network = network(&net(1, 1, layers));
    assert!(
        network
            .parameters()
            .iter()
            .any(|spec| spec.elements() > 1 << 30)
    );
    let error = read(&counting(NEW, &small()), &network).unwrap_err();
    assert!(
        matches!(error, Error::WeightsTooShort { got: 188, .. }),
        "{error}"
    );
}

#[test]
fn numbers_that_cannot_be_are_errors_that_name_them() {
    let network = small();
    let with = |number: usize, value: f32| {
        let mut bytes = counting(NEW, &network);
        bytes[20 + 4 * number..][..4].copy_from_slice(&value.to_le_bytes());
        read(&bytes, &network)
    };
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let Err(Error::WeightNotFinite {
            parameter, index, ..
        }) = with(10, value)
        else {
            panic!()
        };
        assert_eq!((parameter.as_str(), index), ("0.conv.weight", 2));
    }
    let Err(Error::NegativeVariance {
        parameter,
        index,
        value,
    }) = with(7, -1e-9)
    else {
        panic!()
    };
    assert_eq!(
        (parameter.as_str(), index, value),
        ("0.bn.running_var", 1, -1e-9)
    );
    // Every other value may be negative, and a variance may be 0.
    assert!(with(6, 0.0).is_ok());
    for number in [0, 2, 4, 8, 14, 15, 17, 19, 27, 29, 33, 36] {
        assert!(with(number, -1.0).is_ok(), "{number}");
    }
}

#[test]
fn writing_names_what_is_missing_or_misshapen() {
    let network = small();
    let mut weights = read(&counting(NEW, &network), &network).unwrap();
    let bias = weights.params.remove("1.conv.bias").unwrap();
    let write = |weights: &Weights| weights.write(&mut Vec::new(), &network).unwrap_err();
    let Error::MissingParameter { parameter } = write(&weights) else {
        panic!()
    };
    assert_eq!(parameter, "1.conv.bias");
    let value = ndarray::ArrayD::zeros(vec![2]);
    weights.params.insert("1.conv.bias", bias.slot, value);
    let Error::ParameterShape { expected, got, .. } = write(&weights) else {
        panic!()
    };
    assert_eq!((expected, got), (vec![1], vec![2]));
}

/// A full disk.
struct Full;

impl std::io::Write for Full {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn writing_that_fails_is_not_called_reading() {
    let network = small();
    let weights = read(&counting(NEW, &network), &network).unwrap();
    let error = weights.write(Full, &network).unwrap_err();
    assert!(matches!(error, Error::Write(_)), "{error}");
}

#[test]
fn only_the_forks_revision_is_the_forks() {
    for (revision, expected) in [(0, false), (3, false), (5, true)] {
        let header = WeightsHeader { revision, ..NEW };
        assert_eq!(header.is_from_fork(), expected);
    }
}

#[test]
fn files_are_checked_before_they_are_read() {
    let network = small();
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &std::path::Path| match Weights::open(path, &network) {
        Err(Error::File { path: named, error }) => {
            assert_eq!(named, path);
            *error
        }
        other => panic!("{other:?}"),
    };
    assert!(matches!(open(folder.path()), Error::NotAFile { .. }));
    assert!(matches!(open(&folder.path().join("none")), Error::Read(_)));
    let path = folder.path().join("good.weights");
    std::fs::write(&path, counting(NEW, &network)).unwrap();
    assert_eq!(Weights::open(&path, &network).unwrap().header, NEW);
    std::fs::write(&path, counting(NEW, &network).repeat(2)).unwrap();
    let error = Weights::open(&path, &network).unwrap_err().to_string();
    let expected = "good.weights: 188 bytes are left over: the cfg's 42 parameters need a weights \
                    file of 188 bytes, this one has 376";
    assert!(error.ends_with(expected), "{error}");
}

/// The hashes are those of the files that `goldens/random_weights.py` writes.
#[test]
fn random_weights_are_the_scripts_to_the_bit() {
    let sha256 = |cfg, weights: RandomWeights| -> String {
        let digest = Sha256::digest(weights.bytes(&network(cfg)));
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    // --seed 3 --scale-score 4 --scale-box 0.5 --old-header
    let header = WeightsHeader { seen: 0, ..OLD };
    let scaled = RandomWeights {
        seed: 3,
        scale_score: 4.0,
        scale_box: 0.5,
        header,
    };
    assert_eq!(
        sha256(common::YOLOV2_TINY, scaled),
        "875b3037b9637fbfc27d08896afc763854d1d37f1e425a407592e6e2dc1d81b1"
    );
    // --seed 5 --scale-score 2.5
    let scaled = RandomWeights {
        seed: 5,
        scale_score: 2.5,
        ..RandomWeights::default()
    };
    assert_eq!(
        sha256(common::YOLOV3_TINY, scaled),
        "33e81974bf609167cb548f019a68601696981e1ffd309ea482c1b870c8ccd798"
    );
}

proptest! {
    #[test]
    fn any_other_length_is_an_error_with_the_difference(length in 20usize..400) {
        let network = small();
        let mut bytes = counting(NEW, &network);
        let expected = bytes.len();
        bytes.resize(length, 0);
        match read(&bytes, &network) {
            Ok(_) => prop_assert_eq!(length, expected),
            Err(Error::WeightsTooShort { missing, expected: e, got, parameters }) => {
                prop_assert_eq!(missing as usize, expected - length);
                prop_assert_eq!((e as usize, got as usize, parameters), (expected, length, 42));
            }
            Err(Error::WeightsTooLong { left, .. }) => {
                prop_assert_eq!(left as usize, length - expected);
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let network = small();
        if let Ok(weights) = read(&bytes, &network) {
            let mut written = Vec::new();
            weights.write(&mut written, &network).unwrap();
            prop_assert_eq!(written, bytes);
        }
    }
}
