#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "base/isa.h"
#include "base/thread_pool.h"
#include "kernels/cpu/beside.h"
#include "kernels/cpu/distance_lines.h"
#include "kernels/cpu/linalg_batches.h"
#include "kernels/cpu/take_powers.h"
#include "kernels/gemm.h"
#include "kernels/norm.h"

namespace fastgrad {
namespace {

const DistanceTable& distance_table() {
  if (isa() >= Isa::Avx512 && kDistancesAvx512.f32.sums) return kDistancesAvx512;
  return isa() >= Isa::Avx2 && kDistancesAvx2.f32.sums ? kDistancesAvx2 : kDistancesBaseline;
}

template <class T>
void take_roots(T* x, int64_t n) {
  const char* in = reinterpret_cast<const char*>(x);
  block_kernel(ElementwiseOp::Sqrt, dtype_of<T>)(reinterpret_cast<char*>(x), &in, 0, n);
}

// Distances of one row from many, which stand side by side: y[k * apart + j] is element k of row j.
constexpr int64_t kRowsAtOnce = 256;
template <class T>
void distances(const T* x, const T* y, int64_t apart, int64_t n, int64_t count, double p, T* out) {
  const DistanceLines<T>& lines = distance_table()(T{});
  if (p == 2) {
    lines.squares(x, y, apart, n, count, out);
    return take_roots(out, count);
  }
  if (p == 1) return lines.sums(x, y, apart, n, count, out);
  if (std::isinf(p)) return lines.largest(x, y, apart, n, count, out);
  T powers[kRowsAtOnce];
  std::fill_n(out, count, T(0));
  for (int64_t k = 0; k < n; ++k, y += apart) {
    for (int64_t j = 0; j < count; ++j) powers[j] = std::abs(x[k] - y[j]);
    if (p == 0)
      for (int64_t j = 0; j < count; ++j) powers[j] = powers[j] > 0 ? T(1) : powers[j];
    else
      take_powers(powers, count, static_cast<T>(p), powers);
    for (int64_t j = 0; j < count; ++j) out[j] += powers[j];
  }
  if (p != 0) take_powers(out, count, static_cast<T>(1 / p), out);
}

// Rows of this many bytes are taken as they are, and half of that for the largest or of few rows.
constexpr int64_t kLongRow = 512, kFewRows = 16;
static_assert(kLongRow >= 2 * kDistanceRowBytes);
template <class T>
typename DistanceLines<T>::RowKernel row_kernel(double p) {
  const DistanceLines<T>& lines = distance_table()(T{});
  if (p == 2) return lines.row_squares;
  if (p == 1) return lines.row_sums;
  return std::isinf(p) ? lines.row_largest : nullptr;
}

// Of the rows of one matrix from those of another; or, without another, from those after them,
// which leaves the rows of the triangle above the diagonal one after the other.
template <class T>
void matrix_distances(const T* a, const T* b, int64_t rows, int64_t cols, int64_t n, double p,
                      T* out) {
  constexpr int64_t kWidth = kDistanceBytes / sizeof(T);
  const T* from = b ? b : a;
  const int64_t grain = std::max<int64_t>(1, kParallelGrain / std::max<int64_t>(n * cols, 1));
  // The distances of row r go to `to`, from the column `first` on.
  auto for_rows = [&](auto&& f) {
    parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        f(r, b ? 0 : r + 1, out + (b ? r * cols : r * cols - r * (r + 3) / 2 - 1));
    });
  };
  const auto along_rows = row_kernel<T>(p);
  const int64_t long_row = std::isinf(p) || cols <= kFewRows ? kLongRow / 2 : kLongRow;
  if (along_rows && n * int64_t{sizeof(T)} >= long_row)
    return for_rows([&](int64_t r, int64_t first, T* to) {
      const int64_t count = cols - first;
      along_rows(a + r * n, from + first * n, n, count, to + first);
      if (p == 2) take_roots(to + first, count);
    });
  const int64_t padded = (cols + kWidth - 1) / kWidth * kWidth;
  const auto aside = std::make_unique_for_overwrite<T[]>(static_cast<size_t>(padded * n));
  auto apart = [&](int64_t c) { return std::min(kRowsAtOnce, padded - c); };
  for (int64_t j = 0; j < padded; j += kBeside<T>) {
    const int64_t c = j - j % kRowsAtOnce, step = apart(c);
    T* to = aside.get() + c * n + j - c;
    for_columns(from + j * n, n, n, std::clamp<int64_t>(cols - j, 0, kBeside<T>),
                [&](int64_t k, Beside<T> v) {
                  *reinterpret_cast<typename BesideTypes<T>::unaligned*>(to + k * step) = v;
                });
  }
  for_rows([&](int64_t r, int64_t first, T* to) {  // by columns
    T found[kRowsAtOnce];
    for (int64_t c = first - first % kRowsAtOnce; c < cols; c += kRowsAtOnce) {
      const int64_t skip = std::max<int64_t>(first - c, 0), start = skip - skip % kWidth;
      distances(a + r * n, aside.get() + c * n + start, apart(c), n, apart(c) - start, p, found);
      std::copy(found + skip - start, found + std::min(kRowsAtOnce, cols - c) - start,
                to + c + skip);
    }
  });
}

