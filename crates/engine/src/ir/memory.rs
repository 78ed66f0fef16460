//! Values that share memory: where each lies, and how long the memory is needed.

use conv_core::blocked::Layout;

use super::{Ir, widen};
use crate::arena::Lifetime;

impl Ir {
    /// Gives values that share memory one halo, as wide as any reader needs, the gap between
    /// their pictures, and one lifetime, that of the value in whose memory they lie.
    pub(crate) fn merge_parts(&self, layouts: &mut [Layout], lifetimes: &mut [Lifetime]) {
        let roots: Vec<usize> = (0..layouts.len()).map(|value| self.root(value).0).collect();
        for (value, &root) in roots.iter().enumerate() {
            let (halo, lifetime) = (layouts[value].halo, lifetimes[value]);
            widen(&mut layouts[root].halo, halo);
            let of_root = &mut lifetimes[root];
            of_root.first = of_root.first.min(lifetime.first);
            of_root.last = of_root.last.max(lifetime.last);
        }
        for (value, &root) in roots.iter().enumerate() {
            let whole = layouts[root];
            let layout = &mut layouts[value];
            layout.halo = whole.halo;
            layout.gap = whole.blocks() - layout.blocks();
        }
    }

    /// Returns the value in whose memory a value lies, and the channel blocks of it that come before.
    pub(crate) fn root(&self, mut value: usize) -> (usize, usize) {
        let mut blocks = 0;
        while let Some(within) = self.instructions[value].within {
            blocks += within.first_block;
            value = within.of;
        }
        (value, blocks)
    }
}
