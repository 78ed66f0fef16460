//! Optimisers: the computation of updates from gradients.

mod adam;
mod clip;
mod groups;
mod rms_prop;
mod sgd;
mod state;

use std::collections::BTreeMap;

use conv_core::Element;
use serde::{Deserialize, Serialize};

pub(crate) use self::clip::first_non_finite;
pub use self::{
    adam::Adam,
    clip::Clip,
    groups::{ParamGroup, Select},
    rms_prop::RmsProp,
    sgd::Sgd,
    state::OptimiserState,
};
use self::{clip::Scan, groups::Settings, state::State};
use crate::{
    error::{Error, Result},
    params::{Params, error::ParamsError},
    train::{backend::TrainBackend, error::TrainError, option, schedule::Rates},
};

/// The options of an optimiser. The learning rate is set by the [schedule](crate::Schedule).
///
/// ```
/// use nn_layers::{OptimiserOptions, ParamGroup, Select, Sgd, WeightDecay};
///
/// // As for residual networks, without decay of biases and batch normalisations.
/// let options = OptimiserOptions {
///     method: Sgd { momentum: 0.9, nesterov: true }.into(),
///     weight_decay: WeightDecay::L2(1e-4),
///     groups: vec![ParamGroup {
///         weight_decay: Some(WeightDecay::None),
///         ..ParamGroup::new(Select::OneDimensional)
///     }],
///     ..OptimiserOptions::default()
/// };
/// # let _ = options;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimiserOptions {
    /// How a gradient becomes a step.
    pub method: Method,
    /// The weight decay of all parameters.
    pub weight_decay: WeightDecay,
    /// Parameters with options of their own.
    pub groups: Vec<ParamGroup>,
    /// A limit on gradients.
    pub clip: Option<Clip>,
}

/// How a gradient becomes a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Gradient descent, with momentum: [`Sgd`].
    Sgd(Sgd),
    /// Steps scaled by the gradient's running moments: [`Adam`]. With
    /// [`WeightDecay::Decoupled`] it is AdamW.
    Adam(Adam),
    /// Steps scaled by the gradient's running size: [`RmsProp`].
    RmsProp(RmsProp),
}

/// Gradient descent without momentum.
impl Default for Method {
    fn default() -> Self {
        Self::Sgd(Sgd::default())
    }
}

/// Weight decay: a pull of each parameter `p` towards 0 in every step of rate `γ`, with a
/// coefficient `λ`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightDecay {
    /// No decay.
    #[default]
    None,
    /// `λ p` is added to the gradient: the slope of `λ/2 · Σ p²`. It then passes through momentum
    /// and everything else that the method applies to a gradient.
    L2(f64),
    /// `p` is multiplied by `1 - γ λ` before the step (Loshchilov and Hutter, "Decoupled Weight
    /// Decay Regularization", 2017, section 2). PyTorch's AdamW has `λ` = 0.01.
    Decoupled(f64),
}

impl Method {
    /// Returns the name used in checkpoints and messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sgd(_) => "sgd",
            Self::Adam(_) => "adam",
            Self::RmsProp(_) => "rms_prop",
        }
    }

    /// PyTorch's names of the moments that are kept for each parameter.
    fn moments(&self) -> &'static [&'static str] {
        match self {
            Self::Sgd(sgd) => sgd.moments(),
            Self::Adam(_) => &["exp_avg", "exp_avg_sq"],
            Self::RmsProp(rms_prop) => rms_prop.moments(),
        }
    }

    /// Returns whether a schedule can set a momentum: Adam's is `β₁`.
    #[must_use]
    pub fn has_momentum(&self) -> bool {
        match self {
            Self::Sgd(sgd) => sgd.momentum != 0.0,
            Self::Adam(_) => true,
            Self::RmsProp(rms_prop) => rms_prop.momentum != 0.0,
        }
    }

    fn check(&self) -> Result<()> {
        match self {
            Self::Sgd(sgd) => sgd.check(),
            Self::Adam(adam) => adam.check(),
            Self::RmsProp(rms_prop) => rms_prop.check(),
        }
    }
}

impl From<Sgd> for Method {
    fn from(sgd: Sgd) -> Self {
        Self::Sgd(sgd)
    }
}

impl From<Adam> for Method {
    fn from(adam: Adam) -> Self {
        Self::Adam(adam)
    }
}

impl From<RmsProp> for Method {
    fn from(rms_prop: RmsProp) -> Self {
        Self::RmsProp(rms_prop)
    }
}

