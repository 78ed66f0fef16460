//! Style transfer: a picture with the content of one picture and the style of another.

mod loss;
mod nodes;
mod options;
mod pixels;
mod smoothness;

use engine::{Options, Plan, TrainingSession};
use image_data::{Picture, Preprocessing};
use ndarray::ArrayD;
use nn_layers::{
    Adam, Graph, Optimiser, OptimiserOptions, Params, Slot, StepKey, Terms, TrainBackend, TrainSpec,
};

use self::loss::{StyleLoss, content_of, gram};
use self::nodes::Nodes;
pub use self::options::{StyleLayers, StyleOptions};
use self::pixels::{Pixels, size_within};
use self::smoothness::smoothness;
use crate::error::{Error, Result};

/// Changes a picture, starting from the content picture, until its style is that of the style
/// picture.
///
/// The network is a frozen backbone, and the picture is the only parameter. Let `F`, `[C, H·W]`, be
/// the tensor of a node for the picture, and `G = F Fᵀ / (C·H·W)` its Gram matrix, `[C, C]`:
///
/// ```text
/// content = mean over the content nodes of Σ (F - F_content)² / Σ F_content²
/// style   = mean over the style nodes of   Σ (G - G_style)² / Σ G_style²
/// total   = content_weight · content + style_weight · style + smoothness · mean (x_p - x_q)²
/// ```
///
/// where `x_p - x_q` is the difference of two neighbouring pixels, vertically or horizontally, and
/// the mean is over all pixels and channels. A Gram matrix says which channels are active together
/// and not where, so it describes colours and textures. Since `G` is a mean over pixels, the two pictures
/// may have different sizes.
///
/// Both losses are relative to the picture that they aim at, so that layers with large values do not
/// outweigh the others. In the paper they are `1/2 Σ (F - F_content)²` and `Σ (G - G_style)² / (4 C² M²)`
/// for a node, with `G = F Fᵀ` and `M = H·W`, and the weights of the layers have to make up for it.
///
/// Each step is one step of Adam along the gradient of the total; a pixel that would leave the range
/// from black to white stays at its end. The result has the same bits for any number of threads.
///
/// Reference: Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks",
/// 2016, section 2; it minimises with L-BFGS, and has no smoothness.
///
/// ```
/// use engine::Options;
/// use image_data::{Picture, Preprocessing};
/// use nn_layers::{Conv2d, GraphBuilder, random_params};
/// use transfer::{Backbone, StyleLayers, StyleOptions, StylePictures, StyleTransfer};
///
/// // A backbone of two layers. A trained one gives better pictures.
/// let mut b = GraphBuilder::new();
/// let x = b.input("image", [1, 3, 24, 32])?;
/// let x = b.conv2d("conv1", x, Conv2d::new(8, [3, 3]))?;
/// let x = b.relu("relu1", x)?;
/// let x = b.conv2d("conv2", x, Conv2d::new(8, [3, 3]).stride([2, 2]))?;
/// let graph = b.finish(&[x])?;
/// let params = random_params(&graph, 1)?;
/// let preprocessing = Preprocessing::cifar();
/// let backbone = Backbone { graph: &graph, params: &params, preprocessing: &preprocessing };
///
/// let grey = Picture::from_rgb(32, 24, 96, &[90; 2304])?;
/// let stripes: Vec<u8> = (0..2304).map(|i| if i / 96 % 4 < 2 { 250 } else { 20 }).collect();
/// let stripes = Picture::from_rgb(32, 24, 96, &stripes)?;
/// let pictures = StylePictures { content: &grey, style: &stripes };
/// let layers = StyleLayers::new(["conv2"], ["relu1", "conv2"]);
/// let options = StyleOptions { steps: 30, smoothness: 0.0, ..StyleOptions::default() };
/// let mut transfer =
///     StyleTransfer::new(backbone, pictures, &layers, &options, &Options::default())?;
///
/// let first = transfer.losses()?;
/// transfer.run(|step, losses| println!("step {step}: style loss {:.3}", losses.style))?;
/// assert!(transfer.losses()?.style < 0.5 * first.style);
/// assert_eq!(transfer.picture()?.size(), [24, 32]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StyleTransfer {
    session: TrainingSession,
    loss: StyleLoss<f32>,
    optimiser: Optimiser<f32>,
    options: StyleOptions,
    pixels: Pixels,
    distance: f64,
    steps: u64,
}

