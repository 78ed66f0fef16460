//! The time of each algorithm of each convolution of a network.

use std::hint::black_box;
use std::time::{Duration, Instant};

use conv_core::blocked::{
    Algorithm, AlgorithmSpec, Buffer, Conv2dSpec, Layout, PackedConv2d, View, ViewMut,
};
use conv_core::{Activation, Isa};
use ndarray::ArrayView4;
use nn_layers::{Graph, Shape};
use rayon::prelude::*;

use super::{AlgorithmTime, TunedConv, TunedLayer, Tuning, convs};
use crate::error::{Error, Result};
use crate::ir::{Ir, widen};
use crate::memory::{F32, MemoryUse};
use crate::passes;
use crate::plan::{Options, Precision};

/// The operation that errors of the kernels name.
const OP: &str = "tuning";

/// An algorithm replaces the cost model's choice only if its time is less than this many hundredths.
/// The medians of the same algorithm differ by one or two from measurement to measurement: with a smaller
/// margin, chance would decide where two are equally fast, and with it the last bits of the results.
const FASTER: u64 = 97;

/// The fewest and the most rounds, in each of which every algorithm runs once.
const ROUNDS: [usize; 2] = [5, 51];

/// The time after which no more than the fewest rounds are needed.
const LONG_ENOUGH: Duration = Duration::from_millis(200);

/// The most memory that is read between two runs, in bytes: more than most caches hold.
const MOST_OTHERS: u64 = 64 << 20;

impl Tuning {
    /// Measures every algorithm that is possible for each distinct convolution of a network with inputs of
    /// these shapes, alone and on random numbers, in the caller's rayon pool. `measured` is called with
    /// each layer once it is measured. Convolutions with one possible algorithm are left out.
    ///
    /// The cost model's choice stays unless another algorithm is at least 3 % faster. Precision and
    /// memory of the options do not matter: a tuning serves all, and [`Precision::Exact`] and
    /// [`Memory::Small`](crate::Memory::Small) hold when a network is compiled with it.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`] if the graph does not accept these shapes, [`Error::InstructionSet`] as for
    /// [`Plan::compile`](crate::Plan::compile), [`Error::MemoryLimit`] if a convolution with all its
    /// algorithms needs more than [`Options::memory_limit`], before anything is allocated,
    /// [`Error::Kernel`] if the system refuses the memory.
    pub fn measure(
        graph: &Graph,
        options: &Options,
        shapes: &[Shape],
        mut measured: impl FnMut(&TunedLayer),
    ) -> Result<Self> {
        let isa = options.isa()?;
        let direct = Options {
            precision: Precision::Exact,
            tuning: None,
            ..options.clone()
        };
        let ir = passes::for_inference(graph, &direct)?;
        let layers = distinct(&ir, &ir.shapes(graph, shapes)?);
        let mut trials = Vec::with_capacity(layers.len());
        for layer in &layers {
            trials.push(Trial::new(layer.conv, isa, options.memory_limit)?);
        }
        let others = ir.packed_bytes(isa)?.min(MOST_OTHERS);
        let mut tuning = Self::new(isa, rayon::current_num_threads(), shapes);
        for (mut layer, trial) in layers.into_iter().zip(trials) {
            // The pool is entered once for all runs, as a session does for all steps.
            let times = rayon::scope(|_| trial.run(others));
            layer.times = times.map_err(at(layer.conv))?;
            layer.algorithm = fastest(layer.conv.model_choice(), &layer.times);
            measured(&layer);
            tuning.layers.push(layer);
        }
        Ok(tuning)
    }
}

fn at(conv: TunedConv) -> impl FnOnce(conv_core::Error) -> Error {
    move |error| Error::at(&conv.to_string())(error)
}

