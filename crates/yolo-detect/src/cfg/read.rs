//! From a section's `key=value` lines to a typed layer, with darknet's defaults.

use super::layer::{
    Activation, Connected, Convolutional, Layer, MaxPool, Net, Region, Reorg, Route, Shortcut,
    Upsample, Yolo,
};
use super::limits::{MAX_ANCHORS, MAX_SIZE, MAX_WINDOW};
use super::section::Fields;
use super::{CfgProblem, Warning, WarningKind};
use crate::anchors::{Anchor, AnchorUnit};
use crate::error::{Error, Result};
use crate::loss::{Matching, RegionLossOptions, YoloLossOptions};

const SIZE: std::ops::RangeInclusive<usize> = 1..=MAX_SIZE;
const WINDOW: std::ops::RangeInclusive<usize> = 1..=MAX_WINDOW;
const PADDING: std::ops::RangeInclusive<usize> = 0..=MAX_SIZE;

impl Net {
    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Self> {
        let mut side = |key| {
            if fields.text(key).is_none() {
                return Err(fields.fail_at(key, CfgProblem::Missing).into());
            }
            fields.size(key, 0, SIZE)
        };
        let (height, width, channels) = (side("height")?, side("width")?, side("channels")?);
        let product = height.saturating_mul(width).saturating_mul(channels);
        let inputs = fields.size("inputs", product, 0..=usize::MAX)?;
        if inputs != product {
            let expected = format!("height x width x channels = {product}");
            let problem = CfgProblem::OutOfRange {
                got: inputs.to_string(),
                expected,
            };
            return Err(fields.fail_at("inputs", problem).into());
        }
        fields.accept(
            "batch subdivisions time_steps notruth random learning_rate momentum decay adam \
             B1 B2 eps policy burn_in power step scale steps scales gamma max_batches clip \
             max_crop min_crop max_ratio min_ratio center angle aspect saturation exposure \
             hue",
        );
        Ok(Self {
            height,
            width,
            channels,
            letter_box: fields.flag("letter_box")?,
        })
    }
}

impl Layer {
    /// Reads layer `number` from a section called `kind`.
    pub(super) fn read(
        kind: &str,
        number: usize,
        fields: &mut Fields<'_>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self> {
        let layer = match kind {
            "convolutional" | "conv" => Self::Convolutional(convolutional(fields)?),
            "maxpool" | "max" => Self::MaxPool(max_pool(fields)?),
            "avgpool" | "avg" => Self::AvgPool,
            "route" => Self::Route(route(fields, number)?),
            "shortcut" => Self::Shortcut(shortcut(fields, number)?),
            "upsample" => {
                fields.only("scale", 1.0, "1")?;
                Self::Upsample(Upsample {
                    stride: fields.size("stride", 2, SIZE)?,
                })
            }
            "reorg" => {
                for key in ["reverse", "flatten", "extra"] {
                    fields.only(key, 0.0, "0")?;
                }
                Self::Reorg(Reorg {
                    stride: fields.size("stride", 1, SIZE)?,
                })
            }
            "connected" | "conn" => Self::Connected(Connected {
                output: fields.size("output", 1, SIZE)?,
                batch_normalize: fields.flag("batch_normalize")?,
                activation: activation(fields, Activation::Logistic)?,
            }),
            "dropout" => Self::Dropout {
                probability: probability(fields)?,
            },
            "softmax" | "soft" => {
                for key in ["groups", "temperature"] {
                    fields.only(key, 1.0, "1")?;
                }
                fields.only("spatial", 0.0, "0")?;
                fields.refuse("tree")?;
                fields.accept("noloss");
                Self::Softmax
            }
            "cost" => {
                fields.accept("type scale ratio noobj thresh");
                Self::Cost
            }
            "region" => Self::Region(region(fields, warnings)?),
            "yolo" => Self::Yolo(yolo(fields, warnings)?),
            "activation" | "batchnorm" | "crnn" | "crop" | "deconv" | "deconvolutional"
            | "detection" | "gru" | "iseg" | "l2norm" | "local" | "logistic" | "lrn" | "lstm"
            | "normalization" | "rnn" => {
                return Err(fields.fail(CfgProblem::UnsupportedSection).into());
            }
            _ => return Err(fields.fail(CfgProblem::UnknownSection).into()),
        };
        // Keys of every layer about the loading of weights, of which only the default is supported.
        for key in ["dontload", "dontloadscales", "numload"] {
            fields.only(key, 0.0, "0")?;
        }
        fields.accept("truth onlyforward stopbackward dontsave learning_rate smooth");
        Ok(layer)
    }
}