/// A method alone: no decay, no groups, no limit.
impl<M: Into<Method>> From<M> for OptimiserOptions {
    fn from(method: M) -> Self {
        Self {
            method: method.into(),
            ..Self::default()
        }
    }
}

/// Moves parameters against their gradients, and keeps the state it needs for the next update.
///
/// The arithmetic and its order are those of PyTorch's single-tensor implementations, value by
/// value; the state is kept by parameter name, independent of the order of the values.
///
/// ```
/// use ndarray::ArrayD;
/// use nn_layers::{Optimiser, Params, Sgd, Slot};
///
/// let mut params = Params::new();
/// params.insert("w", Slot::Weight, ArrayD::<f64>::zeros(vec![1]));
/// let mut optimiser = Optimiser::new(Sgd { momentum: 0.5, ..Sgd::default() }, &params)?;
/// let mut numbers = [4.0];
/// for expected in [3.0, 1.5, -0.25] {
///     optimiser.apply("w", &mut numbers, &[1.0], 1.0, 1.0)?;
///     assert_eq!(numbers, [expected]);
/// }
/// # Ok::<(), nn_layers::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Optimiser<T> {
    options: OptimiserOptions,
    settings: BTreeMap<String, Settings>,
    states: BTreeMap<String, State<T>>,
}

/// Statistics of an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UpdateReport {
    /// The Euclidean norm of all gradients together, before clipping.
    pub gradient_norm: f64,
}

impl<T: Element> Optimiser<T> {
    /// An optimiser for these parameters. Only their names, shapes and slots matter: they determine
    /// the trainable parameters and their groups. `options` may be a method alone, such as
    /// [`Adam`].
    ///
    /// # Errors
    ///
    /// [`TrainError::Value`] for an option out of range, [`TrainError::EmptyGroup`] for a group by
    /// prefix or suffix to which no trainable parameter belongs.
    pub fn new(options: impl Into<OptimiserOptions>, params: &Params<T>) -> Result<Self> {
        let options = options.into();
        options.method.check()?;
        if let Some(clip) = options.clip {
            clip.check()?;
        }
        let settings = groups::resolve(&options, params)?;
        Ok(Self {
            options,
            settings,
            states: BTreeMap::new(),
        })
    }

    /// Returns the options.
    #[must_use]
    pub fn options(&self) -> &OptimiserOptions {
        &self.options
    }

    /// Updates every trainable parameter of the backend with this rate, or with the rate and
    /// momentum of a [schedule](crate::Schedule::at).
    ///
    /// # Errors
    ///
    /// Those of [`update_scaled`](Self::update_scaled).
    pub fn update<B: TrainBackend<T>>(
        &mut self,
        backend: &mut B,
        rates: impl Into<Rates>,
    ) -> Result<UpdateReport> {
        self.update_scaled(backend, rates, 1.0)
    }

    /// Like [`update`](Self::update), but multiplies the gradients by `gradient_factor` first:
    /// `1/k` if those of `k` batches were accumulated.
    ///
    /// # Errors
    ///
    /// [`TrainError::NonFinite`] for a gradient that is not finite, with the parameter's name;
    /// [`TrainError::Value`] for a rate or momentum out of range; [`ParamsError::UnknownParam`] for
    /// a parameter that the optimiser was not created with; and the backend's errors. Nothing has
    /// changed then.
    pub fn update_scaled<B: TrainBackend<T>>(
        &mut self,
        backend: &mut B,
        rates: impl Into<Rates>,
        gradient_factor: f64,
    ) -> Result<UpdateReport> {
        let rates = rates.into();
        self.check(rates)?;
        let mut scan = Scan::default();
        let mut unknown = None;
        let visit = &mut |name: &str, gradient: &[T]| {
            if !self.settings.contains_key(name) {
                unknown.get_or_insert_with(|| name.to_owned());
            }
            scan.add(name, gradient);
        };
        backend.visit_gradients(visit).map_err(Error::other)?;
        if let Some(name) = unknown {
            return Err(ParamsError::UnknownParam { name }.into());
        }
        let gradient_norm = gradient_factor * scan.norm()?;
        let factor = match self.options.clip {
            Some(clip) => gradient_factor * clip.factor(gradient_norm),
            None => gradient_factor,
        };

        let mut first = Ok(());
        let rule = &mut |name: &str, numbers: &mut [T], gradient: &[T]| {
            let result = self.apply_checked(name, numbers, gradient, rates, factor);
            if first.is_ok() {
                first = result;
            }
        };
        backend.update(rule).map_err(Error::other)?;
        first.map(|()| UpdateReport { gradient_norm })
    }

