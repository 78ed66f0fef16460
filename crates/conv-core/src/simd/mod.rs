//! Instruction sets: what the machine supports, as tokens that exist only after detection.
//!
//! Each kernel is written once, generic over [`Simd`], and instantiated in one file per instruction
//! set. Only this file has the list of them. The `#[target_feature]` line of each file is next to
//! the detection that it must match.

mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

pub(crate) mod activation;
pub(crate) mod microkernel;
pub(crate) mod narrow;
pub(crate) mod outer_product;
pub(crate) mod transpose;

use crate::error::{Error, Result};
use microkernel::Kernels;

/// The environment variable that forces an instruction set: `avx512`, `avx2`, `neon` or `scalar`.
pub const ISA_VARIABLE: &str = "CONVOXIDE_ISA";

/// An instruction set that this machine supports.
///
/// A value of this type is the proof: it can be created only by detection, so code that holds one
/// may call the functions compiled for it.
///
/// ```
/// use conv_core::Isa;
/// assert!(Isa::available().contains(&Isa::best()));
/// assert_eq!(Isa::named("scalar")?.name(), "scalar");
/// assert!(Isa::named("mmx").is_err());
/// # Ok::<(), conv_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Isa(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Scalar,
}

impl Isa {
    /// Returns every instruction set that this machine supports, fastest first. Portable code is
    /// always the last.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let kinds = [
            #[cfg(target_arch = "x86_64")]
            (Set::Avx512, avx512::detected()),
            #[cfg(target_arch = "x86_64")]
            (Set::Avx2, avx2::detected()),
            #[cfg(target_arch = "aarch64")]
            (Set::Neon, neon::detected()),
            (Set::Scalar, true),
        ];
        kinds
            .into_iter()
            .filter(|&(_, detected)| detected)
            .map(|(kind, _)| Self(kind))
            .collect()
    }

    /// Returns the fastest instruction set of this machine.
    #[must_use]
    pub fn best() -> Self {
        Self::available()
            .first()
            .copied()
            .unwrap_or(Self(Set::Scalar))
    }

    /// Returns the instruction set with this name.
    ///
    /// # Errors
    ///
    /// [`Error::InstructionSet`] if this machine has none with that name.
    pub fn named(name: &str) -> Result<Self> {
        let available = Self::available();
        available
            .iter()
            .copied()
            .find(|isa| isa.name() == name)
            .ok_or_else(|| Error::InstructionSet {
                name: name.to_owned(),
                available: available.iter().map(|isa| isa.name()).collect(),
            })
    }

    /// Returns the instruction set that the variable `CONVOXIDE_ISA` names, or the fastest if it is not set.
    ///
    /// # Errors
    ///
    /// [`Error::InstructionSet`] if the variable names one that this machine does not support.
    pub fn from_env() -> Result<Self> {
        match std::env::var_os(ISA_VARIABLE) {
            Some(name) if !name.is_empty() => Self::named(&name.to_string_lossy()),
            Some(_) | None => Ok(Self::best()),
        }
    }

    /// Returns its name, as accepted by [`named`](Self::named).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Set::Neon => "neon",
            Set::Scalar => "scalar",
        }
    }

    /// Returns the micro-kernels compiled for this instruction set.
    pub(crate) fn kernels(self) -> &'static Kernels {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => &avx512::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => &avx2::KERNELS,
            #[cfg(target_arch = "aarch64")]
            Set::Neon => &neon::KERNELS,
            Set::Scalar => &scalar::KERNELS,
        }
    }

    /// Calls `body` compiled for this instruction set, for loops that the compiler vectorises by
    /// itself. `body` should be an `#[inline(always)]` closure: one that remains a separate
    /// function is compiled for the target's baseline.
    #[inline(always)]
    pub(crate) fn vectorize<R>(self, body: impl FnOnce() -> R) -> R {
        match self.0 {
            // SAFETY: the value exists only after detection.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { avx512::vectorize(body) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { avx2::vectorize(body) },
            // NEON is part of every aarch64 target, so the compiler already uses it.
            #[cfg(target_arch = "aarch64")]
            Set::Neon => body(),
            Set::Scalar => body(),
        }
    }

    /// Runs a loop that is written in terms of [`Simd`], compiled for this instruction set: for loops
    /// that the compiler does not vectorise well by itself.
    #[inline(always)]
    pub(crate) fn run<L: SimdLoop>(self, body: L) {
        match self.0 {
            // SAFETY: the value exists only after detection.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { avx512::run(body) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { avx2::run(body) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Set::Neon => unsafe { neon::run(body) },
            // SAFETY: portable code needs no instruction set.
            Set::Scalar => unsafe { body.run::<scalar::Scalar>() },
        }
    }

    /// Returns `a * b + c`, rounded as the micro-kernels round it.
    #[inline(always)]
    pub(crate) fn mul_add(self, a: f32, b: f32, c: f32) -> f32 {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 | Set::Avx2 => a.mul_add(b, c),
            #[cfg(target_arch = "aarch64")]
            Set::Neon => a.mul_add(b, c),
            Set::Scalar => a * b + c,
        }
    }

    /// Runs `iterations` rounds of independent multiply-adds on one core, without accessing
    /// memory, and returns the number of floating-point operations.
    ///
    /// A benchmark times this call to measure the machine's peak at the same time as a kernel:
    /// absolute times are meaningless on a shared machine.
    #[must_use]
    pub fn run_multiply_adds(self, iterations: u64) -> u64 {
        let kernels = self.kernels();
        // SAFETY: `self` exists only after detection of the instruction set that the loop needs.
        let lanes = unsafe { (kernels.multiply_adds)(iterations) };
        iterations * lanes * 2
    }
}

