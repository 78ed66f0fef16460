//! Grad-CAM: which parts of a picture speak for a class.

use engine::{Options, Plan, TrainingSession};
use image_data::{BBox, Picture};
use ndarray::{Array2, ArrayD, ArrayView4, ArrayViewD, Axis, Ix4};
use nn_layers::{
    Graph, Loss, Node, NodeId, Params, Shape, StepKey, Terms, TrainBackend, TrainSpec,
};

use crate::error::{Error, Result};
use crate::model::Model;
use crate::probabilities::{check_finite, softmax};

/// What [`grad_cam`] explains.
#[derive(Clone, Debug, Default)]
pub struct GradCamOptions {
    /// The index of the class; default: the most probable one.
    pub class: Option<usize>,
    /// The name of the node whose tensor is looked at; default: the last one before the logits that has
    /// more than one pixel.
    pub node: Option<String>,
    /// How the network is compiled.
    pub engine: Options,
}

/// Where in a picture a network sees a class: the result of [`grad_cam`].
#[derive(Clone, Debug, PartialEq)]
pub struct GradCam {
    /// The node whose tensor was looked at.
    pub node: String,
    /// The index of the class.
    pub class: usize,
    /// The network's logits, one for each class.
    pub logits: Vec<f32>,
    /// The weight of each of the node's channels.
    pub weights: Vec<f32>,
    /// The heat map in the node's resolution, `[h, w]`: not negative, and on no particular scale.
    pub map: Array2<f32>,
}

/// Computes the Grad-CAM of a classifier for an input, `[1, C, H, W]`.
///
/// Let `A`, `[K, h, w]`, be the tensor of a node, and `y` the logit of the class. The weight of a channel
/// is the spatial mean of the logit's gradient, and the map is the part of the weighted sum that speaks
/// for the class:
///
/// ```text
/// weight_k = 1 / (h w) Σ_ij ∂y / ∂A_kij
/// map      = ReLU(Σ_k weight_k A_k)
/// ```
///
/// The node's tensor is regarded as an input of the layers after it; paths that bypass the node are held
/// fixed. The logits are the graph's first output.
///
/// Reference: Selvaraju, Cogswell, Das, Vedantam, Parikh and Batra, "Grad-CAM: Visual Explanations from
/// Deep Networks via Gradient-based Localization", 2017, section 3.
///
/// ```
/// use image_classify::{GradCamOptions, grad_cam};
/// use ndarray::{Array4, array};
/// use nn_layers::{GraphBuilder, Linear, Params, Slot};
///
/// // The logits are weighted means of the three channels.
/// let mut b = GraphBuilder::new();
/// let x = b.input("image", [1, 3, 2, 2])?;
/// let pool = b.global_avg_pool2d("pool", x)?;
/// let flat = b.flatten("flat", pool)?;
/// let logits = b.linear("fc", flat, Linear::new(2))?;
/// let graph = b.finish(&[logits])?;
/// let mut params = Params::new();
/// params.insert("fc.weight", Slot::Weight, array![[1.0, 0.0, 0.0], [0.0, 4.0, -8.0]].into_dyn());
/// params.insert("fc.bias", Slot::Weight, array![0.0, 0.0].into_dyn());
///
/// let input = Array4::from_shape_fn([1, 3, 2, 2], |(_, _, y, x)| (2 * y + x) as f32 - 1.0);
/// let options = GradCamOptions { class: Some(1), ..GradCamOptions::default() };
/// let cam = grad_cam(&graph, &params, input.view(), &options)?;
/// assert_eq!(cam.weights, [0.0, 1.0, -2.0]);
/// assert_eq!(cam.map, array![[1.0, 0.0], [0.0, 0.0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`Error::UnknownNode`], [`Error::NoPixels`], [`Error::NodeUnused`] and [`Error::ClassIndex`] for
/// options that do not suit the network; [`Error::OutputNotFinite`]; [`Error::Engine`] for a network that
/// cannot be compiled, or over the memory limit.
pub fn grad_cam(
    graph: &Graph,
    params: &Params<f32>,
    input: ArrayView4<'_, f32>,
    options: &GradCamOptions,
) -> Result<GradCam> {
    // Auxiliary heads play no part.
    let logits: Vec<NodeId> = graph.outputs().iter().take(1).copied().collect();
    let classifier = graph.with_outputs(&logits)?;
    let graph = match &options.node {
        // A node beside the way to the logits deserves a message of its own.
        Some(name) if classifier.find(name).is_none() => {
            named(graph, name)?;
            return Err(Error::NodeUnused { name: name.clone() });
        }
        _ => &classifier,
    };
    let node = match &options.node {
        Some(name) => named(graph, name)?,
        None => last_with_pixels(graph, input.shape())?,
    };
    let name = name_of(graph, node);
    let lower = graph.with_outputs(&[node])?;
    let mut tensors = Plan::compile(&lower, params.read_by(&lower), &options.engine)?
        .run_once(&[input.into_dyn()])?;
    let tensor = tensors.pop().unwrap_or_default();
    let maps = tensor.view().into_dimensionality::<Ix4>();
    let maps = maps.map_err(|_| Error::NoPixels {
        name: name.clone(),
        got: tensor.shape().to_vec(),
    })?;

    let upper = graph.with_inputs(&[node])?;
    let entries: Vec<&str> = input_names(&upper).collect();
    let inputs: Vec<ArrayViewD<'_, f32>> = entries
        .iter()
        .map(|&entry| match entry == name {
            true => tensor.view(),
            false => input.into_dyn(),
        })
        .collect();
    let spec = TrainSpec {
        frozen: upper
            .nodes()
            .iter()
            .map(|node| node.name().to_owned())
            .collect(),
        dropout: false,
        grad_input: true,
        ..TrainSpec::default()
    };
    let params = params.read_by(&upper);
    let mut session = TrainingSession::new(&upper, params, spec, &options.engine)?;
    let score = Score {
        class: options.class,
    };
    session.step(&inputs, &score, StepKey::default())?;
    let output = session.outputs().first();
    let got = output.map_or(&[][..], |output| output.shape());
    let &[1, classes] = got else {
        let (got, expected) = (got.to_vec(), [1, got.get(1).copied().unwrap_or(1)]);
        return Err(Error::OutputShape { got, expected });
    };
    let logits: Vec<f32> = output.into_iter().flatten().copied().collect();
    let class = score.class_of(&logits);
    if class >= classes {
        return Err(Error::ClassIndex {
            got: class,
            classes,
        });
    }
    check_finite(ndarray::aview1(&logits))?;

    let gradients = session.gradients();
    // The name of an only input is always this.
    let key = if entries.len() == 1 { "input" } else { &name };
    let gradient = gradients.get(key).map(|gradient| gradient.value.view());
    let gradient = gradient.and_then(|gradient| gradient.into_dimensionality::<Ix4>().ok());
    let gradient = gradient.ok_or_else(|| Error::NodeUnused { name: name.clone() })?;
    let weights: Vec<f32> = gradient
        .index_axis(Axis(0), 0)
        .outer_iter()
        .map(|plane| plane.mean().unwrap_or(0.0))
        .collect();
    let mut map = Array2::zeros((maps.dim().2, maps.dim().3));
    for (&weight, plane) in weights.iter().zip(maps.index_axis(Axis(0), 0).outer_iter()) {
        map.scaled_add(weight, &plane);
    }
    map.mapv_inplace(|x: f32| x.max(0.0));
    Ok(GradCam {
        node: name,
        class,
        logits,
        weights,
        map,
    })
}

