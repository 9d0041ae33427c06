// Solving with triangles of any size, by own products.
//
// Note [Halves of a triangle]
// A system with a triangle is two of half its size and the product between them, and so on down to
// kTriangleBlock rows. These are solved for a panel of right sides at a time, which is packed as
// for a product and stays in the first-level cache, whether right sides are columns or rows; an
// upper triangle becomes a lower one by counting its rows from the end. Nearly all of the work is
// in large products, which threads share; below, they share the panels.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/gemm_small.h"
#include "kernels/cpu/linalg_reflectors.h"
#include "kernels/gemm.h"

namespace fastgrad {

constexpr int64_t kTriangleBlock = 128;

// c -= a·b; the columns of c are contiguous.
template <class T>
void subtract_product(const Matrix& a, const Matrix& b, const Matrix& c) {
  GemmOptions subtract;
  subtract.accumulate = true;
  subtract.alpha = Scalar(-1.0);
  if (c.rows > 0 && c.cols > 0 && a.cols > 0) gemm(dtype_of<T>, a, b, c, subtract);
}

// Where to cut so many rows in two: after whole blocks, or else after whole cache lines of columns.
inline int64_t half_of(int64_t n) {
  const int64_t unit = n > kTriangleBlock ? kTriangleBlock : kSubstituted;
  return (n / 2 + unit - 1) / unit * unit;
}

// A triangle of n rows within memory of any strides.
template <class T>
struct Triangle {
  T* data;
  int64_t n, row_step, col_step;
  bool upper, unit;

