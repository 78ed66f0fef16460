//! The printed form: a line for each instruction.
//!
//! ```text
//! %0 planar = input 0
//! %1 = conv2d 7x7 (%0) + 1 folded, relu
//! %2 = max pool (%1)
//! outputs: %2
//! ```

use std::fmt;

use conv_core::Activation;
use conv_core::blocked::{Algorithm, BLOCK, Block};

use super::{Conv, Instruction, Ir, Operation, Within};

impl fmt::Display for Ir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, instruction) in self.instructions.iter().enumerate() {
            writeln!(f, "%{number}{instruction}")?;
        }
        write!(f, "outputs:")?;
        self.outputs
            .iter()
            .try_for_each(|value| write!(f, " %{value}"))
    }
}

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.block {
            Block::Channels16 => "",
            Block::Planar => " planar",
        })?;
        if let Some(Within { of, first_block }) = self.within {
            write!(f, " in %{of} at {}", first_block * BLOCK)?;
        }
        write!(f, " = {}", self.computation())
    }
}

impl Instruction {
    /// Returns what it computes from which values, with what is folded and fused into it.
    pub(crate) fn computation(&self) -> impl fmt::Display + '_ {
        Computation(self)
    }
}

struct Computation<'a>(&'a Instruction);

impl fmt::Display for Computation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Instruction {
            operation, inputs, ..
        } = self.0;
        write!(f, "{operation}")?;
        for (number, input) in inputs.iter().enumerate() {
            write!(f, "{}%{input}", if number == 0 { " (" } else { ", " })?;
        }
        if !inputs.is_empty() {
            write!(f, ")")?;
        }
        let (folded, activation, max_pool, algorithm) = match operation {
            Operation::Conv(conv) => {
                let folded = conv.filters.iter().map(|filters| filters.folded.len());
                let Conv {
                    activation,
                    max_pool,
                    algorithm,
                    ..
                } = **conv;
                (folded.sum(), activation, max_pool, algorithm)
            }
            Operation::Norm(norm) => (0, norm.activation, false, Algorithm::Direct),
            Operation::Input(_) | Operation::Dropout(_) | Operation::Kernel(_) => return Ok(()),
        };
        let mut epilogue = Vec::new();
        if folded > 0usize {
            epilogue.push(format!("{folded} folded"));
        }
        if inputs.len() > 1 {
            epilogue.push("add".to_owned());
        }
        match activation {
            Activation::Identity => {}
            activation => epilogue.push(name(activation)),
        }
        if max_pool {
            epilogue.push("max pool".to_owned());
        }
        match algorithm {
            Algorithm::Direct => {}
            Algorithm::Winograd(winograd) => epilogue.push(winograd.name().to_owned()),
        }
        if epilogue.is_empty() {
            return Ok(());
        }
        write!(f, " + {}", epilogue.join(", "))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(number) => write!(f, "input {number}"),
            Self::Conv(conv) => {
                let [_, _, kh, kw] = conv.weight;
                write!(f, "conv2d {kh}x{kw}")?;
                match conv.filters.len() {
                    1 => Ok(()),
                    layers => write!(f, " of {layers} layers"),
                }
            }
            Self::Norm(norm) if norm.is_affine => f.write_str("affine"),
            Self::Norm(_) => f.write_str("batch norm"),
            Self::Dropout(probability) => write!(f, "dropout {probability}"),
            Self::Kernel(kernel) => f.write_str(kernel.name()),
        }
    }
}

fn name(activation: Activation) -> String {
    match activation {
        Activation::Identity => "identity".to_owned(),
        Activation::Relu => "relu".to_owned(),
        Activation::Relu6 => "relu6".to_owned(),
        Activation::LeakyRelu(slope) => format!("leaky relu {slope}"),
    }
}