fn convolutional(fields: &mut Fields<'_>) -> Result<Convolutional> {
    let size = fields.size("size", 1, WINDOW)?;
    let padding = fields.size("padding", 0, PADDING)?;
    for key in ["binary", "xnor", "flipped"] {
        fields.only(key, 0.0, "0")?;
    }
    // Keys of A. Bochkovskiy's fork that change what is computed.
    fields.only("dilation", 1.0, "1")?;
    for key in ["stride_x", "stride_y", "antialiasing", "share_index"] {
        fields.refuse(key)?;
    }
    fields.accept("dot");
    Ok(Convolutional {
        filters: fields.size("filters", 1, SIZE)?,
        size,
        stride: fields.size("stride", 1, SIZE)?,
        padding: if fields.flag("pad")? {
            size / 2
        } else {
            padding
        },
        groups: fields.size("groups", 1, SIZE)?,
        batch_normalize: fields.flag("batch_normalize")?,
        activation: activation(fields, Activation::Logistic)?,
    })
}

fn max_pool(fields: &mut Fields<'_>) -> Result<MaxPool> {
    // The stride is also the default of the size.
    let stride = fields.size("stride", 1, WINDOW)?;
    let size = fields.size("size", stride, WINDOW)?;
    for key in ["stride_x", "stride_y", "antialiasing", "maxpool_depth"] {
        fields.refuse(key)?;
    }
    Ok(MaxPool {
        size,
        stride,
        padding: fields.size("padding", size - 1, PADDING)?,
    })
}

fn route(fields: &mut Fields<'_>, number: usize) -> Result<Route> {
    let list = fields.whole_list("layers")?;
    let list = list.ok_or_else(|| fields.fail_at("layers", CfgProblem::Missing))?;
    let earlier = |&index: &i64| earlier_layer(fields, "layers", index, number);
    let layers = list.iter().map(earlier).collect::<Result<_>>()?;
    let groups = fields.size("groups", 1, SIZE)?;
    Ok(Route {
        layers,
        groups,
        group_id: fields.size("group_id", 0, 0..=groups - 1)?,
    })
}

fn shortcut(fields: &mut Fields<'_>, number: usize) -> Result<Shortcut> {
    let list = fields.whole_list("from")?;
    let list = list.ok_or_else(|| fields.fail_at("from", CfgProblem::Missing))?;
    let &[index] = list.as_slice() else {
        let value = list.iter().map(i64::to_string).collect::<Vec<_>>();
        let problem = CfgProblem::NotSupported {
            value: value.join(",").chars().take(40).collect(),
            expected: "one layer",
        };
        return Err(fields.fail_at("from", problem).into());
    };
    for key in ["alpha", "beta"] {
        fields.only(key, 1.0, "1")?;
    }
    Ok(Shortcut {
        from: earlier_layer(fields, "from", index, number)?,
        activation: activation(fields, Activation::Linear)?,
    })
}

/// The absolute number that `index` means in layer `number`; a negative one counts back from there.
fn earlier_layer(fields: &Fields<'_>, key: &str, index: i64, number: usize) -> Result<usize> {
    let here = i64::try_from(number).map_err(|_| Error::Internal {
        broken: "a layer's number is at most limits::MAX_LAYERS",
    })?;
    let layer = if index < 0 {
        here.saturating_add(index)
    } else {
        index
    };
    usize::try_from(layer)
        .ok()
        .filter(|&layer| layer < number)
        .ok_or_else(|| {
            fields
                .fail_at(
                    key,
                    CfgProblem::LayerReference {
                        got: index,
                        layer,
                        before: number,
                    },
                )
                .into()
        })
}

fn region(fields: &mut Fields<'_>, warnings: &mut Vec<Warning>) -> Result<Region> {
    fields.only("coords", 4.0, "4")?;
    fields.only("background", 0.0, "0")?;
    for key in ["tree", "map"] {
        fields.refuse(key)?;
    }
    fields.accept("log sqrt max jitter classfix absolute random mask_scale");
    let loss = region_loss(fields, warnings);
    let num = fields.size("num", 1, 1..=MAX_ANCHORS)?;
    Ok(Region {
        anchors: anchors(fields, num, AnchorUnit::GridCells, warnings)?,
        classes: fields.size("classes", 20, SIZE)?,
        softmax: fields.flag("softmax")?,
        loss,
    })
}

