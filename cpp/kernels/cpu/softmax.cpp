#include "kernels/softmax.h"

#include <algorithm>
#include <cmath>

#include "kernels/copy.h"
#include "kernels/cpu/reduce_lanes.h"
#include "kernels/elementwise.h"

namespace fastgrad {
namespace {

// A row-major array is cut into tiles of n rows and up to kTile columns; every column of a tile is
// one line of the softmax. Where the lines are contiguous (inner == 1) a tile has one column and
// the rows of the line are processed in blocks instead, so that loops run along memory either way.
constexpr int64_t kTile = 128;
constexpr int64_t kSumBlock = 1024;

struct Lines {
  int64_t outer = 1, n = 1, inner = 1;
  Lines(DimSpan shape, int64_t dim) {
    for (int64_t d = 0; d < static_cast<int64_t>(shape.size()); ++d)
      (d < dim ? outer : d == dim ? n : inner) *= shape[static_cast<size_t>(d)];
  }
  // f(offset of the tile's first element, columns)
  template <class F>
  void each_tile(F&& f) const {
    for (int64_t o = 0; o < outer; ++o)
      for (int64_t c = 0; c < inner; c += kTile) f(o * n * inner + c, std::min(kTile, inner - c));
  }
};

template <class F>
void with_compute_type(const Array& out, F&& f) {
  DType compute = compute_dtype(out.dtype);
  if (compute == out.dtype) return f(out);
  Array wide = Array::empty(out.shape, compute);
  f(wide);
  copy_array(wide, out);
}

template <class T>
void exp_block(T* p, int64_t n) {
  static const BlockKernel kernel = block_kernel(ElementwiseOp::Exp, dtype_of<T>);
  const char* in[] = {reinterpret_cast<const char*>(p)};
  kernel(reinterpret_cast<char*>(p), in, 0, n);
}

template <class T>
T larger(T a, T b) {
  return b > a || b != b ? b : a;
}

// Sums of blocks, added in double.
template <class T>
double sum_line(const T* p, int64_t n) {
  double total = 0;
  for (int64_t i = 0; i < n; i += kSumBlock)
    total += static_cast<double>(lanes(T{}).sum(p + i, std::min(kSumBlock, n - i)));
  return total;
}

// One contiguous line.
template <class T, bool kLog>
void softmax_line(const T* x, T* y, int64_t n) {
  const T top = lanes(T{}).largest(x, n);
  if constexpr (kLog) {
    T work[kTile];
    double total = 0;
    for (int64_t b = 0; b < n; b += kTile) {
      int64_t m = std::min(kTile, n - b);
      for (int64_t i = 0; i < m; ++i) work[i] = x[b + i] - top;
      exp_block(work, m);
      total += sum_line(work, m);
    }
    T log_total = static_cast<T>(std::log(total));
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - top) - log_total;
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = x[i] - top;
    exp_block(y, n);
    T scale = static_cast<T>(1 / sum_line(y, n));
    for (int64_t i = 0; i < n; ++i) y[i] *= scale;
  }
}

// m lines side by side, `step` elements from row to row.
template <class T, bool kLog>
void softmax_tile(const T* x, T* y, int64_t n, int64_t m, int64_t step) {
  T top[kTile], work[kTile];
  double total[kTile];
  std::copy_n(x, m, top);
  for (int64_t k = 1; k < n; ++k)
    for (int64_t j = 0; j < m; ++j) top[j] = larger(top[j], x[k * step + j]);
  std::fill_n(total, m, 0.0);
  for (int64_t k = 0; k < n; ++k) {
    T* row = kLog ? work : y + k * step;
    for (int64_t j = 0; j < m; ++j) row[j] = x[k * step + j] - top[j];
    exp_block(row, m);
    for (int64_t j = 0; j < m; ++j) total[j] += static_cast<double>(row[j]);
  }
  for (int64_t j = 0; j < m; ++j)
    work[j] = static_cast<T>(kLog ? std::log(total[j]) : 1 / total[j]);
  for (int64_t k = 0; k < n; ++k)
    for (int64_t j = 0; j < m; ++j) {
      T& to = y[k * step + j];
      if constexpr (kLog)
        to = (x[k * step + j] - top[j]) - work[j];
      else
        to *= work[j];
    }
}

template <bool kLog>
void forward(const Array& x, int64_t dim, const Array& out) {
  with_compute_type(out, [&](const Array& y) {
    Array from = as_contiguous(x, y.dtype);
    Lines lines(x.shape, dim);
    if (y.numel == 0) return;
    dispatch_float(y.dtype, kLog ? "log_softmax" : "softmax", [&]<class T>(T) {
      lines.each_tile([&](int64_t at, int64_t m) {
        const T* p = from.ptr<T>() + at;
        if (lines.inner == 1)
          softmax_line<T, kLog>(p, y.ptr<T>() + at, lines.n);
        else
          softmax_tile<T, kLog>(p, y.ptr<T>() + at, lines.n, m, lines.inner);
      });
    });
  });
}

// The sum along each line is subtracted in proportion: out = finish(g, y, sum of term(g, y)).
template <class Term, class Finish>
void backward(const Array& g, const Array& y, int64_t dim, const Array& out, Term&& term,
              Finish&& finish) {
  with_compute_type(out, [&](const Array& to) {
    Array cotangent = as_contiguous(g, to.dtype), result = as_contiguous(y, to.dtype);
    Lines lines(out.shape, dim);
    if (to.numel == 0) return;
    dispatch_float(to.dtype, "softmax_grad", [&]<class T>(T) {
      lines.each_tile([&](int64_t at, int64_t m) {
        const T *pg = cotangent.ptr<T>() + at, *py = result.ptr<T>() + at;
        T* p = to.ptr<T>() + at;
        double total[kTile];
        std::fill_n(total, m, 0.0);
        for (int64_t k = 0; k < lines.n; ++k)
          for (int64_t j = 0; j < m; ++j) {
            int64_t i = k * lines.inner + j;
            total[j] += static_cast<double>(term(pg[i], py[i]));
          }
        for (int64_t k = 0; k < lines.n; ++k)
          for (int64_t j = 0; j < m; ++j) {
            int64_t i = k * lines.inner + j;
            p[i] = finish(pg[i], py[i], static_cast<T>(total[j]));
          }
      });
    });
  });
}

}  // namespace

void softmax(const Array& x, int64_t dim, const Array& out) { forward<false>(x, dim, out); }
void log_softmax(const Array& x, int64_t dim, const Array& out) { forward<true>(x, dim, out); }

void softmax_grad(const Array& g, const Array& y, int64_t dim, const Array& out) {
  backward(
      g, y, dim, out, []<class T>(T a, T b) { return a == 0 ? T(0) : a * b; },
      []<class T>(T a, T b, T total) { return a == total ? T(0) : b * (a - total); });
}

void log_softmax_grad(const Array& g, const Array& y, int64_t dim, const Array& out) {
  backward(
      g, y, dim, out, []<class T>(T a, T) { return a; },
      []<class T>(T a, T b, T total) { return total == 0 ? a : a - std::exp(b) * total; });
}

}  // namespace fastgrad
