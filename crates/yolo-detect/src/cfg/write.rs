//! From typed layers to a cfg's text.
//!
//! Every key that a layer's struct has is written, in the order of darknet's own files; keys of which
//! darknet's default is meant are left out where those files leave them out. Of the keys that only training
//! uses, those of the losses are written, where they differ from the defaults; the others are not part of a
//! [`Cfg`].

use std::fmt;

use super::layer::{Activation, Convolutional, Layer, MaxPool, Net, Region, Route, Yolo};
use super::{Cfg, LayerSection};
use crate::anchors::Anchor;
use crate::loss::{Matching, RegionLossOptions, YoloLossOptions};

impl Cfg {
    /// A cfg of these layers. Their lines and names are those of the text that [`Display`](fmt::Display)
    /// writes, so reading that text gives an equal cfg.
    ///
    /// ```
    /// use yolo_detect::cfg::{Cfg, Layer, Net, Upsample};
    ///
    /// let net = Net { height: 32, width: 64, channels: 3, letter_box: false };
    /// let cfg = Cfg::new(net, [Layer::Upsample(Upsample { stride: 2 })]);
    /// let text = cfg.to_string();
    /// assert_eq!(text, "[net]\nwidth=64\nheight=32\nchannels=3\n\n[upsample]\nstride=2\n");
    /// assert_eq!(Cfg::parse(&text)?, cfg);
    /// # Ok::<(), yolo_detect::Error>(())
    /// ```
    #[must_use]
    pub fn new(net: Net, layers: impl IntoIterator<Item = Layer>) -> Self {
        let lines = |section: &dyn fmt::Display| section.to_string().lines().count();
        // A blank line separates sections.
        let mut line = lines(&net) + 2;
        let place = |layer: Layer| {
            let section = LayerSection {
                line,
                name: layer.name().to_owned(),
                layer,
            };
            line += lines(&section.layer) + 1;
            section
        };
        Self {
            net,
            layers: layers.into_iter().map(place).collect(),
            warnings: Vec::new(),
        }
    }
}

/// The text of a cfg file. A cfg that was read keeps its net and its layers, but not the comments, the
/// aliases of names and the keys that only training uses.
impl fmt::Display for Cfg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.net)?;
        self.layers
            .iter()
            .try_for_each(|section| write!(f, "\n{}", section.layer))
    }
}

/// The section's text.
impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            height,
            width,
            channels,
            letter_box,
        } = *self;
        writeln!(f, "[net]")?;
        writeln!(f, "width={width}\nheight={height}\nchannels={channels}")?;
        if letter_box {
            writeln!(f, "letter_box=1")?;
        }
        Ok(())
    }
}

impl Layer {
    /// The section's name in darknet's files, without brackets.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Convolutional(_) => "convolutional",
            Self::MaxPool(_) => "maxpool",
            Self::AvgPool => "avgpool",
            Self::Route(_) => "route",
            Self::Shortcut(_) => "shortcut",
            Self::Upsample(_) => "upsample",
            Self::Reorg(_) => "reorg",
            Self::Connected(_) => "connected",
            Self::Dropout { .. } => "dropout",
            Self::Softmax => "softmax",
            Self::Cost => "cost",
            Self::Region(_) => "region",
            Self::Yolo(_) => "yolo",
        }
    }
}

/// The section's text.
impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[{}]", self.name())?;
        match self {
            Self::Convolutional(conv) => convolutional(f, conv),
            Self::MaxPool(pool) => max_pool(f, pool),
            Self::AvgPool | Self::Softmax | Self::Cost => Ok(()),
            Self::Route(route) => self::route(f, route),
            Self::Shortcut(shortcut) => {
                writeln!(f, "from={}", shortcut.from)?;
                activation(f, shortcut.activation)
            }
            Self::Upsample(upsample) => writeln!(f, "stride={}", upsample.stride),
            Self::Reorg(reorg) => writeln!(f, "stride={}", reorg.stride),
            Self::Connected(connected) => {
                batch_normalize(f, connected.batch_normalize)?;
                writeln!(f, "output={}", connected.output)?;
                activation(f, connected.activation)
            }
            Self::Dropout { probability } => writeln!(f, "probability={probability}"),
            Self::Region(region) => self::region(f, region),
            Self::Yolo(yolo) => self::yolo(f, yolo),
        }
    }
}

fn convolutional(f: &mut fmt::Formatter<'_>, conv: &Convolutional) -> fmt::Result {
    let Convolutional {
        filters,
        size,
        stride,
        padding,
        groups,
        batch_normalize,
        activation,
    } = *conv;
    self::batch_normalize(f, batch_normalize)?;
    writeln!(f, "filters={filters}\nsize={size}\nstride={stride}")?;
    if padding == size / 2 {
        writeln!(f, "pad=1")?;
    } else {
        writeln!(f, "padding={padding}")?;
    }
    if groups != 1 {
        writeln!(f, "groups={groups}")?;
    }
    self::activation(f, activation)
}

