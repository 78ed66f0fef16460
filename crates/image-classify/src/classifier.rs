//! The classifier: from a model file and a picture to classes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::{Executor, ExecutorKind, Options};
use image_data::{Dataset, Picture};
use ndarray::ArrayView;
use nn_layers::{Infer, Outputs, Shape};

use crate::description::Description;
use crate::error::Result;
use crate::evaluation::{Evaluation, EvaluationOptions, evaluate};
use crate::fit::Fit;
use crate::model::Model;
use crate::probabilities::{Probabilities, mean_softmax, rows};
use crate::relabelled::Relabelled;
use crate::views::Views;

/// How a [`Classifier`] is compiled and run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassifierOptions {
    /// How the network is compiled. Its memory limit, 8 GiB by default, does not count the picture and
    /// the network's input, of at most 1 GiB.
    pub engine: Options,
    /// What runs the network; default the compiled one.
    pub executor: ExecutorKind,
    /// The views of each picture that [`classify`](Classifier::classify) averages over; default the
    /// picture alone. [`evaluate`](Classifier::evaluate) always looks at the picture alone.
    pub views: Views,
}

/// The durations of the steps of one classification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// From the picture to the network's input.
    pub preprocess: Duration,
    /// From the network's input to its logits.
    pub network: Duration,
    /// From the logits to probabilities.
    pub postprocess: Duration,
}

/// Classifies pictures with a model.
///
/// The picture is preprocessed as the model file says ([`Fit`]), the network computes its logits, and
/// their softmax is the probability of each class.
///
/// A classifier owns its working memory, so [`classify`](Self::classify) takes it mutably. It grows with
/// the largest of the pictures' sizes ([`engine::Sessions`]). A clone shares the weights and allocates memory of
/// its own for its first picture: use one clone per thread.
///
/// ```
/// use image_classify::{Classifier, ClassifierOptions, Description, Model};
/// use image_data::Picture;
///
/// let mut description = Description::named("resnet20")?;
/// description.classes = ["circle", "star"].map(str::to_owned).to_vec();
/// description.architecture = description.architecture.with_classes(2);
/// // Parameters that were trained come from a file: `Classifier::open`.
/// let params = description.architecture.init(1)?;
/// let mut classifier =
///     Classifier::new(Model { description, params }, &ClassifierOptions::default())?;
///
/// let picture = Picture::from_rgb(64, 48, 192, &[128; 9216])?;
/// let probabilities = classifier.classify(&picture)?;
/// assert_eq!(probabilities.values.len(), 2);
/// assert!(probabilities.top(1)[0].probability >= 0.5);
/// // The network was trained on 32 x 32 pixels, so the picture was resized.
/// assert!(probabilities.unexpected_size.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Classifier {
    description: Arc<Description>,
    fit: Arc<Fit>,
    views: Views,
    executor: Executor,
    input: Vec<f32>,
    outputs: Outputs,
}

impl Classifier {
    /// Reads a model file, such as `convoxide train` writes.
    ///
    /// # Errors
    ///
    /// Those of [`Model::open`] and [`new`](Self::new).
    pub fn open(path: impl AsRef<Path>, options: &ClassifierOptions) -> Result<Self> {
        let path = path.as_ref();
        let model = Model::open(path)?;
        Self::new(model, options).map_err(|error| error.in_file(path))
    }

    /// Compiles a model.
    ///
    /// # Errors
    ///
    /// [`Error::Channels`](crate::Error::Channels) for a preprocessing that does not fit the network,
    /// [`Error::NoCrop`](crate::Error::NoCrop) for one without a crop if the [views](ClassifierOptions::views) are five crops, the family's error for a
    /// configuration that cannot be built, [`Error::Engine`](crate::Error::Engine) for a network that cannot be compiled or is
    /// over the memory limit.
    pub fn new(model: Model, options: &ClassifierOptions) -> Result<Self> {
        let Model {
            description,
            params,
        } = model;
        description.check_channels()?;
        let fit = description.fit();
        options.views.check(fit.preprocessing())?;
        let graph = description.architecture.graph()?;
        let executor = Executor::new(options.executor, &graph, params, &options.engine)?;
        Ok(Self {
            fit: Arc::new(fit),
            views: options.views,
            description: Arc::new(description),
            executor,
            input: Vec::new(),
            outputs: Outputs::new(),
        })
    }