/// The loss whose gradient is that of a class's logit.
struct Score {
    /// `None` is the class with the largest logit.
    class: Option<usize>,
}

impl Score {
    /// The class; of several with the largest logit, the first.
    fn class_of(&self, logits: &[f32]) -> usize {
        let first_largest = || {
            let mut best = 0;
            for (class, logit) in logits.iter().enumerate() {
                if *logit > logits[best] {
                    best = class;
                }
            }
            best
        };
        self.class.unwrap_or_else(first_largest)
    }
}

impl Loss<f32> for Score {
    fn eval(
        &self,
        outputs: &[ArrayViewD<'_, f32>],
        grads: &mut [ArrayD<f32>],
    ) -> nn_layers::Result<Terms> {
        let mut total = 0.0;
        if let (Some(logits), Some(grad)) = (outputs.first(), grads.first_mut()) {
            let logits: Vec<f32> = logits.iter().copied().collect();
            let class = self.class_of(&logits);
            if let (Some(logit), Some(slope)) = (logits.get(class), grad.iter_mut().nth(class)) {
                total = f64::from(*logit);
                *slope = 1.0;
            }
        }
        Ok(Terms {
            total,
            parts: Vec::new(),
        })
    }
}

/// The Grad-CAM of a picture, see [`Model::explain`].
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The network's side of it.
    pub cam: GradCam,
    /// The probability of the class.
    pub probability: f32,
    /// The part of the picture that the network sees, in pixels; it may extend past the picture's edges.
    pub visible: BBox,
    /// One value for each of the picture's pixels, `[h, w]`: the map, enlarged bilinearly and divided by
    /// its largest value, so from 0 to 1. It is 0 outside of `visible`, and 0 everywhere if nothing
    /// speaks for the class.
    pub heat: Array2<f32>,
}

