//! Seeded random parameters, the same on every machine.

use crate::{
    allocate::parameter,
    error::Result,
    graph::{Graph, param_spec::ParamSpec},
    params::Params,
};

/// Random parameters for every one that the graph reads, for tests and for measuring speed.
///
/// Each number depends on the seed, the parameter's name and its place alone, so changing one
/// layer leaves the others as they are, and every machine gives the same bits. Weights are uniform
/// in `±sqrt(6 / fan_in)`, which keeps activations near size 1 through layers with relu or leaky
/// relu (He et al., "Delving Deep into Rectifiers", 2015, section 2.2). A batch normalisation gets
/// a weight in `0.9..1.1`, a bias and mean in `±0.1`, and a variance in `0.5..1.5`.
///
/// ```
/// # use nn_layers::{Conv2d, GraphBuilder, random_params};
/// # let mut b = GraphBuilder::new();
/// # let x = b.input("x", [1, 3, 8, 8])?;
/// # let y = b.conv2d("conv", x, Conv2d::new(4, [3, 3]))?;
/// # let graph = b.finish(&[y])?;
/// let params = random_params(&graph, 42)?;
/// params.check(&graph)?;
/// assert_eq!(params, random_params(&graph, 42)?);
/// # Ok::<(), nn_layers::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory) if the system refuses the memory.
pub fn random_params(graph: &Graph, seed: u64) -> Result<Params<f32>> {
    let mut params = Params::new();
    for spec in graph.param_specs() {
        let (centre, reach) = distribution(spec);
        let stream = mix(seed ^ mix(hash(&spec.name)));
        let mut counter = stream;
        let next = || {
            counter = counter.wrapping_add(GOLDEN);
            // The upper 24 bits: each such number is an f32, so nothing is rounded.
            let unit = (mix(counter) >> 40) as f32 / (1u32 << 23) as f32 - 1.0;
            centre + reach * unit
        };
        let value = parameter(&spec.name, &spec.shape, next)?;
        params.insert(&spec.name, spec.slot, value);
    }
    Ok(params)
}

/// The middle of the interval that a parameter's numbers come from, and half its length.
fn distribution(spec: &ParamSpec) -> (f32, f32) {
    match (spec.local_name(), spec.shape.get(1..).unwrap_or_default()) {
        ("weight", []) => (1.0, 0.1),
        ("weight", fan_in) => {
            let fan_in = fan_in.iter().map(|&size| size as f32).product::<f32>();
            (0.0, (6.0 / fan_in).sqrt())
        }
        ("running_var", _) => (1.0, 0.5),
        _ => (0.0, 0.1),
    }
}

/// 2^64 divided by the golden ratio: the step of `SplitMix64`'s counter.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The output function of `SplitMix64` (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
/// Generators", 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// FNV-1a of a name.
pub(crate) fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
