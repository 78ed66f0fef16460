//! What a finished graph refuses: inputs, parameters, and sizes that cannot be counted.

use super::*;

/// A convolution, a dense layer after it, and a second input, a vector.
fn classifier() -> Graph {
    let mut b = GraphBuilder::new();
    let image = b.input("image", [1, 3, 8, 8]).unwrap();
    let vector = b.input("vector", [1, 5]).unwrap();
    let x = b.conv2d("conv", image, Conv2d::new(2, [3, 3])).unwrap();
    let x = b.flatten("flatten", x).unwrap();
    let x = b.concat("both", &[x, vector]).unwrap();
    let y = b.linear("fc", x, Linear::new(4)).unwrap();
    b.finish(&[y]).unwrap()
}

#[test]
fn inputs_that_the_graph_does_not_take() {
    let graph = classifier();
    let infer = |image: &[usize], vector: &[usize]| {
        graph
            .infer(&[Shape::from(image), Shape::from(vector)])
            .map(|_| ())
    };
    infer(&[7, 3, 8, 8], &[7, 5]).unwrap();

    let error = graph.infer(&[Shape::from([1, 3, 8, 8])]).unwrap_err();
    assert_eq!(
        error,
        Error::Graph(GraphError::Inputs {
            expected: 2,
            got: 1
        })
    );
    assert_eq!(
        infer(&[1, 1, 8, 8], &[1, 5]).unwrap_err().to_string(),
        "node \"image\": input channels (axis c) is 1, expected 3"
    );
    assert_eq!(
        infer(&[1, 3, 8, 8], &[1, 6]).unwrap_err().to_string(),
        "node \"vector\": input features (axis f) is 6, expected 5"
    );
    // The dense layer fixes the picture's size: 2 * 6 * 6 + 5 features.
    assert_eq!(
        infer(&[1, 3, 8, 9], &[1, 5]).unwrap_err().to_string(),
        "node \"fc\": input features (axis f) is 89, expected 77"
    );
    assert!(matches!(
        infer(&[1, 3, 8], &[1, 5]),
        Err(Error::Graph(GraphError::Rank { .. }))
    ));
    assert!(matches!(
        infer(&[0, 3, 8, 8], &[0, 5]),
        Err(Error::Graph(GraphError::Zero { .. }))
    ));
    assert!(matches!(
        infer(&[1, 3, 2, 8], &[1, 5]),
        Err(Error::Graph(GraphError::Kernel { .. }))
    ));
    assert!(matches!(
        infer(&[1, 3, usize::MAX, 8], &[1, 5]),
        Err(Error::Graph(GraphError::TooLarge { .. }))
    ));
    assert!(matches!(
        infer(&[2, 3, 8, 8], &[1, 5]),
        Err(Error::Graph(GraphError::Mismatch { axis: "n", .. }))
    ));

    let plain = Plain::new(&graph, random_params(&graph, 1).unwrap()).unwrap();
    let image = ArrayD::zeros(vec![1, 3, 8, 8]);
    let error = plain.run(&[image.view()]).unwrap_err();
    assert_eq!(
        error,
        Error::Graph(GraphError::Inputs {
            expected: 2,
            got: 1
        })
    );
    let vector = ArrayD::zeros(vec![1, 4]);
    assert!(matches!(
        plain.run(&[image.view(), vector.view()]),
        Err(Error::Graph(GraphError::Mismatch { .. }))
    ));
}

#[test]
fn a_batch_norm_behind_a_flatten_says_what_changed() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 2, 2, 2]).unwrap();
    let flat = b.flatten("flat", x).unwrap();
    let y = b.batch_norm2d("bn", flat, BatchNorm2d::default()).unwrap();
    let graph = b.finish(&[y]).unwrap();
    let error = graph.infer(&[Shape::from([1, 2, 2, 3])]).unwrap_err();
    assert!(matches!(
        error,
        Error::Graph(GraphError::Mismatch {
            axis: "f",
            expected: 8,
            got: 12,
            ..
        })
    ));
}

#[test]
fn parameters_that_do_not_fit_are_all_reported() {
    let graph = classifier();
    let mut params = random_params(&graph, 1).unwrap();
    params.remove("conv.weight").unwrap();
    params.insert("fc.bias", Slot::Weight, ArrayD::zeros(vec![5]));
    // The right number of values, but transposed: in_features x out_features.
    params.insert("fc.weight", Slot::Weight, ArrayD::zeros(vec![77, 4]));
    // An unknown tensor is not an error.
    params.insert("aux.weight", Slot::Weight, ArrayD::zeros(vec![1]));
    let error = Plain::new(&graph, params).unwrap_err();
    assert_eq!(
        error.to_string(),
        "3 parameters do not fit the graph: conv.weight is missing, expected shape 2x3x3x3; \
         fc.weight has shape 77x4, expected 4x77; fc.bias has shape 5, expected 4"
    );
    let Error::Params(ParamsError::Misfits(misfits)) = error else {
        panic!("{error}")
    };
    assert!(matches!(&misfits[0], Misfit::Missing { name, .. } if name == "conv.weight"));
    assert!(matches!(&misfits[2], Misfit::Shape { got, .. } if got == &[5]));
}

#[test]
fn a_long_list_of_misfits_is_one_short_line() {
    let mut b = GraphBuilder::new();
    let mut x = b.input("x", [1, 1]).unwrap();
    for layer in 0..50 {
        x = b.affine(&format!("layer{layer}"), x).unwrap();
    }
    let graph = b.finish(&[x]).unwrap();
    let error = Params::<f32>::new().check(&graph).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("100 parameters do not fit the graph: layer0.weight is missing"));
    assert!(
        text.ends_with("; and 92 more") && !text.contains('\n'),
        "{text}"
    );
    assert!(matches!(error, Error::Params(ParamsError::Misfits(misfits)) if misfits.len() == 100));
}

#[test]
fn counts_that_do_not_fit_are_errors() {
    // Each tensor can be counted, but the multiply-adds cannot: 2^56 outputs by 2^56 channels.
    let channels = 1 << 28;
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, channels, 1 << 14, 1 << 14]).unwrap();
    let y = b.conv2d("y", x, Conv2d::new(channels, [1, 1])).unwrap();
    let graph = b.finish(&[y]).unwrap();
    let error = Summary::new(&graph, &[Shape::from([1, channels, 1 << 14, 1 << 14])]).unwrap_err();
    assert!(matches!(
        error,
        Error::Graph(GraphError::TooLarge {
            what: "the number of multiply-adds",
            ..
        })
    ));
}