    /// Updates one parameter, whose values are `numbers`, with `gradient_factor` times `gradient`.
    /// Clips by value, but not by norm, which requires all gradients.
    ///
    /// # Errors
    ///
    /// [`ParamsError::UnknownParam`], [`ParamsError::ParamLength`] if the number of values is not
    /// that of the gradient or of the previous call, and [`TrainError::Value`] for a rate or
    /// momentum out of range.
    pub fn apply(
        &mut self,
        name: &str,
        numbers: &mut [T],
        gradient: &[T],
        rates: impl Into<Rates>,
        gradient_factor: f64,
    ) -> Result<()> {
        let rates = rates.into();
        self.check(rates)?;
        self.apply_checked(name, numbers, gradient, rates, gradient_factor)
    }

    fn apply_checked(
        &mut self,
        name: &str,
        numbers: &mut [T],
        gradient: &[T],
        rates: Rates,
        gradient_factor: f64,
    ) -> Result<()> {
        let settings = self.settings.get(name);
        let settings = settings.ok_or_else(|| ParamsError::UnknownParam {
            name: name.to_owned(),
        })?;
        let length = |got| {
            Error::Params(ParamsError::ParamLength {
                name: name.to_owned(),
                expected: numbers.len(),
                got,
            })
        };
        if gradient.len() != numbers.len() {
            return Err(length(gradient.len()));
        }
        let method = self.options.method;
        if !self.states.contains_key(name) {
            let state = State::zeros(method.moments().len(), numbers.len());
            self.states.insert(name.to_owned(), state);
        }
        let missing = || Error::internal(name, "the optimiser's state was not kept");
        let State { steps, moments } = self.states.get_mut(name).ok_or_else(missing)?;
        if let Some(moment) = moments.iter().find(|moment| moment.len() != numbers.len()) {
            return Err(length(moment.len()));
        }

        *steps += 1;
        let rate = rates.rate * settings.rate_factor;
        let (l2, kept) = match settings.weight_decay {
            WeightDecay::None => (0.0, 1.0),
            WeightDecay::L2(decay) => (decay, 1.0),
            WeightDecay::Decoupled(decay) => (0.0, 1.0 - rate * decay),
        };
        let update = Update {
            rate,
            momentum: rates.momentum,
            steps: *steps,
            factor: T::from_f64(gradient_factor),
            limit: T::from_f64(self.options.clip.map_or(f64::INFINITY, Clip::limit)),
            l2: T::from_f64(l2),
            kept: T::from_f64(kept),
        };
        match (method, &mut moments[..]) {
            (Method::Sgd(sgd), []) => sgd.apply(&update, numbers, gradient, None),
            (Method::Sgd(sgd), [buffer]) => sgd.apply(&update, numbers, gradient, Some(buffer)),
            (Method::Adam(adam), [mean, square]) => {
                adam.apply(&update, numbers, gradient, mean, square);
            }
            (Method::RmsProp(rms_prop), [square]) => {
                rms_prop.apply(&update, numbers, gradient, square, None);
            }
            (Method::RmsProp(rms_prop), [square, buffer]) => {
                rms_prop.apply(&update, numbers, gradient, square, Some(buffer));
            }
            (Method::Sgd(_) | Method::Adam(_) | Method::RmsProp(_), _) => {
                let broken = "the optimiser's state has other moments than its method";
                return Err(Error::internal(name, broken));
            }
        }
        Ok(())
    }

    fn check(&self, rates: Rates) -> Result<()> {
        let Rates { rate, momentum } = rates;
        option::at_least_0("the rate", rate)?;
        match momentum {
            None => Ok(()),
            Some(got) if !self.options.method.has_momentum() => Err(TrainError::Value {
                what: "the schedule's momentum",
                got,
                expected: "none, as the optimiser has no momentum",
            }
            .into()),
            Some(momentum) => option::below_1("the schedule's momentum", momentum),
        }
    }
}

/// One update of one parameter: the part that all methods share.
struct Update<T> {
    rate: f64,
    /// Replaces the method's own momentum.
    momentum: Option<f64>,
    /// The number of updates, including this one.
    steps: u64,
    /// The factor of the gradients.
    factor: T,
    /// The largest magnitude of a gradient.
    limit: T,
    /// What is added to the gradient per unit of the parameter's value.
    l2: T,
    /// The factor applied to a value before the step.
    kept: T,
}

impl<T: Element> Update<T> {
    /// Returns the gradient that the method sees for a value `p` with gradient `g`.
    fn gradient(&self, p: T, g: T) -> T {
        (g * self.factor).max(-self.limit).min(self.limit) + self.l2 * p
    }
}
