// Factors for solving, inverse, determinant, triangular solves, Cholesky.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/cpu/lapack_calls.h"
#include "kernels/cpu/linalg_batches.h"
#include "kernels/cpu/linalg_lu.h"
#include "kernels/cpu/linalg_small.h"

namespace fastgrad {
namespace {

using lapack::Int;

// x = t⁻¹·x, or x·t⁻¹ where not `left`, of a row-major x. With few right sides or rows BLAS, which
// reads the triangle once, is faster than the own products.
template <class T>
void divide(const Triangle<T>& t, bool left, T* x, int64_t rows, int64_t cols) {
  constexpr int64_t kFewSides = 8;
  if (std::min(left ? cols : rows, t.n) >= kFewSides) {
    left ? divide_left(t, x, cols, cols) : divide_right(t, x, cols, rows);
    return;
  }
  const bool turned = t.row_step == 1 && t.n > 1;  // its memory is the other triangle
  const CBLAS_UPLO uplo = t.upper != turned ? CblasUpper : CblasLower;
  const CBLAS_TRANSPOSE trans = turned ? CblasTrans : CblasNoTrans;
  const CBLAS_DIAG diag = t.unit ? CblasUnit : CblasNonUnit;
  const Int stride = static_cast<Int>(turned ? t.col_step : t.row_step);
  if (left && cols == 1)
    lapack::trsv(uplo, trans, diag, static_cast<Int>(t.n), t.data, stride, x);
  else
    lapack::trsm(left ? CblasLeft : CblasRight, uplo, trans, diag, static_cast<Int>(rows),
                 static_cast<Int>(cols), t.data, stride, x, static_cast<Int>(cols));
}

// x[p] = x[i] exchanged for each pivot, in order or backwards; x has k columns.
template <class T>
void exchange_rows(T* x, int64_t k, const int32_t* pivots, int64_t n, bool backwards) {
  for (int64_t s = 0; s < n; ++s) {
    int64_t i = backwards ? n - 1 - s : s, p = pivots[i] - 1;
    if (p != i) std::swap_ranges(x + i * k, x + (i + 1) * k, x + p * k);
  }
}

// In place; col-major getrf of a row-major matrix, which gives a·P = L·U. See Note [Row-major
// LAPACK].
template <class T>
Int factor_rows(T* a, int64_t n, int32_t* pivots) {
  if (n > kSmallFactor) return factor_by_halves(a, n, pivots);
  return with_size(n, [&]<int64_t N> { return small_factor_rows<N>(a, n, pivots); });
}

// The same for matrices [begin, end).
template <class T>
void factor_all(T* a, int64_t n, int32_t* pivots, int32_t* info, int64_t begin, int64_t end) {
  for_lanes<T>(
      begin, end, n,
      [&](const MatrixLanes<T>& lanes, int64_t i, int64_t count) {
        std::fill_n(info + i, count, 0);
        return lanes.factor(a + i * n * n, n, false, pivots + i * n, count);
      },
      [&](int64_t i) { info[i] = factor_rows(a + i * n * n, n, pivots + i * n); });
}

// x = a⁻¹·x or a⁻ᵀ·x, with a·P = L·U.
template <class T>
void solve_factored(T* lu, const int32_t* pivots, int64_t n, bool transposed, T* x, int64_t k) {
  if (n == 0 || k == 0) return;
  if (n <= kSmallFactor) {
    if (transposed) exchange_rows(x, k, pivots, n, false);
    with_size(n, [&]<int64_t N> {
      auto run = k == 1   ? small_solve_factored<N, 1, T>
                 : k == n ? small_solve_factored<N, N, T>
                          : small_solve_factored<0, 0, T>;
      run(lu, n, transposed, x, k);
    });
    if (!transposed) exchange_rows(x, k, pivots, n, true);
    return;
  }
  const Triangle<T> lower{lu, n, n, 1, false, false}, upper{lu, n, n, 1, true, true};
  if (!transposed) {
    divide(lower, true, x, n, k);
    divide(upper, true, x, n, k);
    exchange_rows(x, k, pivots, n, true);
  } else {
    exchange_rows(x, k, pivots, n, false);
    divide(upper.transposed(), true, x, n, k);
    divide(lower.transposed(), true, x, n, k);
  }
}

// The same for `count` small matrices side by side.
template <class T>
void solve_together(const MatrixLanes<T>& lanes, const T* lu, const int32_t* pivots, int64_t n,
                    bool transposed, T* x, int64_t k, int64_t count) {
  auto exchange = [&](bool backwards) {
    for (int64_t i = 0; i < count; ++i)
      exchange_rows(x + i * n * k, k, pivots + i * n, n, backwards);
  };
  if (transposed) exchange(false);
  lanes.solve(lu, n, transposed, x, k, count);
  if (!transposed) exchange(true);
}

// inverse = a⁻¹, with a·P = L·U.
template <class T>
void invert_factored(T* lu, const int32_t* pivots, int64_t n, T* inverse) {
  std::fill_n(inverse, n * n, T(0));
  if (n > kSmallFactor) {
    invert_lower(Triangle<T>{lu, n, n, 1, false, false}, inverse, n);
    divide_left(Triangle<T>{lu, n, n, 1, true, true}, inverse, n, n);
    exchange_rows(inverse, n, pivots, n, true);
    return;
  }
  for (int64_t j = 0; j < n; ++j) inverse[j * n + j] = 1;
  solve_factored(lu, pivots, n, false, inverse, n);
}

// The same for `count` matrices.
template <class T>
void invert_all(T* lu, const int32_t* pivots, int64_t n, T* inverse, int64_t count) {
  for_lanes<T>(
      0, count, n,
      [&](const MatrixLanes<T>& lanes, int64_t i, int64_t size) {
        T* first = inverse + i * n * n;
        std::fill_n(first, size * n * n, T(0));
        for (int64_t j = 0; j < size * n; ++j) first[j / n * n * n + j % n * (n + 1)] = 1;
        solve_together(lanes, lu + i * n * n, pivots + i * n, n, false, first, n, size);
        return 0u;
      },
      [&](int64_t i) { invert_factored(lu + i * n * n, pivots + i * n, n, inverse + i * n * n); });
}

template <class T>
struct LogDet {
  T sign = 1, logabs = 0;
};
template <class T>
LogDet<T> logdet_of(const T* lu, const int32_t* pivots, int64_t n) {
  LogDet<T> d;
  bool negative = false;
  for (int64_t i = 0; i < n; ++i) {
    T x = lu[i * n + i];
    if ((pivots[i] - 1 != i) != (x < 0)) negative = !negative;
    if (x == 0) d.sign = 0;
    if (std::isnan(x)) d.sign = x;
    d.logabs += std::log(std::abs(x));
  }
  if (negative && d.sign != 0) d.sign = -d.sign;
  return d;
}

template <class T>
T det_of(const T* lu, const int32_t* pivots, int64_t n) {
  T d = 1;
  for (int64_t i = 0; i < n; ++i) d *= pivots[i] - 1 != i ? -lu[i * n + i] : lu[i * n + i];
  return d;
}

// Singular value decomposition of one matrix, u·diag(s)·vh, with the product of the determinants of
// u and vh, which is 1 or -1.
template <class T>
struct SquareSvd {
  Scratch<T> u, s, vh;
  T orientation = 1;

