//! A detector: from a model's files and a picture to detections.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::{Options, Plan, Session};
use image_data::{Letterbox, Picture};
use ndarray::{ArrayView, ArrayViewD, Ix4};
use nn_layers::{Infer, Outputs, Params, Shape};

use crate::cfg::Cfg;
use crate::detection::{Detection, ScoreRule, clip_and_sort, score};
use crate::error::{Error, Result};
use crate::head::Head;
use crate::names::ClassNames;
use crate::network::Network;
use crate::nms::{NmsScope, non_max_suppression};
use crate::weights::Weights;

/// The files of a darknet model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DetectorFiles {
    /// The network's description.
    pub cfg: PathBuf,
    /// Its parameters.
    pub weights: PathBuf,
    /// The names of its classes, if there is such a file.
    pub names: Option<PathBuf>,
}

/// What counts as found.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectorOptions {
    /// Objectness, and objectness times class probability, must be greater; from 0 to 1, default
    /// 0.25.
    pub threshold: f32,
    /// Of boxes whose intersection over union is greater, the best stays; from 0 to 1, default
    /// 0.45. With 1 all stay.
    pub nms: f32,
    /// Which classes one box may be reported for; default every class, as in darknet.
    pub score_rule: ScoreRule,
    /// Which boxes compete; default those of one class, as in darknet.
    pub nms_scope: NmsScope,
    /// Names of the classes to report; default none, which stands for all. Boxes of other classes
    /// still compete with these where `nms_scope` says so: the result is the one for all classes,
    /// less the others.
    pub classes: Vec<String>,
}

impl Default for DetectorOptions {
    fn default() -> Self {
        Self {
            threshold: 0.25,
            nms: 0.45,
            score_rule: ScoreRule::default(),
            nms_scope: NmsScope::default(),
            classes: Vec::new(),
        }
    }
}

impl DetectorOptions {
    fn check(&self) -> Result<()> {
        for (option, got) in [("threshold", self.threshold), ("nms", self.nms)] {
            if !(0.0..=1.0).contains(&got) {
                return Err(Error::Option {
                    option,
                    got,
                    expected: "a number from 0 to 1",
                });
            }
        }
        Ok(())
    }
}

/// How long the steps of one detection took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// From the picture to the network's input.
    pub preprocess: Duration,
    /// From the network's input to its outputs.
    pub network: Duration,
    /// From the network's outputs to detections.
    pub postprocess: Duration,
}

/// Finds objects in pictures with a darknet model.
///
/// The picture is fitted into the network's input without distortion ([`Letterbox`]); the heads'
/// tensors are decoded ([`Head::decode`]), scored ([`score`]), mapped back to the picture, thinned
/// out ([`non_max_suppression`]), cut to the picture and sorted. What of a box lies outside the
/// picture is cut off; a box of which nothing is left is dropped.
///
/// A detector keeps the memory it works in, so [`detect`](Self::detect) takes it mutably. A clone
/// shares the weights and makes its own memory at its first picture: one clone a thread.
///
/// ```
/// use image_data::Picture;
/// use nn_layers::random_params;
/// use yolo_detect::cfg::Cfg;
/// use yolo_detect::{Detector, DetectorOptions, Network};
///
/// // A grid of one row and two columns, with one anchor and one class.
/// let cfg = "[net]\nwidth=64\nheight=32\nchannels=3\n\
///     [convolutional]\nfilters=6\nsize=32\nstride=32\nactivation=linear\n\
///     [yolo]\nclasses=1\nnum=1\nanchors=16,16\n";
/// let network = Network::new(&Cfg::parse(cfg)?)?;
/// // Weights that were trained come from a file: `Detector::open`.
/// let params = random_params(network.graph(), 1);
/// let options = DetectorOptions { threshold: 0.01, ..DetectorOptions::default() };
/// let mut detector = Detector::new(network, params, None, options)?;
///
/// let picture = Picture::from_rgb(100, 50, 300, &[128; 15_000])?;
/// let found = detector.detect(&picture)?;
/// assert!(!found.is_empty());
/// assert!(found.iter().all(|one| one.score >= 0.01 && one.class == 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Detector {
    network: Arc<Network>,
    names: Arc<ClassNames>,
    options: DetectorOptions,
    /// For each class whether it is reported.
    reported: Arc<[bool]>,
    executor: Executor,
    input: Vec<f32>,
    outputs: Outputs,
}

