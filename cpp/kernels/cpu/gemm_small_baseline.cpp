#include "kernels/cpu/gemm_small.h"

namespace fastgrad {
namespace {

// Rows of b are added up in a block of one row of c, which the compiler vectorises.
template <class T>
void small_gemm(int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row, int64_t a_col,
                const T* b, int64_t b_row, T* c, int64_t c_row, T alpha, bool accumulate) {
  constexpr int64_t kWidth = 16;
  for (int64_t j0 = 0; j0 < n; j0 += kWidth) {
    int64_t width = n - j0 < kWidth ? n - j0 : kWidth;
    for (int64_t i = 0; i < m; ++i) {
      T sums[kWidth] = {};
      for (int64_t p = 0; p < k; ++p) {
        T x = a[i * a_row + p * a_col];
        const T* row = b + p * b_row + j0;
        if (width == kWidth)
          for (int64_t j = 0; j < kWidth; ++j) sums[j] += x * row[j];
        else
          for (int64_t j = 0; j < width; ++j) sums[j] += x * row[j];
      }
      T* out = c + i * c_row + j0;
      for (int64_t j = 0; j < width; ++j)
        out[j] = accumulate ? out[j] + alpha * sums[j] : alpha * sums[j];
    }
  }
}

}  // namespace

const SmallGemmTable kSmallGemmBaseline = {small_gemm<float>, small_gemm<double>};

}  // namespace fastgrad