/// Returns the distinct convolutions with more than one possible algorithm, in the order in which they
/// first occur.
fn distinct(ir: &Ir, shapes: &[Shape]) -> Vec<TunedLayer> {
    let mut layers: Vec<TunedLayer> = Vec::new();
    for conv in convs(ir, shapes).flatten() {
        if let Some(layer) = layers.iter_mut().find(|layer| layer.conv == conv) {
            layer.occurrences += 1;
        } else if conv.possible().len() > 1 {
            layers.push(TunedLayer {
                conv,
                algorithm: conv.model_choice(),
                occurrences: 1,
                times: Vec::new(),
            });
        }
    }
    layers
}

/// Returns the model's choice, unless another algorithm is faster by the margin.
fn fastest(model: Algorithm, times: &[AlgorithmTime]) -> Algorithm {
    let of_model = times.iter().find(|time| time.algorithm == model);
    let best = times.iter().min_by_key(|time| time.nanoseconds);
    match (of_model, best) {
        (Some(of_model), Some(best))
            if u128::from(best.nanoseconds) * 100
                < u128::from(of_model.nanoseconds) * u128::from(FASTER) =>
        {
            best.algorithm
        }
        _ => model,
    }
}

/// A convolution with all its algorithms, before any memory is allocated.
struct Trial {
    conv: TunedConv,
    spec: Conv2dSpec,
    /// With the halo that the most demanding algorithm needs.
    input: Layout,
    output: Layout,
    scratch: usize,
}

impl Trial {
    /// An error if it needs more memory than `limit` bytes.
    fn new(conv: TunedConv, isa: Isa, limit: u64) -> Result<Self> {
        let spec = Conv2dSpec::new(conv.weight, &conv.options(), isa).map_err(at(conv))?;
        let algorithms = conv.possible().into_iter();
        let algorithms = algorithms.map(|algorithm| AlgorithmSpec::new(algorithm, spec));
        let algorithms: Vec<_> = algorithms
            .collect::<conv_core::Result<_>>()
            .map_err(at(conv))?;
        let output = spec.place(conv.input).map_err(at(conv))?.output;
        let output = Layout::blocked(conv.batch, spec.out_channels(), output);
        let mut input = spec.input_layout(conv.batch, conv.input);
        for algorithm in &algorithms {
            widen(
                &mut input.halo,
                algorithm.halo(conv.input).map_err(at(conv))?,
            );
        }
        let len = |layout: &Layout| layout.checked_len(OP).map_err(at(conv));
        // Each algorithm's weights and those that they are packed from, which are no more than the
        // direct one's.
        let packed = algorithms.iter().map(AlgorithmSpec::packed_len);
        let weights: Vec<usize> = packed.chain([spec.weight_len()]).collect();
        let mut scratch = 0;
        for algorithm in &algorithms {
            let needed = algorithm.scratch_len(&input, rayon::current_num_threads());
            scratch = needed.map_err(at(conv))?.max(scratch);
        }
        let memory = MemoryUse {
            parameters: bytes(&weights),
            activations: bytes(&[len(&input)?, len(&output)?]),
            scratch: bytes(&[scratch]),
            ..MemoryUse::default()
        };
        memory.check(limit)?;
        Ok(Self {
            conv,
            spec,
            input,
            output,
            scratch,
        })
    }