/// A trained network whose layers describe pictures. Its parameters do not change.
#[derive(Clone, Copy, Debug)]
pub struct Backbone<'a> {
    /// The network; the layers after the last one that is needed are not computed.
    pub graph: &'a Graph,
    /// Its parameters; others are ignored.
    pub params: &'a Params<f32>,
    /// How a pixel becomes the network's input; its resize and crop are ignored.
    pub preprocessing: &'a Preprocessing,
}

/// The two pictures of a [`StyleTransfer`].
#[derive(Clone, Copy, Debug)]
pub struct StylePictures<'a> {
    /// The picture that the transfer starts from, and whose content it keeps.
    pub content: &'a Picture,
    /// The picture whose style it takes.
    pub style: &'a Picture,
}

/// The losses of a picture: see [`StyleTransfer`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StyleLosses {
    /// The content loss: 0 for the content picture.
    pub content: f64,
    /// The style loss: 0 for a picture with the style picture's Gram matrices.
    pub style: f64,
    /// The weighted sum of the losses and of the smoothness.
    pub total: f64,
}

/// The name of the only parameter.
const PICTURE: &str = "picture";

impl StyleTransfer {
    /// Prepares the transfer.
    ///
    /// # Errors
    ///
    /// [`Error::StyleOption`] for an option out of range or an empty list of layers,
    /// [`Error::UnknownNode`] for a name that is not a node's, [`Error::NotFeatures`] for a node whose
    /// tensor is not `[1, C, H, W]`, [`Error::Picture`] for a preprocessing that is not valid, and
    /// [`Error::Engine`] for parameters that do not fit, a picture that is too small for the network, and
    /// the memory limit.
    pub fn new(
        backbone: Backbone<'_>,
        pictures: StylePictures<'_>,
        layers: &StyleLayers,
        options: &StyleOptions,
        engine: &Options,
    ) -> Result<Self> {
        options::check(layers, options)?;
        let (graph, nodes) = Nodes::select(backbone.graph, layers)?;
        let params = backbone.params.read_by(&graph);
        let plan = Plan::compile(&graph, params.clone(), engine)?;
        let look = |picture: &Picture, size: [usize; 2]| {
            let pixels = Pixels::new(picture, size, backbone.preprocessing)?;
            let outputs = plan.run_once(&[pixels.input().view()])?;
            Ok::<_, Error>((pixels, outputs))
        };

        let size = size_within(pictures.content.size(), options.size);
        let (pixels, outputs) = look(pictures.content, size)?;
        let content = nodes.of_content(&outputs);
        let own_size = size_within(pictures.style.size(), options.size);
        let style = nodes.of_style(&look(pictures.style, own_size)?.1);
        let other = nodes.of_content(&look(pictures.style, size)?.1);
        let distance = content_of(&other, &content);

        let everything = graph.nodes().iter().map(|node| node.name().to_owned());
        let spec = TrainSpec {
            frozen: everything.collect(),
            dropout: false,
            grad_input: true,
            ..TrainSpec::default()
        };
        let mut picture = Params::new();
        picture.insert(PICTURE, Slot::Weight, pixels.values.clone());
        let method = OptimiserOptions {
            method: Adam::default().into(),
            ..OptimiserOptions::default()
        };
        Ok(Self {
            session: TrainingSession::new(&graph, params, spec, engine)?,
            loss: StyleLoss {
                content,
                style: style.iter().map(|tensor| gram(&tensor.view())).collect(),
                content_weight: options.content_weight,
                style_weight: options.style_weight,
                nodes,
            },
            optimiser: Optimiser::new(method, &picture)?,
            options: options.clone(),
            pixels,
            distance,
            steps: 0,
        })
    }