  SquareSvd(const T* a, int64_t n) : u(n * n), s(n), vh(n * n) {
    Scratch<T> copy(n * n);
    Scratch<Int> iwork(8 * n);
    std::copy_n(a, n * n, copy.get());
    Int ni = static_cast<Int>(n), info = 0;
    T size = 0;
    lapack::gesdd('A', ni, ni, copy.get(), ni, s.get(), vh.get(), ni, u.get(), ni, &size, -1,
                  iwork.get(), &info);
    Scratch<T> work(static_cast<int64_t>(size));
    lapack::gesdd('A', ni, ni, copy.get(), ni, s.get(), vh.get(), ni, u.get(), ni, work.get(),
                  static_cast<Int>(size), iwork.get(), &info);
    if (info != 0) std::fill_n(s.get(), n, std::numeric_limits<T>::quiet_NaN());
    Scratch<int32_t> pivots(n);
    for (Scratch<T>* factor : {&u, &vh}) {
      std::copy_n(factor->get(), n * n, copy.get());
      factor_rows(copy.get(), n, pivots.get());
      if (det_of(copy.get(), pivots.get(), n) < 0) orientation = -orientation;
    }
  }
};

// The products of all s but those of one or two places.
template <class T>
T product_without(const T* s, int64_t n, int64_t i, int64_t j = -1) {
  T p = 1;
  for (int64_t k = 0; k < n; ++k)
    if (k != i && k != j) p *= s[k];
  return p;
}

// c = a·b, n x n, each optionally transposed.
template <class T>
void small_product(const T* a, bool ta, const T* b, bool tb, int64_t n, T* c) {
  CBLAS_TRANSPOSE fa = ta ? CblasTrans : CblasNoTrans, fb = tb ? CblasTrans : CblasNoTrans;
  Int i = static_cast<Int>(n);
  if constexpr (std::is_same_v<T, float>)
    scipy_cblas_sgemm(CblasRowMajor, fa, fb, i, i, i, 1, a, i, b, i, 0, c, i);
  else
    scipy_cblas_dgemm(CblasRowMajor, fa, fb, i, i, i, 1, a, i, b, i, 0, c, i);
}

// The largest sum of magnitudes in a row: the norm of a times that of its inverse is the condition.
double largest_row(const double* a, int64_t n) {
  double most = 0;
  for (int64_t i = 0; i < n; ++i) {
    double row = 0;
    for (int64_t j = 0; j < n; ++j) row += std::abs(a[i * n + j]);
    most = std::max(most, row);
  }
  return most;
}

// How many matrices of n rows may go side by side.
template <class T>
int64_t together(int64_t n) {
  return n <= kSmallFactor ? std::max<int64_t>(1, matrix_lanes(T{}).most) : 1;
}

// From the singular values.
template <class T>
void cofactors_by_svd(const T* a, int64_t n, T* out) {
  SquareSvd<T> d(a, n);
  for (int64_t i = 0; i < n; ++i) {
    T p = d.orientation * product_without(d.s.get(), n, i);
    for (int64_t j = 0; j < n; ++j) d.vh[i * n + j] *= p;
  }
  small_product(d.u.get(), false, d.vh.get(), false, n, out);
}

// det(a) * a⁻ᵀ where a is well-conditioned. In doubles, which few matrices of floats are too near
// to a singular one for.
class Cofactors {
 public:
  explicit Cofactors(int64_t n)
      : most(together<double>(n)),
        n_(n),
        lu_(most * n * n),
        inverse_(most * n * n),
        norms_(most),
        pivots_(most * n),
        status_(most) {}

