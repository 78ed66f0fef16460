//! A drawing of a graph, as text that Mermaid renders.

use crate::graph::{Graph, Node, NodeId, op::Op};

impl Graph {
    /// The graph as a [Mermaid](https://mermaid.js.org) flowchart, with the shapes of its nominal
    /// size. Many programs that display Markdown render it.
    ///
    /// A node is a box with its name, operation and output shape. A batch normalisation, affine
    /// layer, activation function or dropout is an additional line in the box of its input if it is
    /// the only reader of that input and both are in the same scope. It has its own box if its
    /// input is an input or output of the graph, or if that box is an addition or a concatenation.
    ///
    /// An addition is a circle and a concatenation a hexagon; an input has round ends and an output
    /// a thick border. A scope (`layer1.0`) with two or more boxes is a frame around them. Inside a
    /// frame, names omit the scope that its title shows. At most eight frames are nested.
    ///
    /// ```
    /// # use nn_layers::{Conv2d, GraphBuilder, Padding};
    /// let mut b = GraphBuilder::new();
    /// let x = b.input("image", [1, 3, 8, 8])?;
    /// let y = b.scope("block", |b| {
    ///     let y = b.conv2d("conv", x, Conv2d::new(3, [3, 3]).padding(Padding::all(1)))?;
    ///     let y = b.relu("relu", y)?;
    ///     b.add("add", y, x)
    /// })?;
    /// let graph = b.finish(&[y])?;
    /// // The convolution with its activation function, and the shortcut around them.
    /// assert!(graph.mermaid().ends_with("  n0 --> n1\n  n1 --> n2\n  n0 --> n2\n"));
    /// # Ok::<(), nn_layers::Error>(())
    /// ```
    #[must_use]
    pub fn mermaid(&self) -> String {
        let mut drawing = Drawing::new(self);
        let mut root = Scope {
            path: "",
            items: Vec::new(),
        };
        for boxed in 0..drawing.boxes.len() {
            root.insert(scopes(&drawing.head(boxed).name), boxed);
        }
        // By default, Mermaid breaks lines in a box after 200 pixels.
        drawing.line(0, r#"%%{init: {"flowchart": {"wrappingWidth": 600}}}%%"#);
        drawing.line(0, "flowchart TB");
        drawing.line(1, "classDef join fill:#ffe9bf,stroke:#b37400,color:#000");
        drawing.line(1, "classDef output stroke-width:3px");
        drawing.draw(&root, "", 1);
        drawing.draw_edges();
        drawing.text
    }
}

/// The maximum nesting of frames; deeper ones are not drawn.
const DEEPEST: usize = 8;

/// The scopes of a node, from the outermost inwards, up to [`DEEPEST`]: `a` and `a.b` for
/// `a.b.conv`.
fn scopes(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('.')
        .take(DEEPEST)
        .map(|(dot, _)| &name[..dot])
}

/// The innermost scope of a node, at any depth.
fn scope(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(scope, _)| scope)
}

/// The contents of a frame, in the graph's order.
struct Scope<'a> {
    path: &'a str,
    items: Vec<Item<'a>>,
}

enum Item<'a> {
    Box(usize),
    Scope(Scope<'a>),
}

impl<'a> Scope<'a> {
    /// Inserts a box into the last scope of `path`, which starts below this one.
    fn insert(&mut self, mut path: impl Iterator<Item = &'a str>, boxed: usize) {
        let Some(next) = path.next() else {
            self.items.push(Item::Box(boxed));
            return;
        };
        for item in &mut self.items {
            if let Item::Scope(scope) = item
                && scope.path == next
            {
                return scope.insert(path, boxed);
            }
        }
        let mut scope = Scope {
            path: next,
            items: Vec::new(),
        };
        scope.insert(path, boxed);
        self.items.push(Item::Scope(scope));
    }

    /// The only box, if there is exactly one.
    fn only_box(&self) -> Option<usize> {
        match self.items[..] {
            [Item::Box(boxed)] => Some(boxed),
            [Item::Scope(ref scope)] => scope.only_box(),
            _ => None,
        }
    }
}

/// The text so far, and the boxes that it consists of.
struct Drawing<'a> {
    graph: &'a Graph,
    /// The nodes of each box: first the one that it is drawn for, then those that are lines in it.
    boxes: Vec<Vec<NodeId>>,
    /// The box of each node.
    box_of: Vec<usize>,
    text: String,
    frames: usize,
}

impl<'a> Drawing<'a> {
    fn new(graph: &'a Graph) -> Self {
        let mut drawing = Self {
            graph,
            boxes: Vec::new(),
            box_of: Vec::new(),
            text: String::new(),
            frames: 0,
        };
        let readers = graph.readers();
        for (id, _) in graph.iter() {
            let boxed = drawing.host(id, &readers).unwrap_or_else(|| {
                drawing.boxes.push(Vec::new());
                drawing.boxes.len() - 1
            });
            drawing.boxes[boxed].push(id);
            drawing.box_of.push(boxed);
        }
        drawing
    }

