#include "base/isa.h"
#include "kernels/cpu/gemm_small.h"

namespace fastgrad {
namespace {

constexpr int64_t kWidth = 16;

// Rows of b are added up in a block of one row of c, which the compiler vectorises.
template <class T>
void small_gemm(int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row, int64_t a_col,
                const T* b, int64_t b_row, T* c, int64_t c_row, T alpha, const T* from,
                int64_t from_row) {
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
      const T* add = from ? from + i * from_row + j0 : nullptr;
      for (int64_t j = 0; j < width; ++j) out[j] = add ? add[j] + alpha * sums[j] : alpha * sums[j];
    }
  }
}

template <class T>
void pack_panels(int64_t k, int64_t n, const T* b, int64_t b_row, int64_t b_col, T* panels) {
  for (int64_t j0 = 0; j0 < n; j0 += kWidth)
    for (int64_t p = 0; p < k; ++p)
      for (int64_t j = j0; j < j0 + kWidth; ++j)
        *panels++ = j < n ? b[p * b_row + j * b_col] : T(0);
}

template <class T>
void panel_gemm(int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row, const T* panels, T* c,
                int64_t c_row, const T* from, int64_t from_row, const Upcoming*) {
  for (int64_t j = 0; j < n; j += kWidth)
    small_gemm(m, n - j < kWidth ? n - j : kWidth, k, a, a_row, 1, panels + j * k, kWidth, c + j,
               c_row, T(1), from ? from + j : nullptr, from_row);
}

template <class T>
constexpr OwnGemm<T> own() {
  return {small_gemm<T>, pack_panels<T>, panel_gemm<T>, nullptr, nullptr, kWidth, kWidth, 0, 0};
}

}  // namespace

const SmallGemmTable kSmallGemmBaseline = {own<float>(), own<double>()};

const SmallGemmTable& small_gemm_table() {
  static const SmallGemmTable table = [] {
    if (isa() == Isa::Avx512 && kSmallGemmAvx512.f64.small) return kSmallGemmAvx512;
    if (isa() >= Isa::Avx2 && kSmallGemmAvx2.f64.small) return kSmallGemmAvx2;
    return kSmallGemmBaseline;
  }();
  return table;
}

}  // namespace fastgrad
