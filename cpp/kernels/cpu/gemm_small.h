// Products of small matrices: no packing, no calls, vector tails by masks.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastgrad {

// c[i, j] = alpha * sum_p a[i * a_row + p * a_col] * b[p * b_row + j], added to c if `accumulate`.
// b's and c's rows are contiguous; their row strides are b_row and c_row.
template <class T>
using SmallGemm = void (*)(int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row,
                           int64_t a_col, const T* b, int64_t b_row, T* c, int64_t c_row, T alpha,
                           bool accumulate);

struct SmallGemmTable {
  SmallGemm<float> f32;
  SmallGemm<double> f64;
};
// One per instruction set; null members where the compiler could not make them.
extern const SmallGemmTable kSmallGemmBaseline, kSmallGemmAvx2, kSmallGemmAvx512;

}  // namespace fastgrad
