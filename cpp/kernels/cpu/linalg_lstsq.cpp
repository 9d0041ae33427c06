// Least squares.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/cpu/lapack_calls.h"
#include "kernels/cpu/linalg_batches.h"
#include "kernels/cpu/linalg_triangular.h"

namespace fastgrad {
namespace {

using lapack::Int;

// Note [Least squares by R]
// With a = Q·R, for at least as many rows as columns, x is that of R·x = Qᵀ·b, and R has a's
// singular values. Both are the triangle that QR makes of a and b side by side. Where there are
// many rows it is made of some hundreds of them at a time, which stay in a cache and are shared
// among threads, and then of their triangles, one below the other.
//
// R and Qᵀ·b side by side, the latter with as many rows.
Array triangles_beside(const Array& a, const Array& b) {
  int64_t rows = rows_of(a);
  const int64_t n = cols_of(a), k = cols_of(b), width = n + k, batch = batch_count(a),
                size = static_cast<int64_t>(itemsize(a.dtype)),
                most_rows = std::max(4 * width, 32768 / width);
  auto cut = [&](int64_t pieces) { return (rows + pieces - 1) / pieces; };
  int64_t pieces = std::max<int64_t>(1, rows / most_rows);
  Array stack = Array::empty(Dims{batch, pieces, cut(pieces), width}, a.dtype);
  for (int64_t i = 0; i < batch; ++i) {
    char* to = stack.data + i * pieces * cut(pieces) * width * size;
    for (int64_t r = 0; r < pieces * cut(pieces); ++r, to += width * size) {
      if (r < rows) {
        std::memcpy(to, a.data + (i * rows + r) * n * size, static_cast<size_t>(n * size));
        std::memcpy(to + n * size, b.data + (i * rows + r) * k * size,
                    static_cast<size_t>(k * size));
      } else {
        std::memset(to, 0, static_cast<size_t>(width * size));
      }
    }
  }
  for (;;) {
    const int64_t height = std::min(cut(pieces), width);
    Array r = Array::empty(Dims{batch, pieces, height, width}, a.dtype);
    qr(stack, nullptr, r);
    if (pieces == 1) return r;
    rows = pieces * height;
    pieces = std::max<int64_t>(1, rows / most_rows);
    if (rows % pieces) pieces = 1;
    stack = r;
    stack.shape = {batch, pieces, rows / pieces, width};
    stack.strides = contiguous_strides(stack.shape);
  }
}

// The norm of a matrix, or somewhat less, by the power method.
template <class T>
double norm_of(const Matrix& a) {
  constexpr int kSteps = 8;
  Scratch<T> memory(a.rows + a.cols);
  Matrix x = matrix_at(memory.get(), a.cols, 1, 1),
         y = matrix_at(memory.get() + a.cols, a.rows, 1, 1);
  for (int64_t i = 0; i < a.cols; ++i)
    memory[i] = static_cast<T>(1 + 0.5 * std::sin(static_cast<double>(i)));
  double norm = 0;
  for (int step = 0; step < kSteps; ++step) {
    double square = 0;
    for (int64_t i = 0; i < a.cols; ++i) square += static_cast<double>(memory[i]) * memory[i];
    norm = std::sqrt(square);
    if (!(norm > 0) || !std::isfinite(norm)) return norm;
    for (int64_t i = 0; i < a.cols; ++i) memory[i] = static_cast<T>(memory[i] / norm);
    gemm(dtype_of<T>, a, x, y);
    gemm(dtype_of<T>, a.transposed(), y, x);
  }
  return std::sqrt(norm);
}

// Note [Certainly of full rank]
// gelsy exchanges columns, which takes several times as long as QR does, to find how many of them
// are independent by `rcond`. The norms of R and of its inverse show in most cases that all are;
// then x = R⁻¹·Qᵀ·b is the only solution. Returns false, and does nothing, where they do not show
// it.
template <class T>
bool solve_full_rank(T* r, int64_t n, int64_t k, double rcond, T* x) {
  constexpr double kMargin = 1.25;  // for what norm_of() lacks
  const Triangle<T> upper{r, n, n + k, 1, true, false};
  Scratch<T> inverse(n * n);
  std::fill_n(inverse.get(), n * n, T(0));
  invert_lower(upper.transposed(), inverse.get(), n);
  double squares = 0;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j <= i; ++j) {
      const double value = inverse[i * n + j];
      squares += value * value;
    }
  const double condition = std::sqrt(squares) * norm_of<T>(matrix_at(r, n, n, n + k));
  if (!std::isfinite(condition) || condition * rcond * kMargin > 1) return false;
  for (int64_t i = 0; i < n; ++i) std::copy_n(r + i * (n + k) + n, k, x + i * k);
  divide_left(upper, x, k, k);
  return true;
}

}  // namespace