  // For up to `most` matrices.
  template <class T>
  void run(const T* a, int64_t count, T* out) {
    const int64_t n = n_, square = n * n;
    std::copy_n(a, count * square, lu_.get());
    for (int64_t i = 0; i < count; ++i) norms_[i] = largest_row(lu_.get() + i * square, n);
    factor_all(lu_.get(), n, pivots_.get(), status_.get(), 0, count);
    invert_all(lu_.get(), pivots_.get(), n, inverse_.get(), count);
    for (int64_t i = 0; i < count; ++i, a += square, out += square) {
      const double* inverse = inverse_.get() + i * square;
      const double condition = norms_[i] * largest_row(inverse, n);
      if (status_[i] || !(condition * std::sqrt(std::numeric_limits<double>::epsilon()) < 1)) {
        cofactors_by_svd(a, n, out);
        continue;
      }
      const double det = det_of(lu_.get() + i * square, pivots_.get() + i * n, n);
      for (int64_t r = 0; r < n; ++r)
        for (int64_t c = 0; c < n; ++c) out[r * n + c] = static_cast<T>(det * inverse[c * n + r]);
    }
  }

  const int64_t most;

 private:
  int64_t n_;
  Scratch<double> lu_, inverse_, norms_;
  Scratch<int32_t> pivots_, status_;
};

// With h' = uᵀ·h·v, the derivative is orientation * u·m·vh, where for i != j
//   m[i][j] = -h'[j][i] * prod(s without i, j)   and   m[i][i] = sum over j of h'[j][j] * the same.
template <class T>
void cofactors_derivative_of(const T* a, const T* h, int64_t n, T* out) {
  if (n <= kDirectCofactors) return small_cofactors_derivative(a, h, n, out);
  SquareSvd<T> d(a, n);
  Scratch<T> t(n * n), rotated(n * n), m(n * n);
  small_product(d.u.get(), true, h, false, n, t.get());
  small_product(t.get(), false, d.vh.get(), true, n, rotated.get());
  for (int64_t i = 0; i < n; ++i) {
    T diagonal = 0;
    for (int64_t j = 0; j < n; ++j) {
      if (i == j) continue;
      T p = d.orientation * product_without(d.s.get(), n, i, j);
      m[i * n + j] = -p * rotated[j * n + i];
      diagonal += p * rotated[j * n + j];
    }
    m[i * n + i] = diagonal;
  }
  small_product(d.u.get(), false, m.get(), false, n, t.get());
  small_product(t.get(), false, d.vh.get(), false, n, out);
}

}  // namespace

void lu_rows(const Array& a, const Array& factors, const Array& pivots, const Array& info) {
  copy_array(a, factors);
  int64_t n = cols_of(a);
  LongWork long_work(cube(n) / 3 * static_cast<double>(batch_count(a)));
  dispatch_float(a.dtype, "lu", [&]<class T>(T) {
    for_batches(batch_count(a), cube(n), [&](int64_t begin, int64_t end) {
      factor_all(factors.ptr<T>(), n, pivots.ptr<int32_t>(), info.ptr<int32_t>(), begin, end);
    });
  });
}

void lu_rows_solve(const Array& factors, const Array& pivots, bool transposed, const Array& x) {
  int64_t n = rows_of(x), k = cols_of(x);
  BroadcastBatch matrix(batch_shape(x), batch_shape(factors));
  double work = static_cast<double>(n * n) * static_cast<double>(k);
  LongWork long_work(work * static_cast<double>(batch_count(x)));
  dispatch_float(x.dtype, "solve", [&]<class T>(T) {
    const bool paired =
        k <= kSmallFactor && std::ranges::equal(batch_shape(x), batch_shape(factors));
    T* lu = factors.ptr<T>();
    const int32_t* exchanged = pivots.ptr<int32_t>();
    T* sides = x.ptr<T>();
    auto one = [&](int64_t i) {
      int64_t f = matrix(i);
      solve_factored(lu + f * n * n, exchanged + f * n, n, transposed, sides + i * n * k, k);
    };
    for_batches(batch_count(x), work, [&](int64_t begin, int64_t end) {
      auto many = [&](const MatrixLanes<T>& lanes, int64_t i, int64_t count) {
        solve_together(lanes, lu + i * n * n, exchanged + i * n, n, transposed, sides + i * n * k,
                       k, count);
        return 0u;
      };
      for_lanes<T>(begin, end, paired ? n : 0, many, one);
    });
  });
}

void lu_rows_logdet(const Array& factors, const Array& pivots, const Array& sign,
                    const Array& logabs) {
  int64_t n = cols_of(factors);
  dispatch_float(factors.dtype, "slogdet", [&]<class T>(T) {
    for (int64_t i = 0; i < batch_count(factors); ++i) {
      LogDet<T> d = logdet_of(factors.ptr<T>() + i * n * n, pivots.ptr<int32_t>() + i * n, n);
      sign.ptr<T>()[i] = d.sign;
      logabs.ptr<T>()[i] = d.logabs;
    }
  });
}

void lu_rows_det(const Array& factors, const Array& pivots, const Array& det) {
  int64_t n = cols_of(factors);
  dispatch_float(factors.dtype, "det", [&]<class T>(T) {
    for (int64_t i = 0; i < batch_count(factors); ++i)
      det.ptr<T>()[i] = det_of(factors.ptr<T>() + i * n * n, pivots.ptr<int32_t>() + i * n, n);
  });
}

void invert(const Array& a, const Array& out, const Array& info) {
  int64_t n = cols_of(a);
  LongWork long_work(2 * cube(n) * static_cast<double>(batch_count(a)));
  dispatch_float(a.dtype, "inv", [&]<class T>(T) {
    Array x = as_contiguous(a);
    for_batches(batch_count(a), 4 * cube(n), [&](int64_t begin, int64_t end) {
      const int64_t most = together<T>(n);
      Scratch<int32_t> pivots(most * n);
      Scratch<T> factors(most * n * n);
      for (int64_t i = begin; i < end; i += most) {
        const int64_t count = std::min(most, end - i), elements = count * n * n;
        T* inverse = out.ptr<T>() + i * n * n;
        std::copy_n(x.ptr<T>() + i * n * n, elements, factors.get());
        factor_all(factors.get(), n, pivots.get(), info.ptr<int32_t>() + i, 0, count);
        invert_all(factors.get(), pivots.get(), n, inverse, count);
        for (int64_t j = 0; j < elements; ++j) inverse[j] += T(0);  // -0 becomes 0
      }
    });
  });
}

void cofactors(const Array& a, const Array& out) {
  Array x = as_contiguous(a);
  int64_t n = cols_of(a);
  dispatch_float(a.dtype, "det", [&]<class T>(T) {
    for_batches(batch_count(a), 4 * cube(n), [&](int64_t begin, int64_t end) {
      const T* from = x.ptr<T>();
      T* to = out.ptr<T>();
      if (n <= kDirectCofactors) {
        for (int64_t i = begin; i < end; ++i) small_cofactors(from + i * n * n, n, to + i * n * n);
        return;
      }
      Cofactors all(n);
      for (int64_t i = begin; i < end; i += all.most)
        all.run(from + i * n * n, std::min(all.most, end - i), to + i * n * n);
    });
  });
}

void cofactors_derivative(const Array& a, const Array& h, const Array& out) {
  Array x = as_contiguous(a), along = as_contiguous(h);
  int64_t n = cols_of(a);
  dispatch_float(a.dtype, "det", [&]<class T>(T) {
    for_batches(batch_count(a), 32 * cube(n), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        cofactors_derivative_of(x.ptr<T>() + i * n * n, along.ptr<T>() + i * n * n, n,
                                out.ptr<T>() + i * n * n);
    });
  });
}

