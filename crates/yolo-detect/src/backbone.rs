//! The first layers of a network, from which other networks begin: darknet's `partial` weights.

use std::io::Read;
use std::path::Path;

use nn_layers::Params;

use crate::cfg::{Cfg, Layer};
use crate::error::{Error, Result};
use crate::network::Network;
use crate::read_file;
use crate::weights::{Weights, read_header, read_params};

/// The first layers of the network of a cfg, before its first head.
///
/// Its weights are the beginning of the network's. They are read from the network's own file, and from
/// a file that was cut at this layer or at a later one, as `darknet partial` writes it: of
/// `darknet19_448.conv.23`, the first 23 layers and none of the later ones.
///
/// ```
/// use yolo_detect::{Backbone, cfg::Cfg};
///
/// let cfg = Cfg::parse(
///     "[net]
///      width=64
///      height=32
///      channels=3
///      [convolutional]
///      batch_normalize=1
///      filters=8
///      size=3
///      stride=2
///      pad=1
///      activation=leaky
///      [maxpool]
///      size=2
///      stride=2
///      [convolutional]
///      filters=18
///      size=1
///      activation=linear
///      [yolo]
///      classes=1
///      num=3
///      anchors=4,4, 8,8, 16,16",
/// )?;
/// let backbone = Backbone::new(&cfg, 2)?;
/// let features = &backbone.network().layers()[1];
/// assert_eq!(features.shape.to_string(), "1x8x8x16");
///
/// // A header of 16 bytes, and the parameters of the first layer.
/// let mut file = vec![0; 16];
/// file.extend([0.5_f32; 8 * (4 + 3 * 3 * 3)].map(f32::to_le_bytes).as_flattened());
/// let params = backbone.read(&*file, file.len() as u64)?;
/// assert_eq!(params.get("0.conv.weight").unwrap().value.shape(), [8, 3, 3, 3]);
/// # Ok::<(), yolo_detect::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Backbone {
    network: Network,
    /// The number of values of the parameters up to the last layer of the backbone, and up to each
    /// layer after it.
    values: Vec<u64>,
}

impl Backbone {
    /// The first `layers` layers of a cfg.
    ///
    /// # Errors
    ///
    /// [`Error::Cut`] if the cfg has fewer, or for none; [`Error::CutBehindHead`] if a `[region]` or
    /// `[yolo]` is among them; those of [`Network::new`] for the whole cfg.
    pub fn new(cfg: &Cfg, layers: usize) -> Result<Self> {
        let all = cfg.layers.len();
        let kept = cfg.layers.get(..layers).unwrap_or_default();
        if kept.is_empty() {
            return Err(Error::Cut {
                got: layers,
                layers: all,
            });
        }
        let is_head = |layer: &Layer| matches!(layer, Layer::Region(_) | Layer::Yolo(_));
        if let Some(head) = kept.iter().position(|section| is_head(&section.layer)) {
            return Err(Error::CutBehindHead { got: layers, head });
        }
        let whole = Network::new(cfg)?;
        let values = whole.values_up_to().get(layers - 1..).unwrap_or_default();
        Ok(Self {
            network: Network::of_first(cfg, layers)?,
            values: values.to_vec(),
        })
    }

    /// The network of these layers. The output of its graph is that of the last layer: the features.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Reads the parameters of these layers from the weights file at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::File`] around what [`read`](Self::read) or the opening found.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Params<f32>> {
        let path = path.as_ref();
        let read = || {
            let (file, length) = read_file::open(path)?;
            self.read(file, length)
        };
        read().map_err(|error| error.in_file(path))
    }

    /// Reads the parameters of these layers from a weights file of `length` bytes, by the names of the
    /// graph: `0.conv.weight`, `0.bn.running_mean`. What follows them in the file is not read.
    ///
    /// # Errors
    ///
    /// [`Error::BackboneLength`] for a file that ends within a layer, before the last of the backbone,
    /// or behind the last of the cfg; the others of [`Weights::read`].
    pub fn read(&self, source: impl Read, length: u64) -> Result<Params<f32>> {
        let (header, mut source) = read_header(source, length)?;
        let bytes = |values: u64| header.bytes() as u64 + 4 * values;
        if !self.values.iter().any(|&values| bytes(values) == length) {
            let end = |values: Option<&u64>| bytes(values.copied().unwrap_or_default());
            return Err(Error::BackboneLength {
                layers: self.network.layers().len(),
                expected: end(self.values.first()),
                whole: end(self.values.last()),
                got: length,
            });
        }
        read_params(&mut source, &header, self.network.parameters())
    }

    /// The weights of these layers in the weights of the whole network.
    ///
    /// # Errors
    ///
    /// [`Error::MissingParameter`] for weights of another network.
    pub fn cut(&self, whole: &Weights) -> Result<Weights> {
        let mut params = Params::new();
        for spec in self.network.parameters() {
            let param = whole.params.get(spec.name());
            let param = param.ok_or_else(|| Error::MissingParameter {
                parameter: spec.name().to_owned(),
            })?;
            params.insert(spec.name(), param.slot, param.value.clone());
        }
        Ok(Weights {
            header: whole.header,
            params,
        })
    }
}
