//! The drawing of a graph: the drawings of a residual block and an inception module, and a valid
//! drawing of any graph with any names.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};

use nn_layers::{
    BatchNorm2d, Conv2d, Graph, GraphBuilder, Linear, MaxPool2d, NodeId, Padding, Result,
};
use proptest::prelude::*;
use testkit::graph_recipes;

fn conv(b: &mut GraphBuilder, x: NodeId, channels: usize, size: usize) -> Result<NodeId> {
    let conv = Conv2d::new(channels, [size; 2]).padding(Padding::Same);
    let x = b.conv2d("conv", x, conv.without_bias())?;
    let x = b.batch_norm2d("bn", x, BatchNorm2d::default())?;
    b.relu("relu", x)
}

#[test]
fn a_residual_block_has_its_shortcut() {
    let mut b = GraphBuilder::new();
    let x = b.input("image", [1, 64, 56, 56]).unwrap();
    let y = b.scope("layer1.0", |b| {
        let y = b.scope("1", |b| conv(b, x, 64, 3))?;
        let y = b.scope("2", |b| conv(b, y, 64, 3))?;
        let sum = b.add("add", y, x)?;
        b.relu("relu", sum)
    });
    let graph = b.finish(&[y.unwrap()]).unwrap();
    assert_eq!(
        graph.mermaid(),
        r##"%%{init: {"flowchart": {"wrappingWidth": 600}}}%%
flowchart TB
  classDef join fill:#ffe9bf,stroke:#b37400,color:#000
  classDef output stroke-width:3px
  n0(["image: input<br>1x64x56x56"])
  subgraph s0["layer1"]
    subgraph s1["layer1.0"]
      n1["1.conv: conv2d 3x3<br>1.bn: batch_norm2d<br>1.relu: relu<br>1x64x56x56"]
      n2["2.conv: conv2d 3x3<br>2.bn: batch_norm2d<br>2.relu: relu<br>1x64x56x56"]
      n3(("add<br>1x64x56x56")):::join
      n4["relu<br>1x64x56x56"]:::output
    end
  end
  n0 --> n1
  n1 --> n2
  n2 --> n3
  n0 --> n3
  n3 --> n4
"##
    );
}

#[test]
fn an_inception_module_has_its_branches() {
    let mut b = GraphBuilder::new();
    let x = b.input("image", [1, 192, 28, 28]).unwrap();
    let y = b.scope("inception3a", |b| {
        let pool = MaxPool2d {
            stride: [1, 1],
            padding: Padding::Same,
            ..MaxPool2d::new([3, 3])
        };
        let branches = [
            b.scope("branch1", |b| conv(b, x, 64, 1))?,
            b.scope("branch2", |b| {
                let y = b.scope("0", |b| conv(b, x, 96, 1))?;
                b.scope("1", |b| conv(b, y, 128, 3))
            })?,
            b.scope("branch4", |b| {
                let y = b.max_pool2d("0", x, pool)?;
                b.scope("1", |b| conv(b, y, 32, 1))
            })?,
        ];
        b.concat("concat", &branches)
    });
    let y = y.unwrap();
    let flat = b.global_avg_pool2d("avgpool", y).unwrap();
    let flat = b.flatten("flatten", flat).unwrap();
    let classes = b.linear("fc", flat, Linear::new(10)).unwrap();
    // Softmax reads an output, so it is not a line in the output's box.
    let shares = b.softmax("softmax", classes).unwrap();
    let graph = b.finish(&[classes, shares]).unwrap();
    let text = graph.mermaid();
    let drawn = text.split_once("3px\n").unwrap().1;
    assert_eq!(
        drawn,
        r#"  n0(["image: input<br>1x192x28x28"])
  subgraph s0["inception3a"]
    n1["branch1.conv: conv2d 1x1<br>branch1.bn: batch_norm2d<br>branch1.relu: relu<br>1x64x28x28"]
    subgraph s1["inception3a.branch2"]
      n2["0.conv: conv2d 1x1<br>0.bn: batch_norm2d<br>0.relu: relu<br>1x96x28x28"]
      n3["1.conv: conv2d 3x3<br>1.bn: batch_norm2d<br>1.relu: relu<br>1x128x28x28"]
    end
    subgraph s2["inception3a.branch4"]
      n4["0: max_pool2d 3x3<br>1x192x28x28"]
      n5["1.conv: conv2d 1x1<br>1.bn: batch_norm2d<br>1.relu: relu<br>1x32x28x28"]
    end
    n6{{"concat<br>1x224x28x28"}}:::join
  end
  n7["avgpool: global_avg_pool2d<br>1x224x1x1"]
  n8["flatten<br>1x224"]
  n9["fc: linear<br>1x10"]:::output
  n10["softmax<br>1x10"]:::output
  n0 --> n1
  n0 --> n2
  n2 --> n3
  n0 --> n4
  n4 --> n5
  n1 --> n6
  n3 --> n6
  n5 --> n6
  n6 --> n7
  n7 --> n8
  n8 --> n9
  n9 --> n10
"#
    );
}

