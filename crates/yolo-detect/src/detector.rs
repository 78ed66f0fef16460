//! The detector: from a model's files and a picture to detections.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::{Executor, ExecutorKind, Options};
use image_data::{Letterbox, Picture};
use ndarray::{ArrayView, ArrayView3, ArrayViewD, Axis, Ix4};
use nn_layers::{Infer, Outputs, Params, Shape};

use crate::candidates::Candidates;
use crate::detection::{Detection, ScoreRule, clip_and_sort, score_each};
use crate::error::{Error, Result};
use crate::fit::Fit;
use crate::head::Head;
use crate::model::Model;
use crate::names::ClassNames;
use crate::network::Network;
use crate::nms::{NmsScope, non_max_suppression};
use crate::warning::Warning;

/// The files of a darknet model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DetectorFiles {
    /// The network's description.
    pub cfg: PathBuf,
    /// Its parameters.
    pub weights: PathBuf,
    /// The names of its classes, where there is such a file.
    pub names: Option<PathBuf>,
}

/// What is reported.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectorOptions {
    /// Objectness, and objectness times class probability, must be greater than this; from 0 to 1,
    /// default 0.25.
    pub threshold: f32,
    /// Of boxes with a greater intersection over union, only the best stays; from 0 to 1, default
    /// 0.45. With 1 all stay.
    pub nms: f32,
    /// For which classes a box is reported; default all over the threshold, as in darknet.
    pub score_rule: ScoreRule,
    /// Which boxes compete; default those of one class, as in darknet.
    pub nms_scope: NmsScope,
    /// The names of the classes to report; default none, which means all classes. Boxes of the
    /// other classes still compete as `nms_scope` says: the result is that for all classes without
    /// the others.
    pub classes: Vec<String>,
    /// How many scored boxes of a picture compete at most; default 1,048,576. Where there are more,
    /// those with the highest scores do, and [`Detector::left_out`] counts the others. A model for
    /// COCO has some thousands on a photo at a threshold of 0.001; the default is over the 851,760
    /// that YOLOv3 at 416 x 416 pixels can have at all.
    pub max_candidates: usize,
    /// How pictures are brought to the size of the network's input; default the letterbox, as in darknet.
    pub fit: Fit,
    /// How the network is compiled. Its memory limit, 8 GiB by default, does not count the picture and
    /// the network's input, of at most 1 GiB.
    pub engine: Options,
    /// What runs the network; default the compiled one.
    pub executor: ExecutorKind,
}

impl Default for DetectorOptions {
    fn default() -> Self {
        Self {
            threshold: 0.25,
            nms: 0.45,
            score_rule: ScoreRule::default(),
            nms_scope: NmsScope::default(),
            classes: Vec::new(),
            max_candidates: 1 << 20,
            fit: Fit::default(),
            engine: Options::default(),
            executor: ExecutorKind::default(),
        }
    }
}

impl DetectorOptions {
    pub(crate) fn check(&self) -> Result<()> {
        for (option, got) in [("threshold", self.threshold), ("nms", self.nms)] {
            if !(0.0..=1.0).contains(&got) {
                return Err(Error::Option {
                    option,
                    got: got.to_string(),
                    expected: "a number from 0 to 1",
                });
            }
        }
        if self.max_candidates == 0 {
            return Err(Error::Option {
                option: "max_candidates",
                got: "0".to_owned(),
                expected: "at least 1",
            });
        }
        Ok(())
    }
}

/// The durations of the steps of one detection.
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
/// The picture is fitted into the network's input, without distortion unless the option
/// [`fit`](DetectorOptions::fit) says otherwise ([`Letterbox`]). The heads' tensors are decoded ([`Head::decode`]) and scored ([`score`](crate::score)). The boxes are mapped
/// back to the picture, suppressed ([`non_max_suppression`]), clipped to the picture and sorted. A
/// box with no area left in the picture is dropped.
///
/// A detector owns its working memory, so [`detect`](Self::detect) takes it mutably. A clone shares
/// the weights and allocates memory of its own for its first picture: use one clone per thread.
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
/// let params = random_params(network.graph(), 1)?;
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
    warnings: Arc<[Warning]>,
    left_out: u64,
}

impl Detector {
    /// Reads a model from its files. [`warnings`](Self::warnings) then has what is odd about them.
    ///
    /// # Errors
    ///
    /// [`Error::File`] for what is wrong with a file, else as [`new`](Self::new).
    pub fn open(files: &DetectorFiles, options: DetectorOptions) -> Result<Self> {
        options.check()?;
        Self::from_model(Model::open_darknet(files)?, options)
    }