void solve_triangular(const Array& a, const TriangularSolve& how, const Array& x) {
  if (x.numel == 0) return;
  // A transposed view costs nothing: its memory is the other triangle, to be read transposed.
  TriangularSolve h = how;
  Array m = a;
  if (!a.contiguous) {
    Array t = turned(a);
    if (t.contiguous) {
      m = t;
      h.upper = !h.upper;
      h.transposed = !h.transposed;
    } else {
      m = contiguous_copy(a);
    }
  }
  int64_t rows = rows_of(x), cols = cols_of(x), n = rows_of(m);
  BroadcastBatch matrix(batch_shape(x), batch_shape(m));
  double work = static_cast<double>(n) * static_cast<double>(rows * cols);
  LongWork long_work(work * static_cast<double>(batch_count(x)));
  dispatch_float(x.dtype, "solve_triangular", [&]<class T>(T) {
    T *triangles = m.ptr<T>(), *sides = x.ptr<T>();
    const int64_t k = h.left ? cols : rows;
    const bool small = n <= kSmallFactor && k <= kSmallFactor;
    // Those on the right are divided from the left when everything is transposed.
    const bool transposed = h.transposed == h.left;
    const SmallTriangle of{h.upper == transposed, h.unit, transposed ? 1 : n, transposed ? n : 1};
    auto one = [&](int64_t i) {
      T *triangle = triangles + matrix(i) * n * n, *to = sides + i * n * k;
      if (small) {
        substitute(triangle, n, of, to, h.left ? k : 1, h.left ? 1 : n, k);
        return;
      }
      Triangle<T> t{triangle, n, n, 1, h.upper, h.unit};
      divide(h.transposed ? t.transposed() : t, h.left, to, rows, cols);
    };
    auto many = [&](const MatrixLanes<T>& lanes, int64_t i, int64_t count) {
      lanes.divide(triangles + i * n * n, n, of, h.left, sides + i * n * k, k, count);
      return 0u;
    };
    const bool paired = small && std::ranges::equal(batch_shape(x), batch_shape(m));
    for_batches(batch_count(x), work, [&](int64_t begin, int64_t end) {
      for_lanes<T>(begin, end, paired ? n : 0, many, one);
    });
  });
}