    /// The box in which a node is an additional line, if it has none of its own.
    fn host(&self, id: NodeId, readers: &[Vec<NodeId>]) -> Option<usize> {
        let node = &self.graph.nodes[id.0];
        let &[input] = node.inputs() else { return None };
        let host = self.box_of[input.0];
        let fits = is_line(&node.op)
            && !matches!(self.head(host).op, Op::Input | Op::Add | Op::Concat)
            && readers[input.0] == [id]
            && !self.graph.outputs.contains(&input)
            && scope(&self.graph.nodes[input.0].name) == scope(&node.name);
        fits.then_some(host)
    }

    /// The node that a box is drawn for.
    fn head(&self, boxed: usize) -> &'a Node {
        &self.graph.nodes[self.boxes[boxed][0].0]
    }

    /// Draws the contents of a scope inside the frame of the scope `frame`.
    fn draw(&mut self, scope: &Scope<'_>, frame: &str, depth: usize) {
        for item in &scope.items {
            let inner = match item {
                Item::Box(boxed) => {
                    self.draw_box(*boxed, frame, depth);
                    continue;
                }
                Item::Scope(inner) => inner,
            };
            if let Some(boxed) = inner.only_box() {
                self.draw_box(boxed, frame, depth);
                continue;
            }
            let (id, title) = (self.frames, escape(inner.path));
            self.frames += 1;
            self.line(depth, &format!("subgraph s{id}[\"{title}\"]"));
            self.draw(inner, inner.path, depth + 1);
            self.line(depth, "end");
        }
    }

    fn draw_box(&mut self, boxed: usize, frame: &str, depth: usize) {
        let head = self.head(boxed);
        let mut label = String::new();
        let mut shape = &head.shape;
        for id in &self.boxes[boxed] {
            let node = &self.graph.nodes[id.0];
            let (name, op) = (local(&node.name, frame), node.op.to_string());
            // Not "relu: relu".
            label += &if name == op {
                op
            } else {
                format!("{}: {op}", escape(name))
            };
            label += "<br>";
            shape = &node.shape;
        }
        let is_output = |id| self.graph.outputs.contains(id);
        let class = match head.op {
            _ if self.boxes[boxed].iter().any(is_output) => ":::output",
            Op::Add | Op::Concat => ":::join",
            _ => "",
        };
        let (open, close) = match head.op {
            Op::Input => ("([", "])"),
            Op::Add => ("((", "))"),
            Op::Concat => ("{{", "}}"),
            _ => ("[", "]"),
        };
        self.line(
            depth,
            &format!("n{boxed}{open}\"{label}{shape}\"{close}{class}"),
        );
    }

    /// An edge for each input of each box.
    fn draw_edges(&mut self) {
        for to in 0..self.boxes.len() {
            for input in &self.head(to).inputs {
                let from = self.box_of[input.0];
                self.line(1, &format!("n{from} --> n{to}"));
            }
        }
    }

    fn line(&mut self, depth: usize, line: &str) {
        self.text += &"  ".repeat(depth);
        self.text += line;
        self.text.push('\n');
    }
}

/// Whether an operation can be a line in its input's box: it changes values, not shapes.
fn is_line(op: &Op) -> bool {
    match op {
        Op::BatchNorm2d(_)
        | Op::Affine
        | Op::Relu
        | Op::Relu6
        | Op::LeakyRelu { .. }
        | Op::Sigmoid
        | Op::Softmax
        | Op::Dropout { .. } => true,
        Op::Input
        | Op::Conv2d(_)
        | Op::Linear(_)
        | Op::MaxPool2d(_)
        | Op::AvgPool2d(_)
        | Op::GlobalAvgPool2d
        | Op::AdaptiveAvgPool2d(_)
        | Op::Add
        | Op::Concat
        | Op::Slice { .. }
        | Op::PadChannels { .. }
        | Op::Flatten
        | Op::Upsample { .. }
        | Op::Reorg { .. }
        | Op::Pad { .. } => false,
    }
}

/// A name without the scope that the title of its frame shows.
fn local<'a>(name: &'a str, frame: &str) -> &'a str {
    name.strip_prefix(frame)
        .and_then(|name| name.strip_prefix('.'))
        .unwrap_or(name)
}

/// Escapes text for a quoted Mermaid label. Each character that might end the quotes, or start a
/// tag or Markdown, becomes its numeric character code. Mermaid recognises formulas (`$$`) and
/// icons (`fa:fa-ban`) even in that form, so the codes of `$` and `:` are followed by a zero-width
/// space.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '.' | '-' | '_' | ' ' => escaped.push(c),
            c if c.is_alphanumeric() => escaped.push(c),
            c if c.is_control() => escaped.push(' '),
            '$' | ':' => escaped += &format!("#{};#8203;", u32::from(c)),
            c => escaped += &format!("#{};", u32::from(c)),
        }
    }
    escaped
}
