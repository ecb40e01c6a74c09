//! A checked door to the `gemm` crate: matrices are slices with strides.

/// A matrix inside a slice.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) values: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows one after the other, without gaps.
    pub(super) fn rows_of(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self { values, rows, columns, row_stride: columns, column_stride: 1 }
    }

    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    fn fits(&self) -> bool {
        let last = (self.rows.max(1) - 1) * self.row_stride
            + (self.columns.max(1) - 1) * self.column_stride;
        last < self.values.len()
    }
}

/// `out = keep_out · out + factor · left × right` on this thread; rows of `out` are `out_stride` apart.
pub(super) fn multiply(
    out: &mut [f32],
    out_stride: usize,
    product: (Matrix<'_>, Matrix<'_>),
    factor: f32,
    keep_out: bool,
) {
    let (left, right) = product;
    let (m, n, k) = (left.rows, right.columns, left.columns);
    assert_eq!(k, right.rows, "the inner sides of a product differ");
    if m == 0 || n == 0 {
        return;
    }
    assert!(n <= out_stride && (m - 1) * out_stride + n <= out.len(), "the result does not fit");
    assert!(k == 0 || (left.fits() && right.fits()), "a matrix is larger than its slice");
    #[allow(unsafe_code, reason = "the gemm crate takes pointers; the bounds are checked above")]
    // SAFETY: every element that gemm touches lies inside the slices, as asserted above; `out` is
    // borrowed mutably, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            out_stride as isize,
            keep_out,
            left.values.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.values.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            1.0,
            factor,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiplies_strided_and_transposed_matrices() {
        let left = [1.0, 2.0, 9.0, 3.0, 4.0, 9.0];
        let right = [1.0, 0.0, 2.0, 1.0];
        let left = Matrix { row_stride: 3, ..Matrix::rows_of(&left, 2, 2) };
        let right = Matrix::rows_of(&right, 2, 2).transposed();
        let mut out = [1.0; 6];
        multiply(&mut out, 3, (left, right), 2.0, true);
        assert_eq!(out, [3.0, 9.0, 1.0, 7.0, 21.0, 1.0]);
    }

    #[test]
    #[should_panic(expected = "larger than its slice")]
    fn refuses_a_matrix_that_leaves_its_slice() {
        let values = [0.0; 3];
        let matrix = Matrix::rows_of(&values, 2, 2);
        multiply(&mut [0.0; 4], 2, (matrix, matrix), 1.0, false);
    }
}
