//! The features of a frozen backbone, computed once.

use std::borrow::Borrow;
use std::convert::Infallible;

use engine::{Options, TrainingSession};
use image_data::Order;
use ndarray::{ArrayD, ArrayViewD, Axis};
use nn_layers::{BoxedError, Graph, Loss, Params, Targets, Terms, TrainBatch, TrainSpec};

use crate::error::{Error, Result};
use crate::stages::is_within;

/// What a network computes below its trainable layers, for every sample of a dataset.
///
/// While the lower layers are frozen, they compute the same tensors in every epoch. The cache runs
/// them once and holds the result in memory; [`batches`](Self::batches) are the inputs of the
/// [rest of the network](Self::graph), which an epoch then trains in a fraction of the time. Training
/// it gives the same bits as training the whole network on the same batches.
///
/// The pictures are those of a single pass, so there is no augmentation that differs from epoch to
/// epoch.
///
/// ```
/// use ndarray::{Array4, ArrayD};
/// use nn_layers::{Conv2d, GraphBuilder, Linear, Targets, TrainBatch, random_params};
/// use transfer::{Batches, FeatureCache, FeatureCacheOptions, FineTune, Stages, fine_tune};
///
/// let mut b = GraphBuilder::new();
/// let x = b.input("image", [1, 3, 8, 8])?;
/// let x = b.conv2d("conv", x, Conv2d::new(16, [3, 3]))?;
/// let x = b.relu("relu", x)?;
/// let x = b.global_avg_pool2d("pool", x)?;
/// let x = b.flatten("flatten", x)?;
/// let x = b.linear("fc", x, Linear::new(2))?;
/// let graph = b.finish(&[x])?;
/// let params = random_params(&graph, 1)?;
///
/// // One pass over the pictures, usually a loader's.
/// let pictures = Array4::from_shape_fn([40, 3, 8, 8], |(n, ..)| (n % 2) as f32 - 0.5);
/// let all = TrainBatch {
///     inputs: vec![pictures.into_dyn()],
///     targets: Targets::Labels((0..40).map(|n| n % 2).collect()),
/// };
/// let frozen = ["conv".to_owned()];
/// let options = FeatureCacheOptions::default();
/// let once = [Ok::<_, nn_layers::Error>(&all)];
/// let cache = FeatureCache::new(&graph, &params, &frozen, once, &options)?;
/// assert_eq!((cache.len(), cache.bytes()), (40, 40 * 16 * 4));
///
/// let head = cache.graph();
/// let batches = Batches {
///     per_epoch: cache.batches_per_epoch(),
///     train: |epoch, first| cache.batches(epoch, first),
///     valid: || cache.batches(0, 0),
/// };
/// let stages = Stages::new(head, [["fc"]])?;
/// let options = FineTune { rate: 0.1, epochs: 20, ..FineTune::default() };
/// let tuned = fine_tune(head, params, &stages, batches, &options, &mut ())?;
/// // The parameters are those of the whole network.
/// tuned.params.check(&graph)?;
/// assert_eq!(tuned.accuracy, Some(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FeatureCache {
    graph: Graph,
    spec: TrainSpec,
    /// For each batch of the pass, one tensor for each input of the rest of the network.
    passed: Vec<Vec<ArrayD<f32>>>,
    /// For each sample, its batch and its place in it.
    places: Vec<[usize; 2]>,
    labels: Vec<usize>,
    bytes: u64,
    batch_size: usize,
    order: Order,
    seed: u64,
}

/// The options of a [`FeatureCache`].
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureCacheOptions {
    /// The most bytes that the features may take. Default 2 GiB.
    pub memory_limit: u64,
    /// The number of samples in a batch, at least 1. Default 32.
    pub batch_size: usize,
    /// The order of the samples. Default shuffled, anew in each epoch.
    pub order: Order,
    /// The seed of the order. With the batch size and seed of an [`image_data::Loader`], the batches
    /// have its samples, if the cache was filled in the dataset's order. Default 0.
    pub seed: u64,
    /// How the frozen part is compiled, with its memory limit.
    pub engine: Options,
}

