//! Which of a file's tensors a graph reads, and how the report says so.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use ndarray::ArrayD;
use nn_layers::{
    BatchNorm2d, Conv2d, Error, Graph, GraphBuilder, Linear, LoadReport, Misfit, Params,
    ParamsError, Slot, random_params,
};

/// Returns a network with an auxiliary head, which is its second output.
fn training() -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("image", [1, 3, 8, 8]).unwrap();
    let conv = Conv2d::new(4, [3, 3]).without_bias();
    let x = b.conv2d("conv1", x, conv).unwrap();
    let x = b.batch_norm2d("bn1", x, BatchNorm2d::default()).unwrap();
    let x = b.global_avg_pool2d("pool", x).unwrap();
    let aux = b.conv2d("aux.conv", x, Conv2d::new(2, [1, 1])).unwrap();
    let aux = b
        .batch_norm2d("aux.bn", aux, BatchNorm2d::default())
        .unwrap();
    let x = b.flatten("flatten", x).unwrap();
    let y = b.linear("fc", x, Linear::new(5)).unwrap();
    b.finish(&[y, aux]).unwrap()
}

fn inference() -> Graph {
    let graph = training();
    graph.with_outputs(&graph.outputs()[..1]).unwrap()
}

/// Returns what PyTorch would save for the whole network.
fn checkpoint() -> Params<f32> {
    let mut params = random_params(&training(), 1).unwrap();
    for node in ["bn1", "aux.bn"] {
        let name = format!("{node}.num_batches_tracked");
        params.insert(name, Slot::Counter, ArrayD::zeros(vec![]));
    }
    params
}

fn tensor(shape: &[usize]) -> ArrayD<f32> {
    ArrayD::zeros(shape)
}

#[test]
fn what_an_inference_graph_leaves_out_is_known() {
    let (training, inference, params) = (training(), inference(), checkpoint());
    let report = LoadReport::new(&params, &training, []).strict().unwrap();
    assert_eq!(report.loaded, 1 + 4 + 2 + 4 + 2);
    let counters = ["aux.bn.num_batches_tracked", "bn1.num_batches_tracked"];
    assert_eq!(report.known_unused, counters);

    let report = LoadReport::new(&params, &inference, training.param_specs());
    let report = report.strict().unwrap();
    assert_eq!(report.loaded, 1 + 4 + 2);
    assert_eq!(
        report.known_unused,
        [
            "aux.bn.bias",
            "aux.bn.num_batches_tracked",
            "aux.bn.running_mean",
            "aux.bn.running_var",
            "aux.bn.weight",
            "aux.conv.bias",
            "aux.conv.weight",
            "bn1.num_batches_tracked",
        ]
    );
    assert!(report.misfits.is_empty() && report.unexpected.is_empty());

    // Without the list of known tensors, the auxiliary head belongs to no node.
    let report = LoadReport::new(&params, &inference, []);
    assert_eq!(report.unexpected.len(), 7);
    assert!(matches!(
        report.strict(),
        Err(Error::Params(ParamsError::Load(_)))
    ));
}

#[test]
fn what_is_only_known_may_be_missing() {
    let (training, inference) = (training(), inference());
    let params = random_params(&inference, 1).unwrap();
    let report = LoadReport::new(&params, &inference, training.param_specs());
    let expected = LoadReport {
        loaded: 7,
        ..LoadReport::default()
    };
    assert_eq!(report.strict().unwrap(), expected);
}

#[test]
fn every_tensor_is_counted_once() {
    let (training, inference) = (training(), inference());
    let mut params = checkpoint();
    params.remove("bn1.weight").unwrap();
    params.insert("fc.weight", Slot::Weight, tensor(&[1000, 4]));
    params.insert("aux.conv.weight", Slot::Weight, tensor(&[3, 4, 1, 1]));
    params.insert("bn1.num_batches_tracked", Slot::Counter, tensor(&[1]));
    params.insert("fc.num_batches_tracked", Slot::Counter, tensor(&[]));
    params.insert("layer9.weight", Slot::Weight, tensor(&[1]));
    let report = LoadReport::new(&params, &inference, training.param_specs());
    let names: Vec<&str> = report.misfits.iter().map(Misfit::name).collect();
    // Those of the graph in its order, then the other known ones by name.
    assert_eq!(
        names,
        [
            "bn1.weight",
            "fc.weight",
            "aux.conv.weight",
            "bn1.num_batches_tracked"
        ]
    );
    assert!(matches!(report.misfits[0], Misfit::Missing { .. }));
    let got = |misfit: &Misfit| match misfit {
        Misfit::Shape { got, .. } => got.clone(),
        other @ Misfit::Missing { .. } => panic!("{other}"),
    };
    assert_eq!(got(&report.misfits[2]), [3, 4, 1, 1]);
    // Only batch normalisations have a counter.
    assert_eq!(
        report.unexpected,
        ["fc.num_batches_tracked", "layer9.weight"]
    );
    let missing = 1;
    let counted = report.loaded + report.misfits.len() - missing
        + report.known_unused.len()
        + report.unexpected.len();
    assert_eq!(counted, params.len());

    let error = report.clone().strict().unwrap_err();
    assert_eq!(
        error.to_string(),
        "4 parameters do not fit the graph: bn1.weight is missing, expected shape 4; \
         fc.weight has shape 1000x4, expected 5x4; \
         aux.conv.weight has shape 3x4x1x1, expected 2x4x1x1; \
         bn1.num_batches_tracked has shape 1, expected scalar; \
         2 tensors are unexpected: fc.num_batches_tracked, layer9.weight"
    );
    assert_eq!(error, Error::Params(ParamsError::Load(Box::new(report))));
}

