//! The named networks, with the papers' parameters.

use crate::{
    block::Shortcut,
    resnet::{Block, ResNet, Stem},
};

/// For ImageNet: pictures of 224x224, 1000 classes, output stride 32, projections.
///
/// Reference: He et al. 2015, table 1 (ResNet); Xie et al., "Aggregated Residual Transformations
/// for Deep Neural Networks", 2017, table 1 (ResNeXt); Zagoruyko and Komodakis, "Wide Residual
/// Networks", 2016, section 3 (Wide ResNet).
impl ResNet {
    /// ResNet-18, 11.7 M parameters.
    #[must_use]
    pub fn resnet18() -> Self {
        Self::imagenet(Block::Basic, [2, 2, 2, 2])
    }

    /// ResNet-34, 21.8 M parameters.
    #[must_use]
    pub fn resnet34() -> Self {
        Self::imagenet(Block::Basic, [3, 4, 6, 3])
    }

    /// ResNet-50, 25.6 M parameters.
    #[must_use]
    pub fn resnet50() -> Self {
        Self::imagenet(Block::Bottleneck, [3, 4, 6, 3])
    }

    /// ResNet-101, 44.5 M parameters.
    #[must_use]
    pub fn resnet101() -> Self {
        Self::imagenet(Block::Bottleneck, [3, 4, 23, 3])
    }

    /// ResNet-152, 60.2 M parameters.
    #[must_use]
    pub fn resnet152() -> Self {
        Self::imagenet(Block::Bottleneck, [3, 8, 36, 3])
    }

    /// ResNeXt-50 with 32 groups of 4 channels each, 25.0 M parameters.
    #[must_use]
    pub fn resnext50_32x4d() -> Self {
        Self {
            groups: 32,
            width_per_group: 4,
            ..Self::resnet50()
        }
    }

    /// ResNeXt-101 with 32 groups of 8 channels each, 88.8 M parameters.
    #[must_use]
    pub fn resnext101_32x8d() -> Self {
        Self {
            groups: 32,
            width_per_group: 8,
            ..Self::resnet101()
        }
    }

    /// ResNeXt-101 with 64 groups of 4 channels each, 83.5 M parameters.
    #[must_use]
    pub fn resnext101_64x4d() -> Self {
        Self {
            groups: 64,
            width_per_group: 4,
            ..Self::resnet101()
        }
    }

    /// Wide ResNet-50-2: 3x3 convolutions of twice the width, 68.9 M parameters.
    #[must_use]
    pub fn wide_resnet50_2() -> Self {
        Self {
            width_per_group: 2 * 64,
            ..Self::resnet50()
        }
    }

    /// Wide ResNet-101-2: 3x3 convolutions of twice the width, 126.9 M parameters.
    #[must_use]
    pub fn wide_resnet101_2() -> Self {
        Self {
            width_per_group: 2 * 64,
            ..Self::resnet101()
        }
    }

    fn imagenet(block: Block, layers: [usize; 4]) -> Self {
        Self {
            block,
            layers: layers.to_vec(),
            width: 64,
            groups: 1,
            width_per_group: 64,
            stem: Stem::ImageNet,
            shortcut: Shortcut::Projection,
            pre_activation: false,
            output_stride: 32,
            zero_init_residual: false,
            in_channels: 3,
            classes: 1000,
        }
    }
}

/// For CIFAR, and by name.
impl ResNet {
    /// The network of `6n + 2` layers for CIFAR-10: pictures of 32x32, three stages of `n` basic
    /// blocks with 16, 32 and 64 channels, zero-padded shortcuts. ResNet-20 has `n = 3` and 0.27 M
    /// parameters, ResNet-110 `n = 18` and 1.7 M.
    ///
    /// Its **plain** counterpart has [`Shortcut::None`] and the same number of parameters.
    ///
    /// Reference: He et al. 2015, section 4.2 and table 6.
    #[must_use]
    pub fn cifar(n: usize) -> Self {
        Self {
            layers: vec![n; 3],
            width: 16,
            stem: Stem::Cifar,
            shortcut: Shortcut::ZeroPadded,
            output_stride: 4,
            classes: 10,
            ..Self::resnet18()
        }
    }

    /// The names that [`named`](Self::named) accepts.
    pub const NAMES: &[&str] = &[
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
        "resnext50_32x4d",
        "resnext101_32x8d",
        "resnext101_64x4d",
        "wide_resnet50_2",
        "wide_resnet101_2",
        "resnet20",
        "resnet32",
        "resnet44",
        "resnet56",
        "resnet110",
        "plain20",
        "plain32",
        "plain44",
        "plain56",
        "plain110",
    ];

    /// Returns the network with this name: torchvision's for ImageNet, the paper's for CIFAR.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let plain = |n| Self {
            shortcut: Shortcut::None,
            ..Self::cifar(n)
        };
        Some(match name {
            "resnet18" => Self::resnet18(),
            "resnet34" => Self::resnet34(),
            "resnet50" => Self::resnet50(),
            "resnet101" => Self::resnet101(),
            "resnet152" => Self::resnet152(),
            "resnext50_32x4d" => Self::resnext50_32x4d(),
            "resnext101_32x8d" => Self::resnext101_32x8d(),
            "resnext101_64x4d" => Self::resnext101_64x4d(),
            "wide_resnet50_2" => Self::wide_resnet50_2(),
            "wide_resnet101_2" => Self::wide_resnet101_2(),
            "resnet20" => Self::cifar(3),
            "resnet32" => Self::cifar(5),
            "resnet44" => Self::cifar(7),
            "resnet56" => Self::cifar(9),
            "resnet110" => Self::cifar(18),
            "plain20" => plain(3),
            "plain32" => plain(5),
            "plain44" => plain(7),
            "plain56" => plain(9),
            "plain110" => plain(18),
            _ => return None,
        })
    }
}
