// Factors of small matrices by plain loops: below kSmallFactor calling LAPACK costs more than its
// work. Matrices are row-major; conventions are those of Note [Row-major LAPACK].
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace fastgrad {

constexpr int64_t kSmallFactor = 16;

// Calls f.operator()<N>() with N = n for sizes like those of points and their transformations,
// whose loops are then unrolled, and else with N = 0.
template <class F>
decltype(auto) with_size(int64_t n, F&& f) {
  switch (n) {
    case 2:
      return f.template operator()<2>();
    case 3:
      return f.template operator()<3>();
    case 4:
      return f.template operator()<4>();
    case 5:
      return f.template operator()<5>();
    case 6:
      return f.template operator()<6>();
    default:
      return f.template operator()<0>();
  }
}

// a·P = L·U in place, as getrf does it for aᵀ; returns its info. The size is N unless that is 0.
template <int64_t N, class T>
int small_factor_rows(T* a, int64_t size, int32_t* pivots) {
  const int64_t n = N ? N : size;
  int info = 0;
  for (int64_t k = 0; k < n; ++k) {
    T* row = a + k * n;
    int64_t pivot = k;
    for (int64_t j = k + 1; j < n; ++j)
      if (std::abs(row[j]) > std::abs(row[pivot])) pivot = j;
    pivots[k] = static_cast<int32_t>(pivot + 1);
    if (row[pivot] == 0) {
      if (info == 0) info = static_cast<int>(k + 1);
      continue;
    }
    if (pivot != k)
      for (int64_t i = 0; i < n; ++i) std::swap(a[i * n + k], a[i * n + pivot]);
    // A reciprocal overflows for subnormal numbers.
    T inverse = 1 / row[k];
    if (std::isfinite(inverse))
      for (int64_t j = k + 1; j < n; ++j) row[j] *= inverse;
    else
      for (int64_t j = k + 1; j < n; ++j) row[j] /= row[k];
    for (int64_t i = k + 1; i < n; ++i) {
      T x = a[i * n + k];
      for (int64_t j = k + 1; j < n; ++j) a[i * n + j] -= x * row[j];
    }
  }
  return info;
}

// P·a = L·U in place, whose L has the unit diagonal: the same numbers for aᵀ, row by row. Returns
// getrf's info. The size is N x N unless that is 0.
template <int64_t N, class T>
int small_factor(T* a, int64_t rows, int64_t cols, int32_t* pivots) {
  const int64_t m = N ? N : rows, n = N ? N : cols;
  int info = 0;
  for (int64_t k = 0; k < std::min(m, n); ++k) {
    T* row = a + k * n;
    int64_t pivot = k;
    T largest = std::abs(row[k]);
    for (int64_t i = k + 1; i < m; ++i) {
      const T size = std::abs(a[i * n + k]);
      const bool larger = size > largest;  // nobody can guess it: no branch
      pivot = larger ? i : pivot;
      largest = larger ? size : largest;
    }
    pivots[k] = static_cast<int32_t>(pivot + 1);
    if (a[pivot * n + k] == 0) {
      if (info == 0) info = static_cast<int>(k + 1);
      continue;
    }
    if (pivot != k) std::swap_ranges(row, row + n, a + pivot * n);
    const T inverse = 1 / row[k];
    const bool multiply = std::isfinite(inverse);  // it overflows for subnormal numbers
    for (int64_t i = k + 1; i < m; ++i) {
      T* other = a + i * n;
      const T factor = multiply ? other[k] * inverse : other[k] / row[k];
      other[k] = factor;
      for (int64_t j = k + 1; j < n; ++j) other[j] -= factor * row[j];
    }
  }
  return info;
}

// A triangle of n rows in memory of any strides; `lower`, or the upper one.
struct SmallTriangle {
  bool lower, unit;
  int64_t down, across;
};

// x = t⁻¹·x for k right sides, whose element (i, j) is x[i * row_step + j * col_step]. Elements are
// numbers, or as many as a register has.
template <class T>
[[gnu::always_inline]] inline void substitute(const T* t, int64_t n, const SmallTriangle& of, T* x,
                                              int64_t row_step, int64_t col_step, int64_t k) {
  for (int64_t s = 0; s < n; ++s) {
    const int64_t i = of.lower ? s : n - 1 - s;
    const T* factors = t + i * of.down;
    T* row = x + i * row_step;
    for (int64_t p = of.lower ? 0 : i + 1; p < (of.lower ? i : n); ++p) {
      const T factor = factors[p * of.across];
      for (int64_t j = 0; j < k; ++j) row[j * col_step] -= factor * x[p * row_step + j * col_step];
    }
    if (!of.unit)
      for (int64_t j = 0; j < k; ++j) row[j * col_step] /= factors[i * of.across];
  }
}

// x = L⁻¹·x, then U⁻¹·x with its diagonal of ones, or the transposed ones in the other order; x is
// (n, k).
template <class T>
[[gnu::always_inline]] inline void substitute_factors(const T* lu, int64_t n, bool transposed, T* x,
                                                      int64_t k) {
  if (!transposed) {
    substitute(lu, n, {true, false, n, 1}, x, k, 1, k);
    substitute(lu, n, {false, true, n, 1}, x, k, 1, k);
  } else {
    substitute(lu, n, {true, true, 1, n}, x, k, 1, k);
    substitute(lu, n, {false, false, 1, n}, x, k, 1, k);
  }
}
// The same, of (N, K) where these are not 0.
template <int64_t N, int64_t K, class T>
void small_solve_factored(const T* lu, int64_t n, bool transposed, T* x, int64_t k) {
  substitute_factors(lu, N ? N : n, transposed, x, K ? K : k);
}

constexpr int64_t kDirectCofactors = 3;

// The cofactors of up to 3 x 3 as the polynomials they are.
template <class T>
void small_cofactors(const T* a, int64_t n, T* out) {
  if (n == 1) {
    out[0] = 1;
  } else if (n == 2) {
    const T result[] = {a[3], 0 - a[2], 0 - a[1], a[0]};  // no -0 of a 0
    std::copy_n(result, 4, out);
  } else if (n == 3) {
    for (int64_t i = 0; i < 3; ++i) {
      const T *p = a + (i + 1) % 3 * 3, *q = a + (i + 2) % 3 * 3;
      for (int64_t j = 0; j < 3; ++j) {
        const int64_t k = (j + 1) % 3, l = (j + 2) % 3;
        out[i * 3 + j] = p[k] * q[l] - p[l] * q[k];
      }
    }
  }
}

// Their derivative at a along h.
template <class T>
void small_cofactors_derivative(const T* a, const T* h, int64_t n, T* out) {
  if (n == 1) {
    out[0] = 0;
  } else if (n == 2) {  // they are linear
    small_cofactors(h, n, out);
  } else if (n == 3) {
    for (int64_t i = 0; i < 3; ++i) {
      const int64_t r = (i + 1) % 3 * 3, s = (i + 2) % 3 * 3;
      for (int64_t j = 0; j < 3; ++j) {
        const int64_t k = (j + 1) % 3, l = (j + 2) % 3;
        out[i * 3 + j] =
            h[r + k] * a[s + l] + a[r + k] * h[s + l] - h[r + l] * a[s + k] - a[r + l] * h[s + k];
      }
    }
  }
}

// a = L·Lᵀ in place, or UᵀU of the upper triangle; the other triangle stays. The rows are `stride`
// apart. Returns potrf's info.
template <class T>
int small_cholesky(T* a, int64_t stride, int64_t n, bool upper) {
  // at(i, p) for i >= p: the element of L, or the one of U opposite it.
  const int64_t step = upper ? 1 : stride, across = upper ? stride : 1;
  for (int64_t j = 0; j < n; ++j) {
    T square = a[j * (stride + 1)];
    for (int64_t p = 0; p < j; ++p) {
      T x = a[j * step + p * across];
      square -= x * x;
    }
    if (!(square > 0)) return static_cast<int>(j + 1);
    const T root = std::sqrt(square);
    a[j * (stride + 1)] = root;
    for (int64_t i = j + 1; i < n; ++i) {
      T sum = a[i * step + j * across];
      for (int64_t p = 0; p < j; ++p) sum -= a[i * step + p * across] * a[j * step + p * across];
      a[i * step + j * across] = sum / root;
    }
  }
  return 0;
}

}  // namespace fastgrad