fn max_pool(f: &mut fmt::Formatter<'_>, pool: &MaxPool) -> fmt::Result {
    let MaxPool {
        size,
        stride,
        padding,
    } = *pool;
    writeln!(f, "size={size}\nstride={stride}")?;
    if size.checked_sub(1) != Some(padding) {
        writeln!(f, "padding={padding}")?;
    }
    Ok(())
}

fn route(f: &mut fmt::Formatter<'_>, route: &Route) -> fmt::Result {
    let Route {
        layers,
        groups,
        group_id,
    } = route;
    writeln!(f, "layers={}", list(layers))?;
    if *groups != 1 {
        writeln!(f, "groups={groups}")?;
    }
    if *group_id != 0 {
        writeln!(f, "group_id={group_id}")?;
    }
    Ok(())
}

fn region(f: &mut fmt::Formatter<'_>, region: &Region) -> fmt::Result {
    let Region {
        anchors,
        classes,
        softmax,
        loss,
    } = region;
    self::anchors(f, anchors)?;
    writeln!(f, "classes={classes}\ncoords=4\nnum={}", anchors.len())?;
    writeln!(f, "softmax={}", u8::from(*softmax))?;
    region_loss(f, loss)
}

/// The options of a loss that differ from the defaults of darknet's code.
fn region_loss(f: &mut fmt::Formatter<'_>, loss: &RegionLossOptions) -> fmt::Result {
    let RegionLossOptions {
        object_scale,
        noobject_scale,
        class_scale,
        coord_scale,
        ignore_threshold,
        rescore,
        matching,
        // Darknet has no keys for these.
        box_loss: _,
        ciou_scale: _,
        prior_scale: _,
        prior_pictures: _,
    } = *loss;
    let default = RegionLossOptions::default();
    if rescore != default.rescore {
        writeln!(f, "rescore={}", u8::from(rescore))?;
    }
    if matching != default.matching {
        let bias_match = match matching {
            Matching::Anchors => 1,
            Matching::Predictions => 0,
        };
        writeln!(f, "bias_match={bias_match}")?;
    }
    for (key, value, default) in [
        ("object_scale", object_scale, default.object_scale),
        ("noobject_scale", noobject_scale, default.noobject_scale),
        ("class_scale", class_scale, default.class_scale),
        ("coord_scale", coord_scale, default.coord_scale),
        ("thresh", ignore_threshold, default.ignore_threshold),
    ] {
        training_number(f, key, value, default)?;
    }
    Ok(())
}

#[expect(clippy::float_cmp, reason = "the default itself need not be written")]
fn training_number(f: &mut fmt::Formatter<'_>, key: &str, value: f64, default: f64) -> fmt::Result {
    if value != default {
        writeln!(f, "{key}={value}")?;
    }
    Ok(())
}

fn yolo(f: &mut fmt::Formatter<'_>, yolo: &Yolo) -> fmt::Result {
    let Yolo {
        anchors,
        mask,
        classes,
        loss,
    } = yolo;
    writeln!(f, "mask={}", list(mask))?;
    self::anchors(f, anchors)?;
    writeln!(f, "classes={classes}\nnum={}", anchors.len())?;
    yolo_loss(f, loss)
}

/// The options of a loss that differ from the defaults of darknet's code.
fn yolo_loss(f: &mut fmt::Formatter<'_>, loss: &YoloLossOptions) -> fmt::Result {
    let YoloLossOptions {
        ignore_threshold,
        truth_threshold,
        // Darknet has no keys for these.
        object_scale: _,
        noobject_scale: _,
        class_scale: _,
        coord_scale: _,
        box_loss: _,
        ciou_scale: _,
    } = *loss;
    let default = YoloLossOptions::default();
    training_number(
        f,
        "ignore_thresh",
        ignore_threshold,
        default.ignore_threshold,
    )?;
    training_number(f, "truth_thresh", truth_threshold, default.truth_threshold)
}

fn anchors(f: &mut fmt::Formatter<'_>, anchors: &[Anchor]) -> fmt::Result {
    let pair = |anchor: &Anchor| format!("{},{}", anchor.width, anchor.height);
    let pairs: Vec<String> = anchors.iter().map(pair).collect();
    writeln!(f, "anchors={}", pairs.join(", "))
}

fn batch_normalize(f: &mut fmt::Formatter<'_>, is_on: bool) -> fmt::Result {
    if is_on {
        writeln!(f, "batch_normalize=1")?;
    }
    Ok(())
}

fn activation(f: &mut fmt::Formatter<'_>, activation: Activation) -> fmt::Result {
    let name = match activation {
        Activation::Linear => "linear",
        Activation::Leaky => "leaky",
        Activation::Relu => "relu",
        Activation::Logistic => "logistic",
    };
    writeln!(f, "activation={name}")
}

fn list(numbers: &[usize]) -> String {
    let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
    numbers.join(",")
}