#[test]
fn a_line_stays_in_its_scope_and_what_two_read_has_a_box() {
    let mut b = GraphBuilder::new();
    let x = b.input("image", [1, 3, 8, 8]).unwrap();
    let y = b.conv2d("a.conv", x, Conv2d::new(3, [1, 1])).unwrap();
    // In another scope.
    let other = b.relu("b.relu", y).unwrap();
    // Read by two nodes.
    let z = b.conv2d("b.conv", other, Conv2d::new(3, [1, 1])).unwrap();
    let left = b.relu("b.left", z).unwrap();
    let sum = b.add("b.sum", z, left).unwrap();
    let graph = b.finish(&[sum]).unwrap();
    let drawing = Drawing::read(&graph.mermaid());
    let boxes: Vec<usize> = drawing.boxes.values().map(|(lines, _)| *lines).collect();
    assert_eq!(boxes, [1; 6]);
}

/// The content of a drawing, parsed line by line.
struct Drawing {
    /// For each box, the number of its lines that show a node, and the frames around it.
    boxes: BTreeMap<String, (usize, Vec<String>)>,
    edges: Vec<[String; 2]>,
    frames: usize,
}

impl Drawing {
    /// Panics at an unexpected line.
    fn read(text: &str) -> Self {
        let mut drawing = Self {
            boxes: BTreeMap::new(),
            edges: Vec::new(),
            frames: 0,
        };
        let mut open: Vec<String> = Vec::new();
        let mut titles = BTreeSet::new();
        for line in text.lines().skip(4) {
            assert!(line.starts_with("  "), "{line:?}");
            let line = line.trim_start();
            if line == "end" {
                open.pop().unwrap();
            } else if let Some(frame) = line.strip_prefix("subgraph ") {
                let (id, title) = frame.split_once("[\"").unwrap();
                assert_eq!(id, format!("s{}", drawing.frames));
                let title = title.strip_suffix("\"]").unwrap();
                check_label(title);
                assert!(titles.insert(title.to_owned()), "{title} is there twice");
                open.push(title.to_owned());
                drawing.frames += 1;
            } else if let Some((from, to)) = line.split_once(" --> ") {
                assert!(open.is_empty());
                drawing.edges.push([from.to_owned(), to.to_owned()]);
            } else {
                let (head, rest) = line.split_once('"').unwrap();
                let (label, tail) = rest.rsplit_once('"').unwrap();
                let id = head.trim_end_matches(['(', '[', '{']);
                assert!(id.strip_prefix('n').unwrap().parse::<usize>().is_ok());
                let brackets = (&head[id.len()..], tail.split(":::").next().unwrap());
                let pairs = [("([", "])"), ("((", "))"), ("{{", "}}"), ("[", "]")];
                assert!(pairs.contains(&brackets), "{line}");
                let mut lines: Vec<&str> = label.split("<br>").collect();
                lines.iter().for_each(|line| check_label(line));
                let shape = lines.pop().unwrap();
                assert!(shape.split('x').all(|size| size.parse::<usize>().is_ok()));
                let value = (lines.len(), open.clone());
                assert!(drawing.boxes.insert(id.to_owned(), value).is_none());
            }
        }
        assert!(open.is_empty());
        for id in drawing.edges.iter().flatten() {
            assert!(drawing.boxes.contains_key(id), "{id}");
        }
        drawing
    }
}