    /// Takes the steps of the options. `progress` is called after each with the number of steps so far
    /// and the losses before it.
    ///
    /// # Errors
    ///
    /// Those of [`step`](Self::step).
    pub fn run(&mut self, mut progress: impl FnMut(u64, StyleLosses)) -> Result<()> {
        while self.steps < self.options.steps {
            let losses = self.step()?;
            progress(self.steps, losses);
        }
        Ok(())
    }

    /// Changes the picture by one step of Adam, and returns the losses before it.
    ///
    /// # Errors
    ///
    /// [`Error::Loss`] for a loss that is not finite, which means that the parameters are not those of
    /// a trained network; the picture is unchanged then. [`Error::Engine`] for too little memory.
    pub fn step(&mut self) -> Result<StyleLosses> {
        let terms = self.evaluate()?;
        let gradients = self.session.gradients();
        let gradient = gradients.get("input");
        let gradient = gradient.ok_or_else(|| internal("the input has no gradient"))?;
        let mut gradient = self.pixels.gradient(&gradient.value);
        let roughness = smoothness(&self.pixels.values, self.options.smoothness, &mut gradient);
        let losses = self.losses_of(&terms, roughness)?;

        let values = self.pixels.values.as_slice_mut();
        let values = values.ok_or_else(|| internal("the picture is not contiguous"))?;
        let gradient = gradient.as_slice();
        let gradient = gradient.ok_or_else(|| internal("the gradient is not contiguous"))?;
        self.optimiser
            .apply(PICTURE, values, gradient, self.options.rate, 1.0)?;
        self.pixels.values.mapv_inplace(|x| x.clamp(0.0, 1.0));
        self.steps += 1;
        Ok(losses)
    }

    /// Returns the number of steps so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Returns the losses of the picture as it is now.
    ///
    /// # Errors
    ///
    /// Those of [`step`](Self::step).
    pub fn losses(&mut self) -> Result<StyleLosses> {
        let terms = self.evaluate()?;
        let mut unused = ArrayD::zeros(self.pixels.values.raw_dim());
        let roughness = smoothness(&self.pixels.values, self.options.smoothness, &mut unused);
        self.losses_of(&terms, roughness)
    }

    /// Returns the content loss of the style picture, resized to the result's size: how far the two
    /// pictures are apart. It is the scale by which to judge a content loss.
    #[must_use]
    pub fn distance(&self) -> f64 {
        self.distance
    }

    /// Returns the picture as it is now, each value rounded to the nearest byte.
    ///
    /// # Errors
    ///
    /// [`Error::Picture`] for too little memory.
    pub fn picture(&self) -> Result<Picture> {
        self.pixels.picture()
    }

    /// Computes the losses, and in the session the gradient of the input.
    fn evaluate(&mut self) -> Result<Terms> {
        let input = self.pixels.input();
        let key = StepKey::default();
        Ok(self.session.step(&[input.view()], &self.loss, key)?)
    }

    fn losses_of(&self, terms: &Terms, roughness: f64) -> Result<StyleLosses> {
        let part = |name: &str| {
            let mut parts = terms.parts.iter();
            let found = parts.find(|(part, _)| part == name);
            found.map(|(_, value)| *value)
        };
        let missing = || internal("the loss has no parts");
        let losses = StyleLosses {
            content: part(loss::CONTENT).ok_or_else(missing)?,
            style: part(loss::STYLE).ok_or_else(missing)?,
            total: terms.total + self.options.smoothness * roughness,
        };
        match losses.total.is_finite() {
            true => Ok(losses),
            false => Err(Error::Loss { got: losses.total }),
        }
    }
}

fn internal(what: &str) -> Error {
    Error::Internal {
        what: what.to_owned(),
    }
}

#[cfg(test)]
mod tests;