    /// Returns the median time of each algorithm, the direct one first. They take turns, forwards and
    /// backwards, so that a disturbance of the machine meets all of them.
    fn run(self, others: u64) -> conv_core::Result<Vec<AlgorithmTime>> {
        let [o, i, kh, kw] = self.conv.weight;
        let weight = random(o * i * kh * kw)?;
        let weight = ArrayView4::from_shape(self.conv.weight, &weight).map_err(|_| {
            conv_core::Error::Mismatch {
                op: OP,
                what: "the weights",
                expected: o * i * kh * kw,
                got: weight.len(),
            }
        })?;
        let algorithms = self.conv.possible();
        let pack = |&algorithm| {
            PackedConv2d::new(algorithm, self.spec, weight, None, Activation::Identity)
        };
        let packed = algorithms.iter().map(pack);
        let packed: Vec<PackedConv2d> = packed.collect::<conv_core::Result<_>>()?;
        // Whatever is in the halo, the time is the same.
        let input = random(self.input.len())?;
        let mut output = Buffer::zeroed(self.output.len())?;
        let mut scratch = Buffer::zeroed(self.scratch)?;
        let others = Buffer::zeroed(usize::try_from(others / F32).unwrap_or(0))?;
        let mut run = |conv: &PackedConv2d| {
            // In a network, the other layers' weights have been read since the last run, and the input has
            // just been written.
            read(&others);
            read(&input);
            let (from, to) = (
                View::new(self.input, &input)?,
                ViewMut::new(self.output, &mut output)?,
            );
            let start = Instant::now();
            conv.run(from, None, to, &mut scratch)?;
            Ok::<_, conv_core::Error>(nanoseconds(start.elapsed()))
        };

        let mut order: Vec<usize> = (0..packed.len()).collect();
        for conv in &packed {
            run(conv)?;
        }
        let mut times = vec![Vec::new(); packed.len()];
        let [fewest, most] = ROUNDS;
        let begin = Instant::now();
        for round in 0..most {
            if round >= fewest && begin.elapsed() >= LONG_ENOUGH {
                break;
            }
            for &index in &order {
                times[index].push(run(&packed[index])?);
            }
            order.reverse();
        }
        let times = algorithms.into_iter().zip(times);
        let median = |(algorithm, mut times): (_, Vec<u64>)| {
            times.sort_unstable();
            AlgorithmTime {
                algorithm,
                nanoseconds: times.get(times.len() / 2).copied().unwrap_or(0),
            }
        };
        Ok(times.map(median).collect())
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn bytes(lens: &[usize]) -> u64 {
    let lens = lens.iter().map(|&len| (len as u64).saturating_mul(F32));
    lens.fold(0, u64::saturating_add)
}

/// Returns numbers from -0.5 to 0.5: some machines compute faster with zeros.
fn random(len: usize) -> conv_core::Result<Buffer> {
    let mut numbers = Buffer::zeroed(len)?;
    // Marsaglia, "Xorshift RNGs", 2003, section 3: the triple (13, 17, 5).
    let mut state = 1_u32;
    for number in numbers.iter_mut() {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        *number = (state >> 8) as f32 / (1 << 24) as f32 - 0.5;
    }
    Ok(numbers)
}

/// Reads a number of each cache line, on all threads.
fn read(numbers: &[f32]) {
    let parts = numbers.par_chunks(1 << 16);
    parts.for_each(|part| {
        let bits = part.iter().step_by(16).map(|number| number.to_bits());
        black_box(bits.fold(0, |all, bits| all ^ bits));
    });
}

#[cfg(test)]
mod tests {
    use conv_core::blocked::Winograd;

    use super::*;

    #[test]
    fn the_models_choice_stays_unless_another_is_clearly_faster() {
        const F4: Algorithm = Algorithm::Winograd(Winograd::F4x3);
        let times = |direct, winograd| {
            let times = [(Algorithm::Direct, direct), (F4, winograd)];
            times.map(|(algorithm, nanoseconds)| AlgorithmTime {
                algorithm,
                nanoseconds,
            })
        };
        assert_eq!(fastest(F4, &times(970, 1000)), F4);
        assert_eq!(fastest(F4, &times(969, 1000)), Algorithm::Direct);
        assert_eq!(
            fastest(Algorithm::Direct, &times(1000, 970)),
            Algorithm::Direct
        );
        assert_eq!(fastest(Algorithm::Direct, &times(1000, 500)), F4);
        assert_eq!(fastest(F4, &times(u64::MAX, u64::MAX)), F4);
        assert_eq!(fastest(F4, &[]), F4);
    }
}
