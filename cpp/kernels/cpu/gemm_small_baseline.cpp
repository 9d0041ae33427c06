#include "base/isa.h"
#include "kernels/cpu/gemm_small.h"

namespace fastgrad {
namespace {

constexpr int64_t kWidth = 16;

// Rows of b are added up in kRows rows of a block of c, which the compiler vectorises.
template <int kRows, int64_t kColumns, class T>
void block(int64_t width, int64_t k, const T* a, int64_t a_row, int64_t a_col, const T* b,
           int64_t b_row, T* c, int64_t c_row, T alpha, const T* from, int64_t from_row) {
  const int64_t columns = kColumns ? kColumns : width;
  T sums[kRows][kWidth] = {};
  for (int64_t p = 0; p < k; ++p) {
    const T* row = b + p * b_row;
    for (int i = 0; i < kRows; ++i) {
      const T x = a[i * a_row + p * a_col];
      for (int64_t j = 0; j < columns; ++j) sums[i][j] += x * row[j];
    }
  }
  for (int i = 0; i < kRows; ++i)
    for (int64_t j = 0; j < columns; ++j) {
      const T product = alpha * sums[i][j];
      c[i * c_row + j] = from ? from[i * from_row + j] + product : product;
    }
}

template <class T>
void small_gemm(int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row, int64_t a_col,
                const T* b, int64_t b_row, T* c, int64_t c_row, T alpha, const T* from,
                int64_t from_row) {
  constexpr int kRows = 2;
  for (int64_t j = 0; j < n; j += kWidth) {
    int64_t width = n - j < kWidth ? n - j : kWidth;
    for (int64_t i = 0; i < m; i += kRows) {
      auto run = width < kWidth  ? (m - i < kRows ? block<1, 0, T> : block<kRows, 0, T>)
                 : m - i < kRows ? block<1, kWidth, T>
                                 : block<kRows, kWidth, T>;
      run(width, k, a + i * a_row, a_row, a_col, b + j, b_row, c + i * c_row + j, c_row, alpha,
          from ? from + i * from_row + j : nullptr, from_row);
    }
  }
}

template <class T>
void small_gemms(const GemmBatch& batch, int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row,
                 int64_t a_col, const T* b, int64_t b_row, T* c, int64_t c_row, T alpha,
                 const T* from, int64_t from_row) {
  for (int64_t i = 0; i < batch.count; ++i) {
    T* to = c + i * batch.c_step;
    if (i > 0 && batch.c_step == 0) {
      from = to;
      from_row = c_row;
    }
    small_gemm(m, n, k, a + i * batch.a_step, a_row, a_col, b + i * batch.b_step, b_row, to, c_row,
               alpha, from ? from + i * batch.c_step : nullptr, from_row);
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
void panel_gemm(int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row, int64_t a_col,
                const T* panels, int64_t step, T* c, int64_t c_row, const T* from, int64_t from_row,
                const Upcoming*) {
  for (int64_t j = 0; j < n; j += kWidth, panels += step)
    small_gemm(m, n - j < kWidth ? n - j : kWidth, k, a, a_row, a_col, panels, kWidth, c + j, c_row,
               T(1), from ? from + j : nullptr, from_row);
}

template <class T>
constexpr OwnGemm<T> own() {
  return {small_gemm<T>,
          small_gemms<T>,
          pack_panels<T>,
          panel_gemm<T>,
          nullptr,
          nullptr,
          {},
          kWidth,
          0,
          0};
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
