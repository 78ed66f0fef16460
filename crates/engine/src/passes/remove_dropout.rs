//! Dropout that drops nothing is the identity: its readers read its input.

use nn_layers::NodeId;

use crate::ir::{Ir, Operation, push};

/// Removes the dropout nodes that are off.
pub(crate) fn run(ir: Ir, is_off: impl Fn(NodeId) -> bool) -> Ir {
    ir.rewrite(|done, instruction| match instruction.inputs[..] {
        [input] if is_dropout(&instruction.operation) && is_off(instruction.node) => input,
        _ => push(done, instruction),
    })
}

fn is_dropout(operation: &Operation) -> bool {
    matches!(operation, Operation::Dropout(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passes::testing::{assert_prints, lowered};

    #[test]
    fn readers_of_a_dropout_read_its_input() {
        let ir = lowered(|b, x| {
            let a = b.dropout("a", x, 0.5)?;
            let b_ = b.relu("b", a)?;
            let c = b.dropout("c", b_, 0.25)?;
            Ok(vec![c, a])
        });
        let off = run(ir.clone(), |_| true);
        assert_prints(
            &off,
            "%0 = input 0
             %1 = relu (%0)
             outputs: %1 %0",
        );
        let second = ir.instructions[3].node;
        assert_prints(
            &run(ir, |node| node != second),
            "%0 = input 0
             %1 = relu (%0)
             %2 = dropout 0.25 (%1)
             outputs: %2 %0",
        );
    }
}
