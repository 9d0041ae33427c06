// Matrix products, of single matrices and of batches.
#pragma once

#include "base/scalar.h"
#include "kernels/piece_done.h"
#include "storage/array.h"

namespace fastgrad {

// A matrix by its strides, in elements. A transposed one has its strides exchanged: no copy.
struct Matrix {
  char* data;
  int64_t rows, cols, row_stride, col_stride;
  Matrix transposed() const { return {data, cols, rows, col_stride, row_stride}; }
};
// The matrix of a 2-d array, or of batch 0 of one with more dimensions.
inline Matrix matrix_of(const Array& a) {
  const size_t n = a.shape.size();
  return {a.data, a.shape[n - 2], a.shape[n - 1], a.strides[n - 2], a.strides[n - 1]};
}

struct GemmOptions {
  Scalar alpha = 1;
  bool accumulate = false;  // add to c instead of overwriting it
  const char* row =
      nullptr;  // a contiguous row that is added to every row of c; not with accumulate
  PieceDone done = {};
};

// c = alpha * a·b. c is row-major (col_stride 1) and overlaps neither a nor b; any strides for a,
// b. Every real type but bool, and the half types; integers wrap around.
void gemm(DType dtype, const Matrix& a, const Matrix& b, const Matrix& c,
          const GemmOptions& o = {});
// Whether the product of an m x k and a k x n matrix tells of pieces that are still near when
// others are not made yet, so that working on them at once pays.
bool finishes_pieces(DType dtype, int64_t m, int64_t n, int64_t k);

// out[..., :, :] = a[..., :, :]·b[..., :, :] with broadcast batch dimensions; out is contiguous and
// has the broadcast shape, or (sum_batches) is one matrix, the sum over all batches.
// What `done` hears of are rows of all matrices of out, one below the other; not with sum_batches.
struct BatchedGemm : GemmOptions {
  bool transpose_a = false, transpose_b = false;
  bool sum_batches = false;
};
void batched_gemm(const Array& a, const Array& b, const Array& out, const BatchedGemm& o);

}  // namespace fastgrad
