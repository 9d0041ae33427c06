// Parts of matrices (the last two dimensions), and the checks that linear algebra begins with.
#pragma once

#include <algorithm>
#include <string>

#include "core/apply.h"
#include "core/conditions.h"
#include "kernels/lapack.h"

namespace fastgrad {

// Zeros above, or below, the given diagonal.
Tensor lower_triangle(const Tensor& a, int64_t diagonal = 0);
Tensor upper_triangle(const Tensor& a, int64_t diagonal = 0);
// The main diagonal, as a view; and the matrix that has this diagonal and zeros elsewhere.
Tensor diagonal_of(const Tensor& a);
Tensor diagonal_matrix(const Tensor& d);
// Transposed matrices, as a view.
Tensor matrix_transpose(const Tensor& a);
// (a + aᵀ) / 2
Tensor symmetric_part(const Tensor& a);
// a with each column (row) multiplied by an element of d.
Tensor scale_columns(const Tensor& a, const Tensor& d);
Tensor scale_rows(const Tensor& a, const Tensor& d);
// Identity matrices of a's batch shape, n x n.
Tensor identity_like(const Tensor& a, int64_t n);
// A dimension of size 1 added at the end, or taken away.
Tensor as_column(const Tensor& x);
Tensor without_column(const Tensor& x);

inline DimSpan batch_dims(const Array& a) { return DimSpan(a.shape).first(a.shape.size() - 2); }
inline DimSpan batch_dims(const Tensor& a) { return batch_dims(a.array()); }
// The sizes of a batch, and then these.
Dims with_sizes(DimSpan batch, std::initializer_list<int64_t> sizes);
Dims batch_and(const Tensor& a, std::initializer_list<int64_t> sizes);

// PyTorch's checks: two dimensions at least, square, of a floating-point type. `op` is
// "linalg.inv".
void check_matrices(const Tensor& a, const char* op, const char* argument = "A");
void check_square(const Tensor& a, const char* op, const char* argument = "A");
void check_floating(const Tensor& a, const char* op);
void check_same_dtype(const Tensor& a, const Tensor& b, const char* op);

// Note [One small matrix]
// What apply_multi() and the kernels behind it do for batches of any strides takes longer than the
// arithmetic on one small matrix. Its decompositions may go past both: where is_small_matrix() says
// so, the kernel writes to tensors made for it, which record_outputs() puts on the tape. When that
// fails, the usual way says why. Inference and rule stand in the op's block as always.

// Whether a is one matrix of so many rows and columns, in row-major memory, that nobody wants to
// hear of but the tape.
bool is_small_matrix(const Tensor& a, int64_t most = kSmallMatrix);
// Records op with its first outputs, those that have gradients, if a has any.
inline void record_outputs(Op op, const Tensor& a, Attrs&& attrs, std::span<const Tensor> outs) {
  if (should_record({&a, 1})) record(op, {&a, 1}, std::move(attrs), outs);
}

// Calls fail(i) for the first matrix whose info is not 0.
template <class Fail>
void check_info(const Tensor& info, Fail&& fail) {
  const int32_t* p = info.array().ptr<int32_t>();
  // Both outcomes are recorded: a function may catch the exception and add to a diagonal.
  bool fine = std::all_of(p, p + info.numel(), [](int32_t k) { return k == 0; });
  watch_condition(kInRange, Attrs(int64_t{0}, int64_t{1}), info.array(), fine);
  for (int64_t i = 0; !fine && i < info.numel(); ++i)
    if (p[i] != 0) fail(i, p[i]);
}
// "(Batch element 3): ", or nothing for a single matrix.
std::string batch_text(const Tensor& info, int64_t i);

}  // namespace fastgrad