impl Detector {
    /// Reads a model from its files.
    ///
    /// Warnings about the cfg go to `tracing`; use [`Cfg::open`] and [`new`](Self::new) to see
    /// them as values.
    ///
    /// # Errors
    ///
    /// [`Error::File`] for what is wrong with a file, else as [`new`](Self::new).
    pub fn open(files: &DetectorFiles, options: DetectorOptions) -> Result<Self> {
        let _span = tracing::info_span!("load", cfg = %files.cfg.display()).entered();
        options.check()?;
        let build = |cfg: &Cfg| {
            let network = Network::new(cfg)?;
            let classes = network.classes()?;
            Ok((network, classes))
        };
        let (network, classes) =
            build(&Cfg::open(&files.cfg)?).map_err(|error: Error| error.in_file(&files.cfg))?;
        let names = match &files.names {
            None => None,
            Some(path) => {
                let names = ClassNames::open(path)?;
                names.check(classes).map_err(|error| error.in_file(path))?;
                Some(names)
            }
        };
        let weights = Weights::open(&files.weights, &network)?;
        Self::new(network, weights.params, names, options)
    }

    /// A detector for a network with these parameters.
    ///
    /// # Errors
    ///
    /// [`Error::NoHead`], [`Error::HeadClasses`] and [`Error::NotColour`] for a network that is no
    /// detector of pictures, [`Error::NamesCount`] for names of other classes,
    /// [`Error::UnknownClass`] and [`Error::Option`] for options, [`Error::Engine`] for parameters
    /// that do not fit and for memory that is not to be had.
    pub fn new(
        network: Network,
        params: Params<f32>,
        names: Option<ClassNames>,
        options: DetectorOptions,
    ) -> Result<Self> {
        options.check()?;
        let classes = network.classes()?;
        if let Some(names) = &names {
            names.check(classes)?;
        }
        let names = names.unwrap_or_default();
        let mut reported = vec![options.classes.is_empty(); classes];
        for name in &options.classes {
            for class in names.find(name)? {
                reported[class] = true;
            }
        }
        let [channels, height, width] = network.input();
        if channels != 3 {
            return Err(Error::NotColour { got: channels });
        }
        let executor = Executor::new(&network, params)?;
        Ok(Self {
            network: Arc::new(network),
            names: Arc::new(names),
            options,
            reported: reported.into(),
            executor,
            input: vec![0.0; 3 * height * width],
            outputs: Outputs::new(),
        })
    }

    /// The objects in `picture`, by falling score; equals by class.
    ///
    /// # Errors
    ///
    /// [`Error::OutputNaN`] where the network computed NaN, [`Error::Picture`] where memory runs
    /// out.
    pub fn detect(&mut self, picture: &Picture) -> Result<Vec<Detection>> {
        Ok(self.detect_timed(picture)?.0)
    }

    /// [`detect`](Self::detect), and how long its steps took.
    ///
    /// # Errors
    ///
    /// As [`detect`](Self::detect).
    pub fn detect_timed(&mut self, picture: &Picture) -> Result<(Vec<Detection>, Timings)> {
        let _span = tracing::debug_span!("picture").entered();
        let start = Instant::now();
        let [channels, height, width] = self.network.input();
        let letterbox = Letterbox::new(picture.size(), [height, width]).map_err(Box::new)?;
        letterbox
            .apply_into(picture, &mut self.input)
            .map_err(Box::new)?;
        let preprocess = start.elapsed();

        let start = Instant::now();
        let input = ArrayView::from_shape([1, channels, height, width], &self.input);
        let input = input.map_err(|_| self.input_error())?.into_dyn();
        self.executor.run(&input, &mut self.outputs)?;
        let network = start.elapsed();

        let start = Instant::now();
        let detections = self.find(&letterbox)?;
        let postprocess = start.elapsed();
        Ok((
            detections,
            Timings {
                preprocess,
                network,
                postprocess,
            },
        ))
    }