impl Model {
    /// Computes the [`grad_cam`] of a picture, and enlarges its map to the picture's size.
    ///
    /// The picture is preprocessed as for a [`Classifier`](crate::Classifier).
    ///
    /// ```
    /// use image_classify::{Description, GradCamOptions, Model};
    /// use image_data::Picture;
    ///
    /// let mut description = Description::named("resnet20")?;
    /// description.architecture = description.architecture.with_classes(2);
    /// let params = description.architecture.init(1)?;
    /// let model = Model { description, params };
    ///
    /// let picture = Picture::from_rgb(64, 48, 192, &[128; 9216])?;
    /// let explanation = model.explain(&picture, &GradCamOptions::default())?;
    /// assert_eq!(explanation.heat.dim(), (48, 64));
    /// assert_eq!(explanation.cam.map.dim(), (8, 8));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`grad_cam`]; [`Error::Channels`] for a preprocessing that does not fit the network,
    /// [`Error::Picture`] for a picture whose input would be too large.
    pub fn explain(&self, picture: &Picture, options: &GradCamOptions) -> Result<Explanation> {
        self.description.check_channels()?;
        let fit = self.description.fit();
        let preprocessing = fit.preprocessing();
        let input = preprocessing.apply(picture)?.insert_axis(Axis(0));
        let graph = self.description.architecture.graph()?;
        let cam = grad_cam(&graph, &self.params, input.view(), options)?;
        let probabilities = softmax(ndarray::aview1(&cam.logits))?;
        let visible = preprocessing.visible(picture.size())?;
        Ok(Explanation {
            probability: probabilities.get(cam.class).copied().unwrap_or(0.0),
            heat: enlarged(&cam.map, picture.size(), visible),
            visible,
            cam,
        })
    }
}

/// Enlarges a map that covers `visible` to a picture's size, `[h, w]`, and divides it by its largest
/// value. The value of a cell is that of its centre, and beyond the outermost centres it is constant.
fn enlarged(map: &Array2<f32>, size: [usize; 2], visible: BBox) -> Array2<f32> {
    let largest = map.fold(0.0f32, |most, &x| most.max(x));
    let (rows, columns) = map.dim();
    if largest <= 0.0 || rows == 0 || columns == 0 {
        return Array2::zeros(size);
    }
    let vertical = taps(size[0], [visible.y1, visible.y2], rows);
    let horizontal = taps(size[1], [visible.x1, visible.x2], columns);
    Array2::from_shape_fn(size, |(y, x)| match (vertical[y], horizontal[x]) {
        (Some((top, bottom, down)), Some((left, right, across))) => {
            let row = |y: usize| (1.0 - across) * map[[y, left]] + across * map[[y, right]];
            ((1.0 - down) * row(top) + down * row(bottom)) / largest
        }
        _ => 0.0,
    })
}

/// For each of `pixels` pixels, the two cells around its centre and the weight of the second; `None`
/// outside of the span.
fn taps(pixels: usize, [start, end]: [f32; 2], cells: usize) -> Vec<Option<(usize, usize, f32)>> {
    let per_pixel = cells as f32 / (end - start).max(f32::MIN_POSITIVE);
    let tap = |pixel: usize| {
        let centre = pixel as f32 + 0.5;
        (start..=end).contains(&centre).then(|| {
            let last = cells.saturating_sub(1);
            let at = ((centre - start) * per_pixel - 0.5).clamp(0.0, last as f32);
            let first = (at.floor() as usize).min(last);
            (first, (first + 1).min(last), at - first as f32)
        })
    };
    (0..pixels).map(tap).collect()
}

fn named(graph: &Graph, name: &str) -> Result<NodeId> {
    graph.find(name).ok_or_else(|| {
        let near = files::nearest(name, graph.nodes().iter().map(Node::name));
        Error::UnknownNode {
            name: name.to_owned(),
            near: near.into_iter().map(str::to_owned).collect(),
        }
    })
}

/// The last node that has more than one pixel for this input.
fn last_with_pixels(graph: &Graph, input: &[usize]) -> Result<NodeId> {
    let shapes = graph.infer(&[Shape::from(input.to_vec())])?;
    let mut nodes = graph.iter().zip(&shapes).rev();
    let found = nodes.find(|(_, shape)| matches!(shape.nchw(), Some([_, _, h, w]) if h * w > 1));
    let found = found.map(|((id, _), _)| id);
    found.ok_or_else(|| Error::NoPixels {
        name: graph
            .nodes()
            .last()
            .map_or_else(String::new, |node| node.name().to_owned()),
        got: shapes.last().map_or_else(Vec::new, |shape| shape.to_vec()),
    })
}

fn name_of(graph: &Graph, id: NodeId) -> String {
    graph
        .node(id)
        .map_or_else(String::new, |node| node.name().to_owned())
}

fn input_names(graph: &Graph) -> impl Iterator<Item = &str> {
    let nodes = graph.inputs().iter();
    nodes.filter_map(|&id| graph.node(id)).map(Node::name)
}

#[cfg(test)]
mod tests;
