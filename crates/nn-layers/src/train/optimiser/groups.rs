//! Groups of parameters with their own rate and decay.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{OptimiserOptions, WeightDecay};
use crate::{
    error::Result,
    graph::param_spec::Slot,
    params::Params,
    train::{error::TrainError, option::at_least_0},
};

/// Parameters with options of their own.
///
/// A parameter may belong to several groups: its rate factors multiply, and the last group's decay
/// applies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParamGroup {
    /// The parameters selected.
    pub select: Select,
    /// The factor of the schedule's rate, at least 0.
    #[serde(default = "one")]
    pub rate_factor: f64,
    /// The decay, if it differs from the optimiser's.
    #[serde(default)]
    pub weight_decay: Option<WeightDecay>,
}

fn one() -> f64 {
    1.0
}

/// Which parameters belong to a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    /// Those of this node or scope: `layer1` contains `layer1.0.conv1.weight`, but not
    /// `layer10.weight`.
    Prefix(String),
    /// Those whose name ends with this suffix: `.bias`.
    Suffix(String),
    /// Those with one axis: biases and batch normalisations.
    OneDimensional,
}

impl ParamGroup {
    /// Returns a group that does not change anything yet.
    #[must_use]
    pub fn new(select: Select) -> Self {
        Self {
            select,
            rate_factor: 1.0,
            weight_decay: None,
        }
    }
}

impl Select {
    fn has(&self, name: &str, shape: &[usize]) -> bool {
        match self {
            Self::Prefix(prefix) => name
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.')),
            Self::Suffix(suffix) => name.ends_with(suffix.as_str()),
            Self::OneDimensional => shape.len() == 1,
        }
    }
}

/// The settings of one parameter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) rate_factor: f64,
    pub(super) weight_decay: WeightDecay,
}

/// Returns the settings of each trainable parameter.
pub(super) fn resolve<T>(
    options: &OptimiserOptions,
    params: &Params<T>,
) -> Result<BTreeMap<String, Settings>> {
    check_decay(options.weight_decay)?;
    let all = Settings {
        rate_factor: 1.0,
        weight_decay: options.weight_decay,
    };
    let learnt = params.iter().filter(|(_, p)| p.slot == Slot::Weight);
    let mut settings: BTreeMap<String, Settings> =
        learnt.map(|(name, _)| (name.to_owned(), all)).collect();
    for group in &options.groups {
        let factor = group.rate_factor;
        at_least_0("a group's rate_factor", factor)?;
        if let Some(decay) = group.weight_decay {
            check_decay(decay)?;
        }
        let mut members = 0;
        for (name, settings) in &mut settings {
            let shape = params.get(name).map(|param| param.value.shape());
            if group.select.has(name, shape.unwrap_or_default()) {
                members += 1;
                settings.rate_factor *= factor;
                settings.weight_decay = group.weight_decay.unwrap_or(settings.weight_decay);
            }
        }
        if let (0, Select::Prefix(name) | Select::Suffix(name)) = (members, &group.select) {
            return Err(TrainError::EmptyGroup { name: name.clone() }.into());
        }
    }
    Ok(settings)
}

fn check_decay(decay: WeightDecay) -> Result<()> {
    match decay {
        WeightDecay::None => Ok(()),
        WeightDecay::L2(decay) | WeightDecay::Decoupled(decay) => {
            at_least_0("a weight decay", decay)
        }
    }
}
