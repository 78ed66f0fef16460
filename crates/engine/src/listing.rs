//! What a session will do, in a form for people: `convoxide summary --plan`.

use std::fmt;

use serde::Serialize;

use crate::error::Result;
use crate::memory::{Bytes, F32};
use crate::plan::Compiled;
use crate::session_plan::SessionPlan;
use nn_layers::Shape;

/// The steps of a plan for inputs of certain shapes, from [`Plan::listing`](crate::Plan::listing).
///
/// It prints two lines for each step: its number and name, then what it computes from which steps, the
/// shape of the result, and where that lies in the memory of activations. At the end is the memory of the
/// whole session, which is known without allocating it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// The steps in execution order.
    pub steps: Vec<ListedStep>,
    /// The bytes of all parameters, packed.
    pub parameters: u64,
    /// The bytes of the memory of activations, with the kernels' workspace.
    pub activations: u64,
    /// The bytes of the outputs.
    pub outputs: u64,
    /// The sum of these three: what [`Options::memory_limit`](crate::Options::memory_limit) is compared
    /// with.
    pub total: u64,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedStep {
    /// The name of the last node that the step computes.
    pub name: String,
    /// What it computes from the results of which steps, with what is folded and fused into it:
    /// `conv2d 3x3 (%1) + 1 folded, relu, Winograd F(4, 3)`.
    pub computes: String,
    /// The result's shape.
    pub output: Vec<usize>,
    /// Where the result begins in the memory of activations, in bytes, and how much it spans.
    pub start: u64,
    /// See [`start`](Self::start).
    pub bytes: u64,
    /// The bytes of the step's parameters, packed.
    pub parameters: u64,
}

impl Listing {
    pub(crate) fn new(compiled: &Compiled, inputs: &[Shape]) -> Result<Self> {
        let ir = &compiled.program.ir;
        let plan = SessionPlan::new(ir, &compiled.graph, compiled.isa, inputs)?;
        let mut steps = Vec::with_capacity(ir.instructions.len());
        for (number, instruction) in ir.instructions.iter().enumerate() {
            let place = &plan.places[number];
            steps.push(ListedStep {
                name: instruction.name.clone(),
                computes: instruction.computation().to_string(),
                output: plan.shapes[number].to_vec(),
                start: place.start as u64 * F32,
                bytes: place.len() as u64 * F32,
                parameters: instruction.packed_bytes(compiled.isa)?,
            });
        }
        let memory = plan.memory;
        Ok(Self {
            steps,
            parameters: memory.parameters,
            activations: memory.activations.saturating_add(memory.scratch),
            outputs: memory.outputs,
            total: memory.total(),
        })
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.steps.iter().enumerate() {
            let shape: Vec<String> = step.output.iter().map(usize::to_string).collect();
            writeln!(f, "%{number} {}", step.name)?;
            writeln!(f, "    {}", step.computes)?;
            write!(f, "    {}, ", shape.join("x"))?;
            write!(f, "{} at {}", Bytes(step.bytes), Bytes(step.start))?;
            match step.parameters {
                0 => writeln!(f)?,
                bytes => writeln!(f, ", parameters {}", Bytes(bytes))?,
            }
        }
        let Self {
            parameters,
            activations,
            outputs,
            total,
            ..
        } = *self;
        writeln!(f, "parameters: {}", Bytes(parameters))?;
        writeln!(f, "activations: {}", Bytes(activations))?;
        writeln!(f, "outputs: {}", Bytes(outputs))?;
        write!(f, "total: {}", Bytes(total))
    }
}
