//! 1x1 convolutions that read the same value become one, whose results are ranges of its channels: the value
//! is read once, and layers of few channels fill the registers together. Those of an inception block are such
//! siblings, but for the ones that are written straight into its concatenation.

use conv_core::blocked::BLOCK;

use crate::ir::{Conv, Instruction, Ir, Operation, push};
use crate::kernel::Kernel;

pub(crate) fn run(ir: Ir) -> Ir {
    let families = families(&ir);
    let siblings: Vec<Vec<Instruction>> = families
        .iter()
        .map(|family| {
            family
                .iter()
                .map(|&one| ir.instructions[one].clone())
                .collect()
        })
        .collect();
    let family_of = |old: usize| families.iter().position(|family| family.contains(&old));
    // The new number of the first sibling's slice, once the family is there; those of the others follow.
    let mut slices: Vec<Option<usize>> = vec![None; families.len()];
    let mut old = 0..;
    ir.rewrite(|done, instruction| {
        let old = old.next().unwrap_or_default();
        let Some(family) = family_of(old) else {
            return push(done, instruction);
        };
        let first = *slices[family].get_or_insert_with(|| {
            let input = instruction.inputs.clone();
            merge(done, &siblings[family], input)
        });
        let number = families[family].iter().position(|&one| one == old);
        first + number.unwrap_or_default()
    })
}

/// Returns the groups of instructions that become one, each in the order of its channels.
fn families(ir: &Ir) -> Vec<Vec<usize>> {
    let mut families: Vec<Vec<usize>> = Vec::new();
    for (number, instruction) in ir.instructions.iter().enumerate() {
        let Some(conv) = mergeable(ir, number) else {
            continue;
        };
        let is_sibling = |family: &Vec<usize>| {
            let other = &ir.instructions[family[0]];
            other.inputs == instruction.inputs
                && mergeable(ir, family[0]).is_some_and(|other| {
                    other.options == conv.options && other.activation == conv.activation
                })
        };
        match families.iter_mut().find(|family| is_sibling(family)) {
            Some(family) => family.push(number),
            None => families.push(vec![number]),
        }
    }
    for family in &mut families {
        // Only the last range may end within a block of channels.
        let is_whole = |&one: &usize| {
            mergeable(ir, one).is_some_and(|conv| conv.weight[0].is_multiple_of(BLOCK))
        };
        let (mut whole, rest): (Vec<usize>, Vec<usize>) =
            family.iter().partition(|one| is_whole(one));
        whole.extend(rest.first());
        *family = whole;
    }
    families.retain(|family| family.len() > 1);
    families
}

/// Returns the convolution that an instruction computes, if it may become a part of a larger one.
fn mergeable(ir: &Ir, number: usize) -> Option<&Conv> {
    let instruction = &ir.instructions[number];
    let Operation::Conv(conv) = &instruction.operation else {
        return None;
    };
    let is_part = |reader: &Instruction| {
        matches!(reader.operation, Operation::Kernel(Kernel::Concat))
            && reader.inputs.contains(&number)
    };
    let [_, _, kh, kw] = conv.weight;
    let merges = [kh, kw] == [1, 1]
        && conv.options.groups == 1
        && instruction.inputs.len() == 1
        && !ir.instructions.iter().any(is_part);
    merges.then_some(conv)
}

/// Appends the convolution with the filters of all siblings, and each sibling's range of its channels; returns
/// the number of the first range.
fn merge(done: &mut Vec<Instruction>, siblings: &[Instruction], input: Vec<usize>) -> usize {
    let mut whole: Option<Instruction> = None;
    let mut firsts = Vec::with_capacity(siblings.len());
    for sibling in siblings {
        let Operation::Conv(conv) = &sibling.operation else {
            continue;
        };
        let Some(merged) = &mut whole else {
            firsts.push(0);
            whole = Some(sibling.clone());
            continue;
        };
        if let Operation::Conv(all) = &mut merged.operation {
            firsts.push(all.weight[0]);
            all.weight[0] += conv.weight[0];
            all.filters.extend(conv.filters.iter().cloned());
        }
        merged.name = format!("{}, {}", merged.name, sibling.name);
    }
    let whole = whole.map(|whole| Instruction {
        inputs: input,
        ..whole
    });
    done.extend(whole);
    let whole = done.len() - 1;
    for (first, sibling) in firsts.into_iter().zip(siblings) {
        done.push(Instruction {
            inputs: vec![whole],
            operation: Operation::Kernel(Kernel::Slice(first)),
            ..sibling.clone()
        });
    }
    whole + 1
}

#[cfg(test)]
mod tests {
    use nn_layers::Conv2d;

    use super::*;
    use crate::passes::testing::{assert_prints, lowered};

    #[test]
    fn the_reductions_of_an_inception_block_become_one() {
        let ir = lowered(|b, x| {
            let one = b.conv2d("one", x, Conv2d::new(32, [1, 1]))?;
            let few = b.conv2d("few", x, Conv2d::new(24, [1, 1]))?;
            let five = b.conv2d("five", few, Conv2d::new(32, [3, 3]))?;
            let many = b.conv2d("many", x, Conv2d::new(48, [1, 1]))?;
            let three = b.conv2d("three", many, Conv2d::new(64, [3, 3]))?;
            let narrow = b.conv2d("narrow", one, Conv2d::new(16, [3, 3]))?;
            Ok(vec![b.concat("all", &[narrow, three, five])?, one])
        });
        // `few` ends within a block of channels, so it comes last.
        assert_prints(
            &run(ir),
            "%0 = input 0
             %1 = conv2d 1x1 of 3 layers (%0)
             %2 = slice (%1)
             %3 = slice (%1)
             %4 = slice (%1)
             %5 = conv2d 3x3 (%4)
             %6 = conv2d 3x3 (%3)
             %7 = conv2d 3x3 (%2)
             %8 = concat (%7, %6, %5)
             outputs: %8 %2",
        );
    }

    #[test]
    fn a_part_of_a_concatenation_and_layers_that_differ_are_left_alone() {
        let ir = lowered(|b, x| {
            let part = b.conv2d("part", x, Conv2d::new(32, [1, 1]))?;
            let step = b.conv2d("step", x, Conv2d::new(32, [1, 1]).stride([2, 2]))?;
            let wide = b.conv2d("wide", x, Conv2d::new(32, [3, 3]))?;
            let groups = b.conv2d("groups", x, Conv2d::new(32, [1, 1]).groups(2))?;
            let sum = b.conv2d("sum", x, Conv2d::new(32, [1, 1]))?;
            let other = b.conv2d("other", part, Conv2d::new(32, [1, 1]))?;
            Ok(vec![
                b.concat("all", &[part, sum])?,
                step,
                wide,
                groups,
                other,
            ])
        });
        let before = ir.to_string();
        assert_prints(&run(ir), &before);
    }

    #[test]
    fn another_activation_is_another_family() {
        let ir = lowered(|b, x| {
            let one = b.conv2d("one", x, Conv2d::new(16, [1, 1]))?;
            let two = b.conv2d("two", x, Conv2d::new(16, [1, 1]))?;
            let relu = b.relu("relu", two)?;
            Ok(vec![one, relu])
        });
        let ir = super::super::fuse_activations::run(ir, super::super::Hosts::ConvsAndNorms);
        let before = ir.to_string();
        assert_prints(&run(ir), &before);
    }
}