    /// Makes a detector from a model. Its settings apply if `options` come from [`Model::options`].
    /// [`warnings`](Self::warnings) are the model's.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn from_model(model: Model, options: DetectorOptions) -> Result<Self> {
        let (network, params, names, warnings) = model.into_parts();
        let names = Some(names).filter(|names| !names.is_empty());
        let detector = Self::new(network, params, names, options)?;
        Ok(Self {
            warnings: warnings.into(),
            ..detector
        })
    }

    /// Makes a detector from a network and its parameters.
    ///
    /// # Errors
    ///
    /// [`Error::NoHead`], [`Error::HeadClasses`] and [`Error::NotColour`] for a network that does not
    /// detect objects in colour pictures, [`Error::NamesCount`] for another number of names than
    /// classes, [`Error::UnknownClass`] and [`Error::Option`] for options, [`Error::Memory`] where the
    /// system has too little memory, [`Error::Engine`] where the network cannot be compiled.
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
                // `check` has compared the numbers of names and classes.
                if let Some(reported) = reported.get_mut(class) {
                    *reported = true;
                }
            }
        }
        let [channels, height, width] = network.input();
        if channels != 3 {
            return Err(Error::NotColour { got: channels });
        }
        let executor = compile(&network, params, &options).map_err(Box::new)?;
        let elements = 3 * height * width;
        let mut input = Vec::new();
        input
            .try_reserve_exact(elements)
            .map_err(|_| Error::Memory {
                what: "the network's input",
                bytes: 4 * elements as u64,
            })?;
        input.resize(elements, 0.0);
        Ok(Self {
            network: Arc::new(network),
            names: Arc::new(names),
            options,
            reported: reported.into(),
            executor,
            input,
            outputs: Outputs::new(),
            warnings: Arc::default(),
            left_out: 0,
        })
    }

    /// Finds the objects in `picture`: by falling score, equal scores by class.
    ///
    /// # Errors
    ///
    /// [`Error::OutputNotFinite`] where the network computed NaN or an infinity,
    /// [`Error::Picture`] and [`Error::Engine`] where the system has too little memory.
    pub fn detect(&mut self, picture: &Picture) -> Result<Vec<Detection>> {
        Ok(self.detect_timed(picture)?.0)
    }

    /// [`detect`](Self::detect) with the durations of its steps.
    ///
    /// # Errors
    ///
    /// As [`detect`](Self::detect).
    pub fn detect_timed(&mut self, picture: &Picture) -> Result<(Vec<Detection>, Timings)> {
        let _span = tracing::debug_span!("picture").entered();
        let start = Instant::now();
        let [channels, height, width] = self.network.input();
        let letterbox = self.options.fit.place(picture.size(), [height, width])?;
        letterbox
            .apply_into(picture, &mut self.input)
            .map_err(Box::new)?;
        let preprocess = start.elapsed();

        let start = Instant::now();
        let input = ArrayView::from_shape([1, channels, height, width], &self.input);
        let input = input.map_err(|_| Error::Internal {
            broken: "the detector's input has the size of the network's",
        })?;
        let inputs = [input.into_dyn()];
        let run = self.executor.run(&inputs, &mut self.outputs);
        run.map_err(Box::new)?;
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

    /// The options that the detector was made with.
    #[must_use]
    pub fn options(&self) -> &DetectorOptions {
        &self.options
    }

    /// What is odd about the model's files; empty for a detector made by [`new`](Self::new).
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// How many scored boxes of the last picture were over
    /// [`max_candidates`](DetectorOptions::max_candidates) and left out.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// From the heads' tensors to detections in the picture.
    fn find(&mut self, letterbox: &Letterbox) -> Result<Vec<Detection>> {
        let DetectorOptions {
            threshold,
            nms,
            score_rule,
            nms_scope,
            max_candidates,
            ..
        } = self.options;
        let (heads, tensors) = (self.network.heads(), &self.outputs.tensors);
        if heads.len() != tensors.len() {
            return Err(Error::Internal {
                broken: "a detector's network has one output for each head",
            });
        }
        let mut candidates = Candidates::new(max_candidates);
        for (head, output) in heads.iter().zip(tensors) {
            if let Some(&value) = output.iter().find(|value| !value.is_finite()) {
                let layer = head.layer;
                return Err(Error::OutputNotFinite { layer, value });
            }
            let output = of_one_picture(head, output.view())?;
            head.for_each_prediction(output, threshold, |prediction| {
                score_each(&prediction, score_rule, threshold, |found| {
                    candidates.push(found);
                });
            })?;
        }
        let (mut candidates, left_out) = candidates.finish();
        self.left_out = left_out;
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
}

/// The `[c, h, w]` of a head's tensor `[1, c, h, w]`.
fn of_one_picture<'a>(head: &Head, output: ArrayViewD<'a, f32>) -> Result<ArrayView3<'a, f32>> {
    let wrong = Error::HeadShape {
        layer: head.layer,
        expected: head.shape(),
        got: output.shape().to_vec(),
    };
    match output.into_dimensionality::<Ix4>() {
        Ok(output) if output.dim().0 == 1 => Ok(output.index_axis_move(Axis(0), 0)),
        _ => Err(wrong),
    }
}

/// Makes the executor and allocates the memory to run it on one picture.
fn compile(
    network: &Network,
    params: Params<f32>,
    options: &DetectorOptions,
) -> engine::Result<Executor> {
    let DetectorOptions {
        engine, executor, ..
    } = options;
    let mut executor = Executor::new(*executor, network.graph(), params, engine)?;
    let [channels, height, width] = network.input();
    executor.prepare(&[Shape::from([1, channels, height, width])])?;
    Ok(executor)
}