  T* at(int64_t i, int64_t j) const { return data + i * row_step + j * col_step; }
  Triangle part(int64_t begin, int64_t end) const {
    return {at(begin, begin), end - begin, row_step, col_step, upper, unit};
  }
  // The square between the two parts that half_of() cuts it into.
  Matrix between(int64_t half) const {
    char* corner = reinterpret_cast<char*>(upper ? at(0, half) : at(half, 0));
    return upper ? Matrix{corner, half, n - half, row_step, col_step}
                 : Matrix{corner, n - half, half, row_step, col_step};
  }
  Triangle transposed() const { return {data, n, col_step, row_step, !upper, unit}; }
  Triangle from_the_end() const {
    return {n ? at(n - 1, n - 1) : data, n, -row_step, -col_step, !upper, unit};
  }
};

// One panel of right sides, rows of `width`, filled up to a multiple of kSubstituted, divided by a
// lower triangle.
template <class T>
void divide_panel(const Triangle<T>& t, const T* inverses, T* panel, int64_t width) {
  const int64_t steps = (t.n + kSubstituted - 1) / kSubstituted;
  for (int64_t s = 0; s < steps; ++s) {
    const int64_t i = s * kSubstituted, rows = std::min(kSubstituted, t.n - i);
    T* here = panel + i * width;
    if (i > 0)
      own_gemm(T{}).small(rows, width, i, t.at(i, 0), t.row_step, t.col_step, panel, width, here,
                          width, T(-1), here, width);
    reflector_lines(T{}).substitute(t.at(i, i), t.row_step, t.col_step, inverses + i, rows, here,
                                    width, width);
  }
}

// x = t⁻¹·x for k right sides, whose element (i, j) is at i * row_step + j * col_step, one of which
// is 1, and at most kTriangleBlock rows.
template <class T>
void divide_block(const Triangle<T>& triangle, T* x, int64_t row_step, int64_t col_step,
                  int64_t k) {
  Triangle<T> t = triangle;
  const int64_t n = t.n;
  if (t.upper) {
    t = t.from_the_end();
    x += (n - 1) * row_step;
    row_step = -row_step;
  }
  T inverses[kTriangleBlock];
  for (int64_t i = 0; i < n; ++i) inverses[i] = t.unit ? T(1) : 1 / *t.at(i, i);
  const OwnGemm<T>& own = own_gemm(T{});
  const int64_t width = own.panel_width, panels = (k + width - 1) / width;
  constexpr double kParallel = 1 << 20;
  const double work = static_cast<double>(n * n) * static_cast<double>(k);
  parallel_for(panels, work < kParallel ? panels : 1, [&](int64_t begin, int64_t end) {
    Scratch<T> memory(2 * kTriangleBlock * kMaxPanelWidth);
    T *panel = memory.get(), *turned = panel + kTriangleBlock * kMaxPanelWidth;
    for (int64_t p = begin; p < end; ++p) {
      const int64_t count = std::min(width, k - p * width);
      T* side = x + p * width * col_step;
      own.pack(n, count, side, row_step, col_step, panel);
      divide_panel(t, inverses, panel, width);
      if (col_step == 1) {
        for (int64_t i = 0; i < n; ++i) std::copy_n(panel + i * width, count, side + i * row_step);
      } else if (row_step == 1) {
        own.pack(count, n, panel, 1, width, turned);
        for (int64_t i = 0; i < n; i += width)
          for (int64_t j = 0; j < count; ++j)
            std::copy_n(turned + i * count + j * width, std::min(width, n - i),
                        side + j * col_step + i);
      } else {
        for (int64_t j = 0; j < count; ++j)
          for (int64_t i = 0; i < n; ++i) side[i * row_step + j * col_step] = panel[i * width + j];
      }
    }
  });
}

// x = t⁻¹·x, where x has k columns and rows that are `stride` apart.
template <class T>
void divide_left(const Triangle<T>& t, T* x, int64_t stride, int64_t k) {
  if (t.n <= kTriangleBlock) {
    divide_block(t, x, stride, 1, k);
    return;
  }
  const int64_t half = half_of(t.n);
  T *first = x, *second = x + half * stride;
  const Matrix top = matrix_at(first, half, k, stride),
               bottom = matrix_at(second, t.n - half, k, stride);
  if (t.upper) {
    divide_left(t.part(half, t.n), second, stride, k);
    subtract_product<T>(t.between(half), bottom, top);
    divide_left(t.part(0, half), first, stride, k);
  } else {
    divide_left(t.part(0, half), first, stride, k);
    subtract_product<T>(t.between(half), top, bottom);
    divide_left(t.part(half, t.n), second, stride, k);
  }
}

// x = x·t⁻¹, where x has m rows, `stride` apart.
template <class T>
void divide_right(const Triangle<T>& t, T* x, int64_t stride, int64_t m) {
  if (t.n <= kTriangleBlock) {
    divide_block(t.transposed(), x, 1, stride, m);
    return;
  }
  const int64_t half = half_of(t.n);
  const Matrix left = matrix_at(x, m, half, stride),
               right = matrix_at(x + half, m, t.n - half, stride);
  if (t.upper) {
    divide_right(t.part(0, half), x, stride, m);
    subtract_product<T>(left, t.between(half), right);
    divide_right(t.part(half, t.n), x + half, stride, m);
  } else {
    divide_right(t.part(half, t.n), x + half, stride, m);
    subtract_product<T>(right, t.between(half), left);
    divide_right(t.part(0, half), x, stride, m);
  }
}

// x, whose rows are `stride` apart and which holds zeros, becomes the inverse of a lower triangle.
template <class T>
void invert_lower(const Triangle<T>& t, T* x, int64_t stride) {
  if (t.n <= kTriangleBlock) {
    for (int64_t i = 0; i < t.n; ++i) x[i * (stride + 1)] = 1;
    divide_block(t, x, stride, 1, t.n);
    return;
  }
  const int64_t half = half_of(t.n), rest = t.n - half;
  T *corner = x + half * stride, *second = corner + half;
  invert_lower(t.part(0, half), x, stride);
  subtract_product<T>(t.between(half), matrix_at(x, half, half, stride),
                      matrix_at(corner, rest, half, stride));
  divide_left(t.part(half, t.n), corner, stride, half);
  invert_lower(t.part(half, t.n), second, stride);
}

}  // namespace fastgrad