impl Default for FeatureCacheOptions {
    fn default() -> Self {
        Self {
            memory_limit: 2 << 30,
            batch_size: 32,
            order: Order::Shuffled,
            seed: 0,
            engine: Options::default(),
        }
    }
}

impl FeatureCache {
    /// Runs the part of the network below the trainable layers over these batches, which are all
    /// samples of a dataset, once. `frozen` is as in [`TrainSpec::frozen`].
    ///
    /// # Errors
    ///
    /// [`Error::NothingToCache`] if no layer below the trainable ones is frozen, or everything is;
    /// [`Error::FeatureMemory`] if the features take more memory than the limit;
    /// [`Error::FeatureShape`] for a batch whose features have another shape than those of the first,
    /// because its pictures have another size; [`Error::CacheTargets`] for targets that are not one
    /// label for each sample, such as those of mixup; the loader's and the engine's errors.
    pub fn new<L, E>(
        graph: &Graph,
        params: &Params<f32>,
        frozen: &[String],
        batches: impl IntoIterator<Item = Result<L, E>>,
        options: &FeatureCacheOptions,
    ) -> Result<Self>
    where
        L: Borrow<TrainBatch<f32, Targets<f32>>>,
        E: Into<BoxedError>,
    {
        let Cut { below, above } = Cut::new(graph, frozen)?;
        let remains = |name: &&String| {
            let mut nodes = above.nodes().iter();
            nodes.any(|node| is_within(node.name(), name))
        };
        let mut cache = Self {
            spec: TrainSpec {
                frozen: frozen.iter().filter(remains).cloned().collect(),
                ..TrainSpec::default()
            },
            graph: above,
            passed: Vec::new(),
            places: Vec::new(),
            labels: Vec::new(),
            bytes: 0,
            batch_size: options.batch_size.max(1),
            order: options.order,
            seed: options.seed,
        };
        // A frozen training session rather than an inference session: the latter folds batch
        // normalisations into weights, so its last bits are not those of training.
        let names = below.nodes().iter().map(|node| node.name().to_owned());
        let spec = TrainSpec {
            frozen: names.collect(),
            ..TrainSpec::default()
        };
        let mut session = TrainingSession::new(&below, params.clone(), spec, &options.engine)?;
        for (index, batch) in batches.into_iter().enumerate() {
            let batch = batch.map_err(nn_layers::Error::other)?;
            let TrainBatch { inputs, targets } = batch.borrow();
            let inputs: Vec<_> = inputs.iter().map(|input| input.view()).collect();
            session.step(&inputs, &NoLoss, index as u64)?;
            cache.add(session.outputs(), targets, options.memory_limit)?;
        }
        Ok(cache)
    }

    /// The rest of the network: its inputs are the features, under the names of their nodes.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// What to freeze in the [rest of the network](Self::graph): those of the frozen names that are
    /// still in it.
    #[must_use]
    pub fn spec(&self) -> &TrainSpec {
        &self.spec
    }

    /// The number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no samples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The bytes of the features.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The number of batches in an epoch.
    #[must_use]
    pub fn batches_per_epoch(&self) -> u64 {
        self.len().div_ceil(self.batch_size) as u64
    }

    /// The batches of an epoch, starting with the batch of index `first`, in the form that a trainer
    /// takes. None of them is an error.
    pub fn batches(
        &self,
        epoch: u64,
        first: u64,
    ) -> impl Iterator<Item = Result<TrainBatch<f32, Targets<f32>>, Infallible>> {
        let order = self.order.of_epoch(&self.labels, self.seed, epoch);
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let mut at = first.saturating_mul(self.batch_size);
        std::iter::from_fn(move || {
            let samples = order.get(at..)?;
            let samples = &samples[..samples.len().min(self.batch_size)];
            at += samples.len();
            (!samples.is_empty()).then(|| Ok(self.batch(samples)))
        })
    }