namespace {

// Zeros above the diagonal, or below it.
template <class T>
void clear_triangle(T* m, int64_t n, bool upper) {
  for (int64_t r = 0; r < n; ++r)
    std::fill(m + r * n + (upper ? r + 1 : 0), m + r * n + (upper ? n : r), T(0));
}

}  // namespace

int small_cholesky(DType dtype, const char* a, int64_t n, bool upper, char* out) {
  std::memcpy(out, a, static_cast<size_t>(n * n) * itemsize(dtype));
  int info = 0;
  dispatch_float(dtype, "cholesky", [&]<class T>(T) {
    T* m = reinterpret_cast<T*>(out);
    info = cholesky_by_halves(m, n, n, upper);
    clear_triangle(m, n, !upper);
  });
  return info;
}

void cholesky(const Array& a, bool upper, const Array& out, const Array& info) {
  copy_array(a, out);
  int64_t n = cols_of(a);
  LongWork long_work(cube(n) / 3 * static_cast<double>(batch_count(a)));
  dispatch_float(a.dtype, "cholesky", [&]<class T>(T) {
    for_batches(batch_count(a), cube(n), [&](int64_t begin, int64_t end) {
      T* all = out.ptr<T>();
      int32_t* status = info.ptr<int32_t>();
      for_lanes<T>(
          begin, end, n,
          [&](const MatrixLanes<T>& lanes, int64_t i, int64_t count) {
            std::fill_n(status + i, count, 0);
            return lanes.cholesky(all + i * n * n, n, upper, count);
          },
          [&](int64_t i) { status[i] = cholesky_by_halves(all + i * n * n, n, n, upper); });
      for (int64_t i = begin; i < end; ++i) clear_triangle(all + i * n * n, n, !upper);
    });
  });
}

}  // namespace fastgrad