impl std::fmt::Display for Isa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A register of `f32` lanes and the few operations that the kernels need.
///
/// Every method is `#[inline(always)]` in its implementations: the intrinsics can only be inlined
/// into a function with the same `#[target_feature]`, and a method that remains a separate function
/// would take ten times as long as its computation.
///
/// # Safety
///
/// The methods may be called only if the instruction set is known to be available: inside a
/// function with its `#[target_feature]`, reached through an [`Isa`].
pub(crate) trait Simd: Copy + 'static {
    /// The number of lanes of a register: a divisor of 16.
    const LANES: usize;
    /// The register.
    type V: Copy;

    /// Sets all lanes to `x`.
    unsafe fn splat(x: f32) -> Self::V;
    /// Loads `LANES` values from `from`, which needs no alignment.
    ///
    /// # Safety
    ///
    /// `from` must be readable for `LANES` values.
    unsafe fn load(from: *const f32) -> Self::V;
    /// Sets all lanes to the value at `from`.
    ///
    /// # Safety
    ///
    /// `from` must be readable.
    unsafe fn broadcast(from: *const f32) -> Self::V;
    /// Writes the lanes to `to`, which needs no alignment.
    ///
    /// # Safety
    ///
    /// `to` must be writable for `LANES` values.
    unsafe fn store(to: *mut f32, v: Self::V);
    /// Begins to load the line that holds this address, which may be invalid, into the first-level cache.
    unsafe fn prefetch(from: *const f32);
    /// The same into the second-level cache.
    unsafe fn prefetch_far(from: *const f32);
    /// Returns `a * b + c`, rounded once if the machine supports it.
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Returns `a + b`.
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// Returns `a - b`.
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    /// Returns `a * b`.
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// Returns a register whose lane `i` is lane `i / G * G + j` of `x`: for each group of `G` lanes,
    /// its `j`-th. `G` is 2, 4 or 8 and less than `LANES`, and `j < G`.
    unsafe fn spread<const G: usize>(x: Self::V, j: usize) -> Self::V;
    /// Returns the larger of `x` and `least`; a `NaN` in `x` stays `NaN`.
    unsafe fn at_least(x: Self::V, least: Self::V) -> Self::V;
    /// Returns the smaller of `x` and `most`; a `NaN` in `x` stays `NaN`.
    unsafe fn at_most(x: Self::V, most: Self::V) -> Self::V;
    /// Returns `x` where it is larger than `most` or NaN, else `most`: of equal values the first, and a
    /// `NaN` in either stays `NaN`.
    unsafe fn larger(most: Self::V, x: Self::V) -> Self::V;
    /// Returns the lanes of `then` where `x <= most`, and those of `otherwise` elsewhere and where `x` or
    /// `most` is `NaN`.
    unsafe fn where_at_most(
        x: Self::V,
        most: Self::V,
        then: Self::V,
        otherwise: Self::V,
    ) -> Self::V;
}

/// A loop over registers: see [`Isa::run`].
pub(crate) trait SimdLoop {
    /// Runs the loop. Implementations are `#[inline(always)]`, as the methods of [`Simd`].
    ///
    /// # Safety
    ///
    /// The instruction set is available.
    unsafe fn run<S: Simd>(self);
}