    /// The batch of these samples.
    fn batch(&self, samples: &[usize]) -> TrainBatch<f32, Targets<f32>> {
        let gather = |input: usize| {
            let of = |&sample: &usize| {
                let [batch, row] = self.places[sample];
                (&self.passed[batch][input], row)
            };
            let mut shape = samples
                .first()
                .map_or(Vec::new(), |first| of(first).0.shape().to_vec());
            shape[0] = samples.len();
            let mut tensor = ArrayD::zeros(shape);
            for (mut target, sample) in tensor.outer_iter_mut().zip(samples) {
                let (passed, row) = of(sample);
                target.assign(&passed.index_axis(Axis(0), row));
            }
            tensor
        };
        TrainBatch {
            inputs: (0..self.graph.inputs().len()).map(gather).collect(),
            targets: Targets::Labels(samples.iter().map(|&sample| self.labels[sample]).collect()),
        }
    }

    /// Adds the features of a batch.
    fn add(&mut self, features: &[ArrayD<f32>], targets: &Targets<f32>, limit: u64) -> Result<()> {
        let count = features.first().map_or(0, |tensor| tensor.shape()[0]);
        let labels = match targets {
            Targets::Labels(labels) if labels.len() == count => labels,
            Targets::Labels(labels) => {
                return Err(Error::CacheTargets {
                    got: format!("{} labels", labels.len()),
                    samples: count,
                });
            }
            Targets::Soft(_) => {
                return Err(Error::CacheTargets {
                    got: "soft targets".to_owned(),
                    samples: count,
                });
            }
        };
        for (input, tensor) in features.iter().enumerate() {
            let of_sample = |tensor: &ArrayD<f32>| tensor.shape()[1..].to_vec();
            let expected = self.passed.first().map(|first| of_sample(&first[input]));
            let got = of_sample(tensor);
            if let Some(expected) = expected.filter(|expected| *expected != got) {
                let id = self.graph.inputs().get(input);
                let node = id.and_then(|&id| self.graph.node(id));
                return Err(Error::FeatureShape {
                    node: node.map_or(String::new(), |node| node.name().to_owned()),
                    got,
                    expected,
                });
            }
        }
        let values: usize = features.iter().map(ArrayD::len).sum();
        let bytes = (values * size_of::<f32>()) as u64;
        if self.bytes + bytes > limit {
            return Err(Error::FeatureMemory {
                samples: self.len() + count,
                needed: self.bytes + bytes,
                limit,
            });
        }
        self.bytes += bytes;
        let batch = self.passed.len();
        self.places.extend((0..count).map(|row| [batch, row]));
        self.labels.extend(labels);
        self.passed.push(features.to_vec());
        Ok(())
    }
}

/// A network in two parts: below the trainable layers, and the rest.
struct Cut {
    below: Graph,
    above: Graph,
}

impl Cut {
    fn new(graph: &Graph, frozen: &[String]) -> Result<Self> {
        let spec = TrainSpec {
            frozen: frozen.to_vec(),
            ..TrainSpec::default()
        };
        let flow = spec.resolve(graph)?;
        if flow.learnt(graph).next().is_none() {
            return Err(Error::NothingToCache {
                what: "every layer is frozen, so there is nothing to train",
            });
        }
        let boundary = flow.boundary(graph);
        if boundary.iter().all(|id| graph.inputs().contains(id)) {
            return Err(Error::NothingToCache {
                what: "no layer below the trainable ones is frozen, so there are no features",
            });
        }
        Ok(Self {
            below: graph.with_outputs(&boundary)?,
            above: graph.with_inputs(&boundary)?,
        })
    }
}

/// A loss that asks for nothing.
struct NoLoss;

impl Loss<f32> for NoLoss {
    fn eval(
        &self,
        _outputs: &[ArrayViewD<'_, f32>],
        _grads: &mut [ArrayD<f32>],
    ) -> nn_layers::Result<Terms> {
        Ok(Terms::default())
    }
}