/// Checks that a label contains no Mermaid syntax except character codes.
fn check_label(label: &str) {
    let mut rest = label;
    while let Some((before, after)) = rest.split_once('#') {
        check_plain(before);
        let (number, after) = after.split_once(';').unwrap();
        let character = char::from_u32(number.parse().unwrap());
        assert!(character.is_some(), "{label}");
        rest = after;
    }
    check_plain(rest);
}

fn check_plain(text: &str) {
    // Labels of operations: "name: op", "pad 1,2,3,4", "conv2d 3x3 /2".
    let is_plain = |c: char| c.is_alphanumeric() || " .:,-_/".contains(c);
    assert!(text.chars().all(is_plain), "{text:?}");
}

/// Checks that every node is a line of a box, and every input an edge unless it is within a box.
fn check(graph: &Graph) -> Drawing {
    let drawing = Drawing::read(&graph.mermaid());
    let lines: usize = drawing.boxes.values().map(|(lines, _)| lines).sum();
    assert_eq!(lines, graph.nodes().len());
    let inputs: usize = graph.nodes().iter().map(|node| node.inputs().len()).sum();
    let within = graph.nodes().len() - drawing.boxes.len();
    assert_eq!(drawing.edges.len(), inputs - within);
    drawing
}

proptest! {
    #[test]
    fn any_graph_is_drawn_whole(recipe in graph_recipes()) {
        check(&recipe.build());
    }

    /// Names of every kind, in scopes of every depth, which are closed and opened again.
    #[test]
    fn any_names_are_drawn(
        names in prop::collection::vec("([a-c]\\.){0,12}(\\PC|[a-c\"#<>`$&;:%\n\\[\\](){}*]){1,6}", 1..20),
    ) {
        let mut b = GraphBuilder::new();
        let mut x = b.input("x", [1, 2]).unwrap();
        for (index, name) in names.iter().enumerate() {
            let join = if index % 3 == 0 { b.add(name, x, x) } else { b.affine(name, x) };
            if let Ok(y) = join {
                x = y;
            }
        }
        let drawing = check(&b.finish(&[x]).unwrap());
        for (_, frames) in drawing.boxes.values() {
            prop_assert!(frames.len() <= 8);
            for pair in frames.windows(2) {
                let prefix = format!("{}.", pair[0]);
                prop_assert!(pair[1].starts_with(&prefix), "{:?}", pair);
            }
        }
    }
}

#[test]
fn a_frame_has_two_boxes_at_least_and_names_only_one_scope() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 2]).unwrap();
    let x = b.affine("a.b.c.one", x).unwrap();
    let x = b.add("other", x, x).unwrap();
    // The scope is opened again.
    let x = b.affine("a.b.d.two", x).unwrap();
    let x = b
        .affine(&format!("deep{}", ".x".repeat(100_000)), x)
        .unwrap();
    let y = b.affine("a", x).unwrap();
    let drawing = check(&b.finish(&[y]).unwrap());
    assert_eq!(drawing.frames, 2);
    let frames: Vec<String> = drawing
        .boxes
        .values()
        .map(|(_, frames)| frames.join(" "))
        .collect();
    // x, one, other, two, the deep one, and a node whose name is that of a scope.
    assert_eq!(frames, ["", "a a.b", "", "a a.b", "", ""]);
}

#[test]
fn signs_that_mean_something_are_numbers() {
    let mut b = GraphBuilder::new();
    let x = b.input("\"]\n--> <b>", [1, 2]).unwrap();
    let y = b.relu("$$fa:fa-ban#quot;", x).unwrap();
    let text = b.finish(&[y]).unwrap().mermaid();
    let node = "n0([\"#34;#93; --#62; #60;b#62;: input<br>1x2\"])";
    assert!(text.contains(node), "{text}");
    let node = "n1[\"#36;#8203;#36;#8203;fa#58;#8203;fa-ban#35;quot#59;: relu<br>1x2\"]";
    assert!(text.contains(node), "{text}");
}