#[test]
fn the_report_is_a_few_short_lines() {
    let (training, inference) = (training(), inference());
    let report = LoadReport::new(&checkpoint(), &inference, training.param_specs());
    assert_eq!(
        report.to_string(),
        "\
loaded        7 tensors
known unused  8: aux.bn.bias, aux.bn.num_batches_tracked, and 6 more"
    );
    let report = LoadReport {
        loaded: 1,
        ..LoadReport::default()
    };
    assert_eq!(report.to_string(), "loaded        1 tensor");

    let mut params = Params::new();
    params.insert("fc.weight", Slot::Weight, tensor(&[1000, 4]));
    params.insert("fc.bias", Slot::Weight, tensor(&[1000]));
    params.insert("module.fc.bias", Slot::Weight, tensor(&[5]));
    let report = LoadReport::new(&params, &inference, []);
    assert_eq!(
        report.to_string(),
        "\
loaded        0 tensors
missing       5: conv1.weight, bn1.weight, bn1.bias, and 2 more
wrong shape   2: fc.weight has shape 1000x4, expected 5x4, and 1 more
unexpected    1: module.fc.bias"
    );
}

#[test]
fn a_prefix_that_a_wrapper_added_is_named() {
    let inference = inference();
    let good = checkpoint();
    for prefix in [
        "module.",
        "_orig_mod.",
        "backbone.",
        "model.",
        "net.",
        "module._orig_mod.",
    ] {
        let mut params = Params::new();
        for (name, param) in good.iter() {
            params.insert(format!("{prefix}{name}"), param.slot, param.value.clone());
        }
        let report = LoadReport::new(&params, &inference, []);
        assert_eq!(report.prefix.as_deref(), Some(prefix));
        assert!(
            report
                .to_string()
                .ends_with(&format!("all parameters fit without {prefix}")),
            "{report}"
        );
        let error = report.strict().unwrap_err();
        assert!(error.to_string().contains(prefix), "{error}");
        // One parameter has another shape, so the prefix is not the only problem.
        params.insert(format!("{prefix}fc.bias"), Slot::Weight, tensor(&[1, 1]));
        let report = LoadReport::new(&params, &inference, []);
        assert_eq!(report.prefix, None);
    }
    assert_eq!(LoadReport::new(&good, &inference, []).prefix, None);
}

#[test]
fn hostile_names_do_not_reach_the_terminal() {
    let (training, inference) = (training(), inference());
    let mut params = checkpoint();
    params.insert("a\u{202e}b", Slot::Weight, tensor(&[1]));
    let report = LoadReport::new(&params, &inference, training.param_specs());
    for text in [report.to_string(), report.strict().unwrap_err().to_string()] {
        assert!(text.contains("a\\u{202e}b"), "{text}");
        assert!(!text.contains('\u{202e}'), "{text}");
    }
}

#[test]
fn lines_of_any_names_fit_a_terminal() {
    for len in [1, 2, 9, 30, 59, 60, 61, 62, 63, 64, 65, 200] {
        for count in [1, 2, 3, 7, 8, 12, 1000] {
            let names = (0..count).map(|i| format!("{i:é>len$}"));
            let report = LoadReport {
                unexpected: names.collect(),
                ..LoadReport::default()
            };
            let text = report.to_string();
            let line = text.lines().nth(1).unwrap();
            assert!(line.chars().count() <= 80, "{line}");
            // Every name is either listed or counted.
            let list = line.split_once(": ").unwrap().1;
            let more = list.rsplit_once(", and ").map_or(0, |(_, more)| {
                more.strip_suffix(" more")
                    .unwrap()
                    .parse::<usize>()
                    .unwrap()
            });
            let shown = list.split(", ").filter(|item| !item.starts_with("and "));
            assert_eq!(shown.count() + more, count, "{line}");
        }
    }
}
