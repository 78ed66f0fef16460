//! Style transfer: a picture with the content of one picture and the style of another.

mod loss;
mod nodes;
mod options;
mod smoothness;

use engine::{Options, Plan, TrainingSession};
use image_data::{ChannelOrder, Picture, Preprocessing};
use ndarray::{ArrayD, ArrayViewD, Axis};
use nn_layers::{
    Adam, Graph, Optimiser, OptimiserOptions, Params, Slot, StepKey, Terms, TrainBackend, TrainSpec,
};

use self::loss::{StyleLoss, gram};
use self::nodes::Nodes;
pub use self::options::StyleOptions;
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
/// total   = content + strength · style + smoothness · mean (x_p - x_q)²
/// ```
///
/// where `x_p - x_q` is the difference of two neighbouring pixels, vertically or horizontally, and
/// the mean is over all pixels and channels. A Gram matrix says which channels are active together
/// and not where, so it describes colours and textures. Both losses are relative to the picture that
/// they aim at; in the paper they are not, and the weights of the layers have to make up for it. Since
/// `G` is a mean over pixels, the two pictures may have different sizes.
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
/// use transfer::{StyleOptions, StylePictures, StyleTransfer};
///
/// // A backbone of two layers. A trained one gives better pictures.
/// let mut b = GraphBuilder::new();
/// let x = b.input("image", [1, 3, 24, 32])?;
/// let x = b.conv2d("conv1", x, Conv2d::new(8, [3, 3]))?;
/// let x = b.relu("relu1", x)?;
/// let x = b.conv2d("conv2", x, Conv2d::new(8, [3, 3]).stride([2, 2]))?;
/// let graph = b.finish(&[x])?;
/// let params = random_params(&graph, 1)?;
///
/// let grey = Picture::from_rgb(32, 24, 96, &[90; 2304])?;
/// let stripes: Vec<u8> = (0..2304).map(|i| if i / 96 % 4 < 2 { 250 } else { 20 }).collect();
/// let stripes = Picture::from_rgb(32, 24, 96, &stripes)?;
/// let pictures = StylePictures { content: &grey, style: &stripes };
/// let options = StyleOptions::new(["conv2"], ["relu1", "conv2"]);
/// let mut transfer = StyleTransfer::new(
///     &graph, &params, &Preprocessing::cifar(), pictures, &options, &Options::default(),
/// )?;
/// let first = transfer.step()?;
/// for _ in 0..20 {
///     transfer.step()?;
/// }
/// assert!(transfer.losses()?.style < first.style);
/// assert_eq!(transfer.picture()?.size(), [24, 32]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct StyleTransfer {
    session: TrainingSession,
    loss: StyleLoss<f32>,
    optimiser: Optimiser<f32>,
    rate: f64,
    smoothness: f64,
    preprocessing: Preprocessing,
    /// The picture as the network's input, `[1, C, H, W]`.
    input: ArrayD<f32>,
    /// For each channel, the inputs of black and of white.
    range: Vec<[f32; 2]>,
    steps: u64,
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
    /// The sum of the losses with their weights, and of the weighted smoothness.
    pub total: f64,
}

/// The name of the only parameter.
const PICTURE: &str = "picture";

impl StyleTransfer {
    /// Prepares the transfer. The `preprocessing` says how a pixel becomes the network's input; its
    /// resize and crop are ignored, so both pictures keep their sizes. The result has that of the
    /// content picture.
    ///
    /// # Errors
    ///
    /// [`Error::StyleOption`] for an option out of range, [`Error::UnknownNode`] for a name that is
    /// not a node's, [`Error::NotFeatures`] for a node whose tensor is not `[1, C, H, W]`,
    /// [`Error::Picture`] for a preprocessing that is not valid, and [`Error::Engine`] for parameters
    /// that do not fit, a picture that is too small for the network, and the memory limit.
    pub fn new(
        graph: &Graph,
        params: &Params<f32>,
        preprocessing: &Preprocessing,
        pictures: StylePictures<'_>,
        options: &StyleOptions,
        engine: &Options,
    ) -> Result<Self> {
        options.check()?;
        let preprocessing = Preprocessing {
            resize: None,
            crop: None,
            ..preprocessing.clone()
        };
        let (graph, nodes) = Nodes::select(graph, options)?;
        let params = read_by(&graph, params);

        let plan = Plan::compile(&graph, params.clone(), engine)?;
        let input = batch(&preprocessing, pictures.content)?;
        let content = nodes.of_content(plan.run_once(&[input.view()])?);
        let style_input = batch(&preprocessing, pictures.style)?;
        let style = nodes.of_style(plan.run_once(&[style_input.view()])?);

        let everything = graph.nodes().iter().map(|node| node.name().to_owned());
        let spec = TrainSpec {
            frozen: everything.collect(),
            dropout: false,
            grad_input: true,
            ..TrainSpec::default()
        };
        let mut picture = Params::new();
        picture.insert(PICTURE, Slot::Weight, input.clone());
        let method = OptimiserOptions {
            method: Adam::default().into(),
            ..OptimiserOptions::default()
        };
        Ok(Self {
            session: TrainingSession::new(&graph, params, spec, engine)?,
            loss: StyleLoss {
                content,
                style: style.iter().map(|tensor| gram(&tensor.view())).collect(),
                strength: options.strength,
                nodes,
            },
            optimiser: Optimiser::new(method, &picture)?,
            rate: options.rate,
            smoothness: options.smoothness,
            range: range(&preprocessing),
            preprocessing,
            input,
            steps: 0,
        })
    }