void least_squares(const Array& a, const Array& b, char driver, double rcond, const Array& x,
                   const Array& rank, const Array& singular_values, const Array& info) {
  int64_t m = rows_of(a), n = cols_of(a), k = cols_of(b), s_count = std::min(m, n);
  std::fill_n(info.ptr<int32_t>(), info.numel, 0);
  if (rank.numel) std::fill_n(rank.ptr<int64_t>(), rank.numel, int64_t{0});
  if (s_count == 0 || k == 0) {
    std::memset(x.data, 0, static_cast<size_t>(x.nbytes()));
    if (s_count == 0) return;
  }
  Array ca = as_contiguous(a), cb = as_contiguous(b);
  const bool by_r = m >= n && n >= k;
  if (by_r) ca = triangles_beside(ca, cb);
  const int64_t rows_held = by_r ? std::min(m, n + k) : m, step = by_r ? n + k : n;
  if (by_r) m = n;
  const int64_t ldb = std::max<int64_t>({m, n, 1});
  dispatch_float(a.dtype, "lstsq", [&]<class T>(T) {
    Int mi = static_cast<Int>(m), ni = static_cast<Int>(n), ki = static_cast<Int>(k),
        ldbi = static_cast<Int>(ldb);
    Int status = 0, found_rank = 0;
    Scratch<T> matrix(m * n), rhs(ldb * k), s(s_count);
    Scratch<Int> jpvt(n);
    Int integers_size = 0;
    std::unique_ptr<Int[]> integers;
    auto run = [&](T* work, Int size) {
      switch (driver) {
        case 's':
          lapack::gels('N', mi, ni, ki, matrix.get(), mi, rhs.get(), ldbi, work, size, &status);
          break;
        case 'y':
          lapack::gelsy(mi, ni, ki, matrix.get(), mi, rhs.get(), ldbi, jpvt.get(),
                        static_cast<T>(rcond), &found_rank, work, size, &status);
          break;
        case 'd':
          lapack::gelsd(mi, ni, ki, matrix.get(), mi, rhs.get(), ldbi, s.get(),
                        static_cast<T>(rcond), &found_rank, work, size,
                        size == -1 ? &integers_size : integers.get(), &status);
          if (size == -1) integers.reset(new Int[static_cast<size_t>(std::max(integers_size, 1))]);
          break;
        default:
          lapack::gelss(mi, ni, ki, matrix.get(), mi, rhs.get(), ldbi, s.get(),
                        static_cast<T>(rcond), &found_rank, work, size, &status);
      }
    };
    lapack::WithWork<T, decltype(run)> solve(run);
    for (int64_t i = 0; i < batch_count(a); ++i) {
      T *from = ca.ptr<T>() + i * rows_held * step, *to = x.ptr<T>() + i * n * k;
      const double limit = driver == 's' ? std::numeric_limits<T>::epsilon() : rcond;
      if (by_r && (driver == 's' || driver == 'y') && solve_full_rank(from, n, k, limit, to)) {
        if (rank.numel) rank.ptr<int64_t>()[i] = n;
        continue;
      }
      const T* sides = by_r ? from + n : cb.ptr<T>() + i * m * k;
      const int64_t side_step = by_r ? step : k;
      for (int64_t j = 0; j < n; ++j)
        for (int64_t r = 0; r < m; ++r) matrix[j * m + r] = from[r * step + j];
      for (int64_t j = 0; j < k; ++j)
        for (int64_t r = 0; r < ldb; ++r)
          rhs[j * ldb + r] = r < m ? sides[r * side_step + j] : T(0);
      std::fill_n(jpvt.get(), n, 0);
      solve();
      info.ptr<int32_t>()[i] = status;
      for (int64_t r = 0; r < n; ++r)
        for (int64_t j = 0; j < k; ++j) to[r * k + j] = rhs[j * ldb + r];
      if (rank.numel) rank.ptr<int64_t>()[i] = found_rank;
      if (singular_values.numel)
        std::copy_n(s.get(), s_count, singular_values.ptr<T>() + i * s_count);
    }
  });
}

}  // namespace fastgrad