fn region_loss(fields: &mut Fields<'_>, warnings: &mut Vec<Warning>) -> RegionLossOptions {
    let default = RegionLossOptions::default();
    let mut number = |key, default| fields.training_number(key, default, warnings);
    let options = RegionLossOptions {
        object_scale: number("object_scale", default.object_scale),
        noobject_scale: number("noobject_scale", default.noobject_scale),
        class_scale: number("class_scale", default.class_scale),
        coord_scale: number("coord_scale", default.coord_scale),
        ignore_threshold: number("thresh", default.ignore_threshold),
        ..default
    };
    RegionLossOptions {
        rescore: fields.training_flag("rescore", warnings),
        matching: match fields.training_flag("bias_match", warnings) {
            true => Matching::Anchors,
            false => Matching::Predictions,
        },
        ..options
    }
}

fn yolo(fields: &mut Fields<'_>, warnings: &mut Vec<Warning>) -> Result<Yolo> {
    fields.refuse("map")?;
    // Keys of A. Bochkovskiy's fork that change what is computed.
    fields.only("scale_x_y", 1.0, "1")?;
    fields.only("new_coords", 0.0, "0")?;
    fields.accept("max jitter random");
    let default = YoloLossOptions::default();
    let loss = YoloLossOptions {
        ignore_threshold: fields.training_number(
            "ignore_thresh",
            default.ignore_threshold,
            warnings,
        ),
        truth_threshold: fields.training_number("truth_thresh", default.truth_threshold, warnings),
        ..default
    };
    let num = fields.size("num", 1, 1..=MAX_ANCHORS)?;
    let anchors = anchors(fields, num, AnchorUnit::NetworkPixels, warnings)?;
    let mask = match fields.whole_list("mask")? {
        None => (0..num).collect(),
        Some(list) => {
            let within = |&index: &i64| {
                usize::try_from(index)
                    .ok()
                    .filter(|&index| index < num)
                    .ok_or_else(|| {
                        let expected = format!("0 to num - 1 = {}", num - 1);
                        let problem = CfgProblem::OutOfRange {
                            got: index.to_string(),
                            expected,
                        };
                        fields.fail_at("mask", problem)
                    })
            };
            list.iter()
                .map(within)
                .collect::<std::result::Result<_, _>>()?
        }
    };
    Ok(Yolo {
        anchors,
        mask,
        classes: fields.size("classes", 20, SIZE)?,
        loss,
    })
}

fn anchors(
    fields: &mut Fields<'_>,
    num: usize,
    unit: AnchorUnit,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Anchor>> {
    let Some(numbers) = fields.number_list("anchors", warnings)? else {
        warnings.push(fields.warn("anchors", WarningKind::DefaultAnchors));
        return Ok(vec![
            Anchor {
                width: 0.5,
                height: 0.5,
                unit
            };
            num
        ]);
    };
    if numbers.len() != 2 * num {
        let problem = CfgProblem::AnchorCount {
            expected: 2 * num,
            got: numbers.len(),
        };
        return Err(fields.fail_at("anchors", problem).into());
    }
    if let Some(number) = numbers.iter().find(|&&number| number <= 0.0) {
        let expected = "a positive number".to_owned();
        let problem = CfgProblem::OutOfRange {
            got: number.to_string(),
            expected,
        };
        return Err(fields.fail_at("anchors", problem).into());
    }
    let pairs = numbers.chunks_exact(2);
    Ok(pairs
        .map(|pair| Anchor {
            width: pair[0],
            height: pair[1],
            unit,
        })
        .collect())
}

fn activation(fields: &mut Fields<'_>, default: Activation) -> Result<Activation> {
    Ok(match fields.text("activation") {
        None => default,
        Some("linear") => Activation::Linear,
        Some("leaky") => Activation::Leaky,
        Some("relu") => Activation::Relu,
        Some("logistic") => Activation::Logistic,
        Some(other) => {
            let name = other.chars().take(40).collect();
            return Err(fields
                .fail_at("activation", CfgProblem::Activation { name })
                .into());
        }
    })
}

fn probability(fields: &mut Fields<'_>) -> Result<f32> {
    let probability = fields.number("probability", 0.5)?;
    if (0.0..1.0).contains(&probability) {
        return Ok(probability);
    }
    let expected = "0 or more and less than 1".to_owned();
    let problem = CfgProblem::OutOfRange {
        got: probability.to_string(),
        expected,
    };
    Err(fields.fail_at("probability", problem).into())
}