    /// Changes the picture by one step of Adam, and returns the losses before it.
    ///
    /// # Errors
    ///
    /// [`Error::Loss`] for a loss that is not finite, which means that the parameters are not those of
    /// a trained network; the picture is unchanged then. [`Error::Engine`] for too little memory.
    pub fn step(&mut self) -> Result<StyleLosses> {
        let terms = self.evaluate(self.input.clone().view())?;
        let gradients = self.session.gradients();
        let gradient = gradients.get("input");
        let mut gradient = gradient
            .ok_or_else(|| internal("the input has no gradient"))?
            .value
            .clone();
        let roughness = smoothness(&self.input, self.smoothness, &mut gradient);
        let losses = self.losses_of(&terms, roughness)?;

        let numbers = self.input.as_slice_mut();
        let numbers = numbers.ok_or_else(|| internal("the picture is not contiguous"))?;
        let gradient = gradient.as_slice();
        let gradient = gradient.ok_or_else(|| internal("the gradient is not contiguous"))?;
        self.optimiser
            .apply(PICTURE, numbers, gradient, self.rate, 1.0)?;
        for (mut plane, &[black, white]) in self.input.axis_iter_mut(Axis(1)).zip(&self.range) {
            plane.mapv_inplace(|x| x.clamp(black, white));
        }
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
        let terms = self.evaluate(self.input.clone().view())?;
        let roughness = smoothness(
            &self.input,
            self.smoothness,
            &mut ArrayD::zeros(self.input.raw_dim()),
        );
        self.losses_of(&terms, roughness)
    }

    /// Returns the losses of another picture, which must have the size of the content picture. Those of
    /// the style picture say how far the two are apart.
    ///
    /// # Errors
    ///
    /// [`Error::PictureSize`], and those of [`step`](Self::step).
    pub fn losses_of_picture(&mut self, picture: &Picture) -> Result<StyleLosses> {
        let expected = self.size();
        if picture.size() != expected {
            let got = picture.size();
            return Err(Error::PictureSize { got, expected });
        }
        let input = batch(&self.preprocessing, picture)?;
        let terms = self.evaluate(input.view())?;
        let mut unused = ArrayD::zeros(input.raw_dim());
        let roughness = smoothness(&input, self.smoothness, &mut unused);
        self.losses_of(&terms, roughness)
    }

    /// Returns the picture as it is now, each value rounded to the nearest byte.
    ///
    /// # Errors
    ///
    /// [`Error::Picture`] for too little memory.
    pub fn picture(&self) -> Result<Picture> {
        let order = match self.preprocessing.channels {
            ChannelOrder::Rgb => [0, 1, 2],
            ChannelOrder::Bgr => [2, 1, 0],
            ChannelOrder::Grey => [0, 0, 0],
        };
        let [height, width] = self.size();
        let mut rgb = Vec::with_capacity(3 * height * width);
        for y in 0..height {
            for x in 0..width {
                for channel in order {
                    let [black, white] = self.range[channel];
                    let share = (self.input[[0, channel, y, x]] - black) / (white - black);
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "from 0 to 255, and saturating"
                    )]
                    rgb.push((255.0 * share).round() as u8);
                }
            }
        }
        Ok(Picture::from_rgb(width, height, 3 * width, &rgb)?)
    }

    /// The picture's `[h, w]`.
    fn size(&self) -> [usize; 2] {
        [2, 3].map(|axis| self.input.len_of(Axis(axis)))
    }

    /// Computes the losses, and in the session the gradient of the input.
    fn evaluate(&mut self, input: ArrayViewD<'_, f32>) -> Result<Terms> {
        let key = StepKey::default();
        Ok(self.session.step(&[input], &self.loss, key)?)
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
            total: terms.total + self.smoothness * roughness,
        };
        match losses.total.is_finite() {
            true => Ok(losses),
            false => Err(Error::Loss { got: losses.total }),
        }
    }
}

/// The parameters that a graph reads.
fn read_by(graph: &Graph, params: &Params<f32>) -> Params<f32> {
    let mut own = Params::new();
    for spec in graph.param_specs() {
        if let Some(param) = params.get(spec.name()) {
            own.insert(spec.name(), param.slot, param.value.clone());
        }
    }
    own
}

/// A picture as a batch of one, `[1, C, H, W]`.
fn batch(preprocessing: &Preprocessing, picture: &Picture) -> Result<ArrayD<f32>> {
    let input = preprocessing.apply(picture)?;
    Ok(input.insert_axis(Axis(0)).into_dyn())
}

/// For each channel, the network's inputs of black and of white.
fn range(preprocessing: &Preprocessing) -> Vec<[f32; 2]> {
    let channels = preprocessing.mean.iter().zip(&preprocessing.std);
    let input = |pixel: f64, mean: f64, std: f64| ((pixel - mean) / std) as f32;
    channels
        .map(|(&mean, &std)| [0.0, 1.0].map(|pixel| input(pixel, mean, std)))
        .collect()
}

fn internal(what: &str) -> Error {
    Error::Internal {
        what: what.to_owned(),
    }
}