    /// The model's network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The names of the classes; empty if none were given.
    #[must_use]
    pub fn names(&self) -> &ClassNames {
        &self.names
    }

    /// What counts as found.
    #[must_use]
    pub fn options(&self) -> &DetectorOptions {
        &self.options
    }

    /// From the heads' tensors to detections in the picture.
    fn find(&self, letterbox: &Letterbox) -> Result<Vec<Detection>> {
        let DetectorOptions {
            threshold,
            nms,
            score_rule,
            nms_scope,
            ..
        } = self.options;
        let mut candidates = Vec::new();
        for (head, output) in self.network.heads().iter().zip(&self.outputs.tensors) {
            let predictions = head.decode(of_one_picture(head, &output.view())?, threshold)?;
            candidates.extend(score(&predictions, score_rule, threshold));
        }
        for candidate in &mut candidates {
            candidate.bbox = letterbox.to_picture(candidate.bbox);
        }
        let kept = non_max_suppression(&candidates, nms, nms_scope);
        let is_reported = |detection: &Detection| self.reported.get(detection.class) == Some(&true);
        let found = kept
            .into_iter()
            .map(|index| candidates[index])
            .filter(is_reported)
            .collect();
        Ok(clip_and_sort(found, letterbox.picture()))
    }

    fn input_error(&self) -> Error {
        let shape = self.network.input();
        Error::HeadShape {
            layer: 0,
            expected: shape,
            got: vec![self.input.len()],
        }
    }
}

/// The `[c, h, w]` of a head's tensor `[1, c, h, w]`.
fn of_one_picture<'a>(
    head: &Head,
    output: &'a ArrayViewD<'_, f32>,
) -> Result<ndarray::ArrayView3<'a, f32>> {
    let wrong = || Error::HeadShape {
        layer: head.layer,
        expected: head.shape(),
        got: output.shape().to_vec(),
    };
    let output = output
        .view()
        .into_dimensionality::<Ix4>()
        .map_err(|_| wrong())?;
    if output.dim().0 != 1 {
        return Err(wrong());
    }
    Ok(output.index_axis_move(ndarray::Axis(0), 0))
}

/// The compiled network, and a session of it for one picture at a time.
#[derive(Debug)]
struct Executor {
    plan: Plan,
    input: Shape,
    session: Option<Session>,
}

/// Shares the weights; the session is made at the first run.
impl Clone for Executor {
    fn clone(&self) -> Self {
        Self {
            plan: self.plan.clone(),
            input: self.input.clone(),
            session: None,
        }
    }
}

impl Executor {
    fn new(network: &Network, params: Params<f32>) -> Result<Self> {
        let plan = Plan::compile(network.graph(), params, &Options::default()).map_err(Box::new)?;
        let [channels, height, width] = network.input();
        let input = Shape::from([1, channels, height, width]);
        let session = Some(
            plan.session(std::slice::from_ref(&input))
                .map_err(Box::new)?,
        );
        Ok(Self {
            plan,
            input,
            session,
        })
    }

    fn run(&mut self, input: &ArrayViewD<'_, f32>, outputs: &mut Outputs) -> Result<()> {
        let session = match &mut self.session {
            Some(session) => session,
            empty => {
                let shapes = std::slice::from_ref(&self.input);
                empty.insert(self.plan.session(shapes).map_err(Box::new)?)
            }
        };
        Ok(session.run(&[input.view()], outputs).map_err(Box::new)?)
    }
}
