//! Shared by several test files: darknet's cfg files, and random weights in darknet's format.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part"
)]

pub mod reference;

use image_data::Picture;
use ndarray::ArrayD;
use nn_layers::Params;
use yolo_detect::cfg::Cfg;
use yolo_detect::{Network, Weights, WeightsHeader};

/// Darknet's cfg files, each with the layers that darknet prints for it.
pub const REAL: [(&str, &str, &str); 3] = [
    ("yolov2", YOLOV2, include_str!("../cfg/yolov2.layers.txt")),
    (
        "yolov2-tiny",
        YOLOV2_TINY,
        include_str!("../cfg/yolov2-tiny.layers.txt"),
    ),
    (
        "yolov3-tiny",
        YOLOV3_TINY,
        include_str!("../cfg/yolov3-tiny.layers.txt"),
    ),
];
pub const YOLOV2: &str = include_str!("../cfg/yolov2.cfg");
pub const YOLOV2_TINY: &str = include_str!("../cfg/yolov2-tiny.cfg");
pub const YOLOV3_TINY: &str = include_str!("../cfg/yolov3-tiny.cfg");

/// Returns the network of a valid cfg.
pub fn network(cfg: &str) -> Network {
    Network::new(&Cfg::parse(cfg).unwrap()).unwrap()
}

/// Returns a cfg with a `[net]` of this size, three channels, and `layers` below it.
pub fn net(height: usize, width: usize, layers: &str) -> String {
    format!("[net]\nwidth={width}\nheight={height}\nchannels=3\n{layers}")
}

/// Two heads of three classes after a few convolutions.
pub const SMALL: &str = "[conv]\nbatch_normalize=1\nfilters=8\nsize=3\nstride=4\npad=1\nactivation=leaky\n\
    [conv]\nfilters=16\nsize=1\nactivation=linear\n\
    [yolo]\nclasses=3\nnum=2\nanchors=8,8,16,12\n\
    [route]\nlayers=0\n[maxpool]\nsize=2\nstride=2\n[conv]\nfilters=16\nsize=1\nactivation=linear\n\
    [yolo]\nclasses=3\nnum=2\nanchors=20,30,40,20\n";

/// The names of those classes.
pub const NAMES: &str = "cat\ndog\nbird\n";

pub fn small_network() -> Network {
    network(&net(32, 32, SMALL))
}

/// Returns a picture of random bytes.
pub fn noise(width: usize, height: usize, seed: u64) -> Picture {
    let byte = |i: usize| (word(seed, "noise", i as u64) >> 56) as u8;
    let bytes: Vec<u8> = (0..3 * width * height).map(byte).collect();
    Picture::from_rgb(width, height, 3 * width, &bytes).unwrap()
}

/// Seeded random weights, equal bit for bit to those of `goldens/random_weights.py`.
#[derive(Clone, Copy, Debug)]
pub struct RandomWeights {
    pub seed: u64,
    /// The factor of objectness and classes, in the layers before heads.
    pub scale_score: f64,
    /// The factor of `tx ty tw th`, in the same layers.
    pub scale_box: f64,
    pub header: WeightsHeader,
}

impl Default for RandomWeights {
    fn default() -> Self {
        let header = WeightsHeader {
            major: 0,
            minor: 2,
            revision: 0,
            seen: 0,
        };
        Self {
            seed: 1,
            scale_score: 1.0,
            scale_box: 1.0,
            header,
        }
    }
}

impl RandomWeights {
    pub fn make(&self, network: &Network) -> Weights {
        let mut params = Params::new();
        for spec in network.parameters() {
            let (node, local) = spec.name().rsplit_once('.').unwrap();
            let (number, kind) = node.split_once('.').unwrap();
            let number: usize = number.parse().unwrap();
            let units = units(self.seed, spec.name(), spec.elements());
            let values = match (kind, local) {
                ("conv", "weight") => {
                    let fan_in = spec.elements() / spec.shape()[0];
                    let values = centred(&units, fan_in);
                    self.scale(values, fan_in, number, network)
                }
                ("conv", "bias") => self.scale(signed(&units), 1, number, network),
                ("bn", "weight") => units.iter().map(|u| 0.75 + 0.5 * u).collect(),
                ("bn", "running_var") => units.iter().map(|u| 0.5 + u).collect(),
                ("bn", _) => signed(&units),
                _ => panic!("no formula for {}", spec.name()),
            };
            let values = values.into_iter().map(|value| value as f32).collect();
            let value = ArrayD::from_shape_vec(spec.shape().to_vec(), values).unwrap();
            params.insert(spec.name(), spec.slot(), value);
        }
        Weights {
            header: self.header,
            params,
        }
    }

    /// As [`make`](Self::make), but returns the bytes of a file.
    pub fn bytes(&self, network: &Network) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.make(network).write(&mut bytes, network).unwrap();
        bytes
    }

    /// Multiplies the values of a layer before a head by the scale of their output channel.
    fn scale(
        &self,
        mut values: Vec<f64>,
        per_channel: usize,
        number: usize,
        network: &Network,
    ) -> Vec<f64> {
        if let Some(head) = network.heads().iter().find(|head| head.layer == number + 1) {
            for (channel, values) in values.chunks_mut(per_channel).enumerate() {
                let entry = channel % (5 + head.classes);
                let scale = if entry < 4 {
                    self.scale_box
                } else {
                    self.scale_score
                };
                values.iter_mut().for_each(|value| *value *= scale);
            }
        }
        values
    }
}

/// Returns a convolution's weights: each is the difference from the next one in its filter, so a
/// filter sums to about 0.
fn centred(units: &[f64], fan_in: usize) -> Vec<f64> {
    let limit = (3.0 / (1.01 * fan_in as f64)).sqrt();
    let filters = units.chunks_exact(fan_in).map(|filter| {
        let v = |i: usize| 2.0 * filter[i] - 1.0;
        (0..fan_in)
            .map(|i| {
                limit
                    * (if fan_in > 1 {
                        v(i) - v((i + 1) % fan_in)
                    } else {
                        v(i)
                    })
            })
            .collect::<Vec<f64>>()
    });
    filters.flatten().collect()
}

fn signed(units: &[f64]) -> Vec<f64> {
    units.iter().map(|u| (2.0 * u - 1.0) * 0.2).collect()
}

/// Returns the first `count` values, in [0, 1), of the stream `name`: see `goldens/portable.py`.
fn units(seed: u64, name: &str, count: usize) -> Vec<f64> {
    let state = state(seed, name);
    (0..count as u64)
        .map(|i| (splitmix64(state, i) >> 40) as f64 / (1u64 << 24) as f64)
        .collect()
}

/// Returns value `i` of the stream `name`.
pub fn word(seed: u64, name: &str, i: u64) -> u64 {
    splitmix64(state(seed, name), i)
}

/// Returns the seed combined with the hash (FNV-1a) of the stream's name.
fn state(seed: u64, name: &str) -> u64 {
    let hash = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    seed ^ name.bytes().fold(0xcbf2_9ce4_8422_2325, hash)
}

/// Returns value `i` of the splitmix64 generator that starts at `state`.
fn splitmix64(state: u64, i: u64) -> u64 {
    let mut z = state.wrapping_add((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