// Euclidean distances of long rows by a product of matrices: |x - y|^2 = |x|^2 + |y|^2 - 2 x.y. The
// mean of y is taken off first, so that rows far from 0 lose less.
template <class T>
void distances_by_product(const T* a, const T* b, int64_t rows, int64_t cols, int64_t n, T* out) {
  std::vector<double> mean(static_cast<size_t>(n));
  for (int64_t j = 0; j < cols; ++j)
    for (int64_t k = 0; k < n; ++k)
      mean[static_cast<size_t>(k)] += static_cast<double>(b[j * n + k]);
  for (double& m : mean) m /= static_cast<double>(cols);
  auto centred = [&](const T* x, int64_t count, std::vector<T>& squares) {
    const int64_t shape[] = {count, n};
    Array y = Array::empty(shape, dtype_of<T>);
    squares.resize(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) {
      double sum = 0;
      for (int64_t k = 0; k < n; ++k) {
        const T v =
            static_cast<T>(static_cast<double>(x[i * n + k]) - mean[static_cast<size_t>(k)]);
        y.ptr<T>()[i * n + k] = v;
        sum += static_cast<double>(v) * static_cast<double>(v);
      }
      squares[static_cast<size_t>(i)] = static_cast<T>(sum);
    }
    return y;
  };
  std::vector<T> of_rows, of_cols;
  const Array x = centred(a, rows, of_rows), y = centred(b, cols, of_cols);
  gemm(dtype_of<T>, matrix_of(x), matrix_of(y).transposed(),
       {reinterpret_cast<char*>(out), rows, cols, cols, 1}, {.alpha = -2});
  parallel_for(rows, std::max<int64_t>(1, kParallelGrain / cols), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      T* to = out + r * cols;
      const T own = of_rows[static_cast<size_t>(r)];
      for (int64_t c = 0; c < cols; ++c) {
        const T square = to[c] + (own + of_cols[static_cast<size_t>(c)]);
        to[c] = square < 0 ? T(0) : square;
      }
      take_roots(to, cols);
    }
  });
}

}  // namespace

void row_distances(const Array& x, const Array& y, double p, bool by_product, const Array& out) {
  Array a = as_contiguous(x), b = as_contiguous(y);
  int64_t rows = rows_of(out), cols = cols_of(out), n = cols_of(a);
  if (out.numel == 0) return;
  dispatch_float(out.dtype, "cdist", [&]<class T>(T) {
    for (int64_t i = 0; i < batch_count(out); ++i) {
      const T *from = a.ptr<T>() + i * rows * n, *to = b.ptr<T>() + i * cols * n;
      T* distances = out.ptr<T>() + i * rows * cols;
      if (by_product)
        distances_by_product(from, to, rows, cols, n, distances);
      else
        matrix_distances(from, to, rows, cols, n, p, distances);
    }
  });
}

void distance_slopes(const Array& g, const Array& x, const Array& y, const Array& distances,
                     double p, const Array& out) {
  if (out.numel == 0) return;
  const Array by = as_contiguous(g), a = as_contiguous(x), b = as_contiguous(y),
              d = as_contiguous(distances);
  const int64_t rows = rows_of(a), cols = rows_of(b), n = cols_of(a);
  const int64_t grain = std::max<int64_t>(1, kParallelGrain / std::max<int64_t>(n * cols, 1));
  dispatch_float(out.dtype, "cdist", [&]<class T>(T) {
    const DistanceLines<T>& lines = distance_table()(T{});
    parallel_for(batch_count(a) * rows, grain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const T *from = a.ptr<T>() + r * n, *to = b.ptr<T>() + r / rows * cols * n;
        if (p == 1)
          lines.sum_slopes(from, to, n, cols, by.ptr<T>() + r * cols, out.ptr<T>() + r * n);
        else
          lines.largest_slopes(from, to, n, cols, by.ptr<T>() + r * cols, d.ptr<T>() + r * cols,
                               out.ptr<T>() + r * n);
      }
    });
  });
}

void pair_distances(const Array& x, double p, const Array& out) {
  if (out.numel == 0) return;
  const Array a = as_contiguous(x);
  const int64_t rows = rows_of(a), n = cols_of(a), pairs = out.shape.back();
  dispatch_float(out.dtype, "pdist", [&]<class T>(T) {
    for (int64_t i = 0; i < out.numel / pairs; ++i)
      matrix_distances<T>(a.ptr<T>() + i * rows * n, nullptr, rows, rows, n, p,
                          out.ptr<T>() + i * pairs);
  });
}

}  // namespace fastgrad
