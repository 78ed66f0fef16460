//! The transpose of 4x4 values, for conversions between planes and channel blocks: they store a few wide
//! registers where they would store single values. It needs no [`Isa`](super::Isa), because every x86-64
//! processor has registers of four lanes.

/// Returns an array whose element `[i][j]` is `rows[j][i]`.
#[inline(always)]
pub(crate) fn transpose(rows: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__m128, _MM_TRANSPOSE4_PS};

        // SAFETY: arrays and registers of four `f32` have the same size, and every bit pattern is valid in
        // both; SSE is part of every x86-64 target.
        unsafe {
            let mut rows: [__m128; 4] = std::mem::transmute(rows);
            let [a, b, c, d] = &mut rows;
            _MM_TRANSPOSE4_PS(a, b, c, d);
            std::mem::transmute(rows)
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::array::from_fn(|i| rows.map(|row| row[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        let rows = std::array::from_fn(|i| std::array::from_fn(|j| (10 * i + j) as f32));
        let columns = transpose(rows);
        for i in 0..4 {
            for j in 0..4 {
                assert_eq!(columns[i][j], rows[j][i]);
            }
        }
    }
}