    /// Computes the probability of each class for a picture: with several
    /// [views](ClassifierOptions::views), the mean of their probabilities.
    ///
    /// # Errors
    ///
    /// [`Error::OutputNotFinite`](crate::Error::OutputNotFinite) where the network computed NaN or an infinity, [`Error::Picture`](crate::Error::Picture) for
    /// a picture whose input would be too large, [`Error::Engine`](crate::Error::Engine) for one that is too small for the
    /// network or needs more memory than the limit.
    pub fn classify(&mut self, picture: &Picture) -> Result<Probabilities> {
        Ok(self.classify_timed(picture)?.0)
    }

    /// [`classify`](Self::classify) with the durations of its steps. The time to allocate memory for
    /// another size of input is not part of them.
    ///
    /// # Errors
    ///
    /// As [`classify`](Self::classify).
    pub fn classify_timed(&mut self, picture: &Picture) -> Result<(Probabilities, Timings)> {
        let _span = tracing::debug_span!("picture").entered();
        let preprocessing = self.fit.preprocessing();
        let [height, width] = preprocessing.output_size(picture.size())?;
        let views = self.views.count();
        let shape = [views, preprocessing.channels.count(), height, width];
        self.executor.prepare(&[Shape::from(shape)])?;
        let len = shape.iter().product();
        reserve(&mut self.input, len)?;

        let start = Instant::now();
        self.views
            .write(preprocessing, picture, width, &mut self.input)?;
        let preprocess = start.elapsed();

        let start = Instant::now();
        let got = self.input.len();
        let input =
            ArrayView::from_shape(shape, &self.input).map_err(|_| image_data::Error::Length {
                what: "the input",
                got,
                expected: len,
            })?;
        self.executor.run(&[input.into_dyn()], &mut self.outputs)?;
        let network = start.elapsed();

        let start = Instant::now();
        let classes = self.description.architecture.classes();
        let values = mean_softmax(rows(&self.outputs, [views, classes])?)?;
        let probabilities = Probabilities {
            values,
            unexpected_size: self.fit.unexpected(picture.size()),
        };
        let timings = Timings {
            preprocess,
            network,
            postprocess: start.elapsed(),
        };
        Ok((probabilities, timings))
    }

    /// Classifies all pictures of a dataset whose classes are the model's, in any order: they are
    /// matched by name, or by index if the model does not name them. `progress` is called with the
    /// number of pictures of each batch.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use image_classify::{Classifier, ClassifierOptions, Description, EvaluationOptions, Model};
    /// # use image_data::{Dataset, Shapes};
    /// # let shapes: Arc<dyn Dataset> = Arc::new(Shapes::range(0..16, [32, 32])?);
    /// # let mut description = Description::named("resnet20")?;
    /// # description.architecture = description.architecture.with_classes(8);
    /// # description.classes = shapes.classes().to_vec();
    /// # let params = description.architecture.init(1)?;
    /// # let options = ClassifierOptions::default();
    /// # let classifier = Classifier::new(Model { description, params }, &options)?;
    /// let evaluation = classifier.evaluate(shapes, &EvaluationOptions::default(), |_| ())?;
    /// println!("{:.1} % right", 100.0 * evaluation.top1);
    /// # assert_eq!(evaluation.pictures, 16);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Relabelled::new`] and [`evaluate`].
    pub fn evaluate(
        &self,
        dataset: Arc<dyn Dataset>,
        options: &EvaluationOptions,
        progress: impl FnMut(usize),
    ) -> Result<Evaluation> {
        let relabelled: Arc<dyn Dataset> = Arc::new(Relabelled::new(dataset, &self.description)?);
        let preprocessing = self.fit.preprocessing();
        let mut network = self.executor.clone();
        evaluate(&mut network, &relabelled, preprocessing, options, progress)
    }

    /// The network, its classes and its preprocessing.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The preprocessing, extended to pictures of an unexpected size.
    #[must_use]
    pub fn fit(&self) -> &Fit {
        &self.fit
    }

    /// What runs the network.
    #[must_use]
    pub fn executor(&self) -> &Executor {
        &self.executor
    }
}

/// Resizes to `len` values, whose content is unspecified.
fn reserve(input: &mut Vec<f32>, len: usize) -> Result<()> {
    input
        .try_reserve_exact(len.saturating_sub(input.len()))
        .map_err(|_| image_data::Error::NoMemory {
            bytes: (len as u64).saturating_mul(size_of::<f32>() as u64),
        })?;
    input.resize(len, 0.0);
    Ok(())
}
