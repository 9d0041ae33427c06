#include "kernels/softmax.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <memory>

#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/prefetch.h"
#include "kernels/cpu/reduce_lanes.h"
#include "kernels/cpu/short_lines.h"
#include "kernels/cpu/softmax_lines.h"
#include "kernels/elementwise.h"

namespace fastgrad {
namespace {

// A row-major array seen as (outer, n, inner), with lines along n. Where lines are contiguous
// (inner == 1) they are worked on one by one, in blocks; else tiles of up to kTile of them side by
// side, so that loops run along memory either way. Sums are taken in double over fixed blocks: no
// number of threads changes them.
constexpr int64_t kTile = 512;
constexpr int64_t kBlockSize = 1024;
constexpr int64_t kLongLine = 16 * kParallelGrain;  // is shared out over threads itself

struct Lines {
  int64_t outer = 1, n = 1, inner = 1;
  Lines(DimSpan shape, int64_t dim) {
    for (int64_t d = 0; d < static_cast<int64_t>(shape.size()); ++d)
      (d < dim ? outer : d == dim ? n : inner) *= shape[static_cast<size_t>(d)];
  }
  // f(offset of a line's first element)
  template <class F>
  void each_line(F&& f) const {
    if (n >= kLongLine) {
      for (int64_t o = 0; o < outer; ++o) f(o * n);
      return;
    }
    parallel_for(outer, std::max<int64_t>(1, kGrain / n), [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; ++o) f(o * n);
    });
  }
  // Whether lines are worked on many in a call.
  bool are_rows() const { return inner == 1 && n <= kMostInRow; }
  // f(offset of the first element, rows)
  template <class F>
  void each_rows(F&& f) const {
    parallel_for(outer, std::max<int64_t>(1, kGrain / n),
                 [&](int64_t begin, int64_t end) { f(begin * n, end - begin); });
  }
  // f(offset of the tile's first element, columns, memory of n times so many elements)
  template <class T, class F>
  void each_tile_with_work(F&& f) const {
    constexpr int64_t kLine = 64 / sizeof(T);
    const int64_t fits = kWorkBytes / static_cast<int64_t>(sizeof(T)) / n / kLine * kLine;
    const int64_t width = std::min(inner, std::clamp(fits, kLine, kTile));
    each_tile_of(width, [&](int64_t begin, int64_t end, auto&& each) {
      const auto work = std::make_unique_for_overwrite<T[]>(static_cast<size_t>(n * width));
      for (int64_t t = begin; t < end; ++t)
        each(t, [&](int64_t at, int64_t m) { f(at, m, work.get()); });
    });
  }
  // f(offset of the tile's first element, columns): what stays in the cache for two passes.
  template <class T, class F>
  void each_tile(F&& f) const {
    const int64_t fits = kWorkBytes / (2 * int64_t{sizeof(T)} * n) / kLeastWidth * kLeastWidth;
    each_tile_of(std::clamp(fits, kLeastWidth, kTile),
                 [&](int64_t begin, int64_t end, auto&& each) {
                   for (int64_t t = begin; t < end; ++t) each(t, f);
                 });
  }
  // Whether lines are so short, or so few of them side by side, that many are taken apart into
  // columns and put together again. A rule by sizes alone.
  template <class T>
  bool are_short() const {
    constexpr int64_t kLeastLines = 16, kLeastTogether = 6;
    if (outer * inner < kLeastLines) return false;
    if (inner == 1) return join_kernel(sizeof(T), n);
    return outer > 1 && most_together() >= kLeastTogether;
  }
  // f(offset of the first element, lines, memory of n times so many elements for each operand)
  template <class T, int kOperands, class F>
  void each_short_tile(F&& f) const {
    const int64_t most = most_together(), tiles = (outer - 1) / most + 1;
    const int64_t grain = std::max<int64_t>(1, kGrain / (n * inner * std::min(outer, most)));
    const int64_t elements = n * inner * most;
    parallel_for(tiles, grain, [&](int64_t begin, int64_t end) {
      T few[kOperands * kMostColumns * kShortLines];
      std::unique_ptr<T[]> many;
      if (elements > kMostColumns * kShortLines)
        many = std::make_unique_for_overwrite<T[]>(static_cast<size_t>(kOperands * elements));
      T* room = many ? many.get() : few;
      T* work[kOperands];
      for (int k = 0; k < kOperands; ++k) work[k] = room + k * elements;
      for (int64_t t = begin; t < end; ++t)
        f(t * elements, std::min(most, outer - t * most) * inner, work);
    });
  }
  // m lines as columns and back. Columns lie side by side, m elements apart.
  template <class T>
  void split(const T* lines, int64_t m, T* columns) const {
    const char* from = reinterpret_cast<const char*>(lines);
    char* to = reinterpret_cast<char*>(columns);
    if (inner == 1) return split_kernel(sizeof(T), n)(from, m, to, m);
    const int64_t bytes = inner * int64_t{sizeof(T)}, step = m * int64_t{sizeof(T)};
    for (int64_t k = 0; k < n; ++k)
      copy_rows(from + k * bytes, n * bytes, to + k * step, bytes, bytes, m / inner);
  }
  template <class T>
  void join(const T* columns, int64_t m, T* lines) const {
    const char* from = reinterpret_cast<const char*>(columns);
    char* to = reinterpret_cast<char*>(lines);
    if (inner == 1) return join_kernel(sizeof(T), n)(from, m, m, to);
    const int64_t bytes = inner * int64_t{sizeof(T)}, step = m * int64_t{sizeof(T)};
    for (int64_t k = 0; k < n; ++k)
      copy_rows(from + k * step, bytes, to + k * bytes, n * bytes, bytes, m / inner);
  }

 private:
  static constexpr int64_t kShortLines = 128;
  // How many outer places are worked on at once: few enough for caches that are close, with room
  // for three operands.
  int64_t most_together() const {
    constexpr int64_t kElements = 4096;
    return inner == 1 ? kShortLines : std::min(kElements / n, kTile) / inner;
  }
  static constexpr int64_t kGrain = 16384, kLeastWidth = 64;
  static constexpr int64_t kWorkBytes = 512 << 10;  // half of a cache that is close

  // run(begin, end, each) for ranges of tiles, each(tile, f) calling f(offset, columns).
  template <class Run>
  void each_tile_of(int64_t width, Run&& run) const {
    const int64_t strips = (inner + width - 1) / width;
    const int64_t grain = std::max<int64_t>(1, kGrain / (n * std::min(width, inner)));
    parallel_for(outer * strips, grain, [&](int64_t begin, int64_t end) {
      run(begin, end, [&](int64_t t, auto&& f) {
        const int64_t c = t % strips * width;
        f(t / strips * n * inner + c, std::min(width, inner - c));
      });
    });
  }
};

// The sum over blocks of [0, n) of f(begin, count), which returns a double.
template <class F>
double sum_blocks(int64_t n, F&& f) {
  auto run = [&](int64_t begin, int64_t end) {
    double total = 0;
    for (int64_t b = begin; b < end; b += kBlockSize) total += f(b, std::min(kBlockSize, end - b));
    return total;
  };
  if (n < kLongLine) return run(0, n);
  SmallVector<double, 64> parts(static_cast<size_t>((n - 1) / kParallelGrain + 1), 0.0);
  parallel_for(n, kParallelGrain, [&](int64_t begin, int64_t end) {
    parts[static_cast<size_t>(begin / kParallelGrain)] = run(begin, end);
  });
  double total = 0;
  for (double p : parts) total += p;
  return total;
}
// f(begin, count) for blocks of [0, n).
template <class F>
void each_block(int64_t n, F&& f) {
  sum_blocks(n, [&](int64_t begin, int64_t count) {
    f(begin, count);
    return 0.0;
  });
}

// The elementwise kernels, on blocks: y may be x.
template <class T, ElementwiseOp op>
void block(T* y, std::initializer_list<const T*> in, unsigned scalars, int64_t n) {
  static const BlockKernel kernel = block_kernel(op, dtype_of<T>);
  const char* pointers[2] = {};
  int k = 0;
  for (const T* p : in) pointers[k++] = reinterpret_cast<const char*>(p);
  kernel(reinterpret_cast<char*>(y), pointers, scalars, n);
}
template <class T>
void exp_block(T* p, int64_t n) {
  block<T, ElementwiseOp::Exp>(p, {p}, 0, n);
}
constexpr unsigned kScalar = 2;  // the second operand is one number
template <class T>
void subtract(T* y, const T* a, const T* b, unsigned scalars, int64_t n) {
  block<T, ElementwiseOp::Sub>(y, {a, b}, scalars, n);
}
template <class T>
void multiply(T* y, const T* a, const T* b, unsigned scalars, int64_t n) {
  block<T, ElementwiseOp::Mul>(y, {a, b}, scalars, n);
}

template <class T>
T larger(T a, T b) {
  return b > a || b != b ? b : a;
}

template <class T>
T largest_of(const T* x, int64_t n) {
  if (n < kLongLine) return lanes(T{}).largest(x, n);
  SmallVector<T, 64> parts(static_cast<size_t>((n - 1) / kParallelGrain + 1), T(0));
  parallel_for(n, kParallelGrain, [&](int64_t begin, int64_t end) {
    parts[static_cast<size_t>(begin / kParallelGrain)] = lanes(T{}).largest(x + begin, end - begin);
  });
  return lanes(T{}).largest(parts.data(), static_cast<int64_t>(parts.size()));
}

// One contiguous line.
template <class T, bool kLog>
void softmax_line(const T* x, T* y, int64_t n) {
  const T top = largest_of(x, n);
  const double total = sum_blocks(n, [&](int64_t b, int64_t m) {
    return static_cast<double>(softmax_lines(T{}).exp_sum(x + b, top, kLog ? nullptr : y + b, m));
  });
  if constexpr (kLog) {
    const T log_total = static_cast<T>(std::log(total));
    each_block(n, [&](int64_t b, int64_t m) {
      subtract(y + b, x + b, &top, kScalar, m);
      subtract(y + b, y + b, &log_total, kScalar, m);
    });
  } else {
    const T scale = static_cast<T>(1 / total);
    each_block(n, [&](int64_t b, int64_t m) { multiply(y + b, y + b, &scale, kScalar, m); });
  }
}

// Rows of `m` lines side by side, `step` elements apart. Where few lines fill their rows, several
// rows are taken for one, whose columns are parts of lines, and the last may be short.
struct Rows {
  int64_t m, fold, width, step, count, elements;
  Rows(int64_t n, int64_t lines, int64_t apart)
      : m(lines),
        fold(apart == lines && lines <= kNarrow ? std::min(n, kWide / lines) : 1),
        width(fold * lines),
        step(fold > 1 ? width : apart),
        count((n - 1) / fold + 1),
        elements(n * lines) {}
  int64_t width_of(int64_t k) const { return std::min(width, elements - k * width); }
  // Each column becomes what f makes of the columns of its line.
  template <class T, class F>
  void join(T* columns, F&& f) const {
    for (int64_t k = m; k < width; k += m)
      for (int64_t j = 0; j < m; ++j) columns[j] = f(columns[j], columns[k + j]);
    for (int64_t k = m; k < width; k += m) std::copy_n(columns, m, columns + k);
  }
  // total[j] is the sum of what add(k, rows, columns, sums) adds in rows from k on to sums[j].
  template <class T, class Add>
  void sum(double* total, Add&& add) const {
    T sums[kTile];
    std::fill_n(total, width, 0.0);
    for (int64_t k = 0; k < count; k += kTogether) {
      std::fill_n(sums, width, T(0));
      const int64_t some = std::min(kTogether, count - k), last = width_of(k + some - 1),
                    whole = some - (last < width);
      if (whole) add(k, whole, width, sums);
      if (whole < some) add(k + whole, 1, last, sums);
      for (int64_t j = 0; j < width; ++j) total[j] += static_cast<double>(sums[j]);
    }
    join(total, [](double a, double b) { return a + b; });
  }
  static constexpr int64_t kTogether = 16;

 private:
  static constexpr int64_t kNarrow = 64, kWide = 256;
};

// Rows that are a multiple of the page apart share few places of the cache: they are copied to
// `work` first, where they stay side by side, and memory is read and written once. Or they are
// there already: x may be `work`, m elements apart.
template <class T, bool kLog>
void softmax_tile(const T* x, T* y, int64_t n, int64_t m, int64_t step, T* work) {
  constexpr int64_t kLine = kCacheLine / sizeof(T), kShared = 2048 / sizeof(T);
  const Rows rows(n, m, step);
  const bool copied = x != work && rows.step % kShared == 0;
  const T* from = copied ? work : x;
  const int64_t from_step = copied ? rows.width : rows.step;
  T top[kTile], sums[kTile];
  double total[kTile];
  const T* row[Rows::kTogether];
  for (int64_t k = 0; k < rows.count; k += Rows::kTogether) {
    const int64_t some = std::min(Rows::kTogether, rows.count - k);
    for (int64_t i = 0; i < some; ++i) {
      const T* later = x + (k + i + Rows::kTogether) * rows.step;  // Note [Prefetch]
      for (int64_t j = 0; j < rows.width; j += kLine) prefetch_line_to_read(later + j);
      if (copied)
        std::copy_n(x + (k + i) * rows.step, rows.width_of(k + i), work + (k + i) * from_step);
      row[i] = from + (k + i) * from_step;
    }
    const int64_t last = rows.width_of(k + some - 1), whole = some - (last < rows.width);
    T* best = k ? sums : top;
    if (whole) lanes(T{}).largest_rows(row, whole, rows.width, best);
    if (k && whole)
      for (int64_t j = 0; j < rows.width; ++j) top[j] = larger(top[j], sums[j]);
    if (whole < some)
      for (int64_t j = 0; j < last; ++j) top[j] = larger(top[j], row[whole][j]);
  }
  rows.join(top, larger<T>);
  std::fill_n(total, m, 0.0);  // as rows.sum() does, which the compiler does not see
  rows.sum<T>(total, [&](int64_t k, int64_t some, int64_t columns, T* to) {
    for (int64_t i = k; i < k + some; ++i)
      softmax_lines(T{}).exp_add(from + i * from_step, top, kLog ? nullptr : work + i * rows.width,
                                 to, columns);
  });
  if constexpr (kLog) {
    constexpr int64_t kFew = 8;  // which take longer to call for than to work out
    if (m >= kFew)
      block<double, ElementwiseOp::Log>(total, {total}, 0, m);
    else
      for (int64_t j = 0; j < m; ++j) total[j] = std::log(total[j]);
  }
  for (int64_t j = 0; j < m; ++j) sums[j] = static_cast<T>(kLog ? total[j] : 1 / total[j]);
  for (int64_t k = m; k < rows.width; k += m) std::copy_n(sums, m, sums + k);
  for (int64_t k = 0; k < rows.count; ++k) {
    T* to = y + k * rows.step;
    const int64_t width = rows.width_of(k);
    for (int64_t j = 0; j < width; j += kLine)
      prefetch_line_to_write(to + Rows::kTogether * rows.step + j);
    if constexpr (kLog)
      softmax_lines(T{}).log_softmax_from(from + k * from_step, top, sums, to, width);
    else
      multiply(to, work + k * rows.width, sums, 0, width);
  }
}

template <bool kLog>
void forward(const Array& x, int64_t dim, const Array& out) {
  with_compute_type(out, [&](const Array& y) {
    Array from = as_contiguous(x, y.dtype);
    Lines lines(x.shape, dim);
    if (y.numel == 0) return;
    dispatch_float(y.dtype, kLog ? "log_softmax" : "softmax", [&]<class T>(T) {
      const T* p = from.ptr<T>();
      T* to = y.ptr<T>();
      if (lines.template are_short<T>())
        lines.template each_short_tile<T, 1>([&](int64_t at, int64_t m, auto& work) {
          lines.split(p + at, m, work[0]);
          softmax_tile<T, kLog>(work[0], work[0], lines.n, m, m, work[0]);
          lines.join(work[0], m, to + at);
        });
      else if (lines.are_rows())
        lines.each_rows(
            [&, kernel = kLog ? softmax_lines(T{}).log_softmax : softmax_lines(T{}).softmax](
                int64_t at, int64_t rows) { kernel(p + at, rows, lines.n, to + at); });
      else if (lines.inner == 1)
        lines.each_line([&](int64_t at) { softmax_line<T, kLog>(p + at, to + at, lines.n); });
      else
        lines.template each_tile_with_work<T>([&](int64_t at, int64_t m, T* work) {
          softmax_tile<T, kLog>(p + at, to + at, lines.n, m, lines.inner, work);
        });
    });
  });
}

// The sum along each line is subtracted in proportion: out = finish(g, y, sum of term(g, y)), of
// exp(y) instead of y for finish where kExp.
template <bool kExp, class Term, class Finish>
void backward(const Array& g, const Array& y, int64_t dim, const Array& out, Term&& term,
              Finish&& finish) {
  with_compute_type(out, [&](const Array& to) {
    Array cotangent = as_contiguous(g, to.dtype), result = as_contiguous(y, to.dtype);
    Lines lines(out.shape, dim);
    if (to.numel == 0) return;
    dispatch_float(to.dtype, "softmax_grad", [&]<class T>(T) {
      auto line = [&](int64_t at) {
        const T *pg = cotangent.ptr<T>() + at, *py = result.ptr<T>() + at;
        T* p = to.ptr<T>() + at;
        const T total = static_cast<T>(sum_blocks(lines.n, [&](int64_t b, int64_t m) {
          T work[kBlockSize];
          for (int64_t i = 0; i < m; ++i) work[i] = term(pg[b + i], py[b + i]);
          return static_cast<double>(lanes(T{}).sum(work, m));
        }));
        each_block(lines.n, [&](int64_t b, int64_t m) {
          T work[kBlockSize];
          const T* of_y = py + b;
          if constexpr (kExp) {
            std::copy_n(of_y, m, work);
            exp_block(work, m);
            of_y = work;
          }
          for (int64_t i = 0; i < m; ++i) p[b + i] = finish(pg[b + i], of_y[i], total);
        });
      };
      // m lines, `step` elements from row to row.
      auto tile_of = [&](const T* pg, const T* py, T* p, int64_t m, int64_t step) {
        const auto& kernels = softmax_lines(T{});
        const Rows rows(lines.n, m, step);
        double sum[kTile];
        T total[kTile];
        rows.sum<T>(sum, [&](int64_t k, int64_t some, int64_t columns, T* sums) {
          const int64_t at = k * rows.step;
          kernels.grad_add(pg + at, kExp ? nullptr : py + at, rows.step, some, sums, columns);
        });
        std::copy_n(sum, rows.width, total);
        for (int64_t k = 0; k < rows.count; ++k) {
          const int64_t at = k * rows.step;
          (kExp ? kernels.log_softmax_grad_from : kernels.softmax_grad_from)(
              pg + at, py + at, total, p + at, rows.width_of(k));
        }
      };
      auto tile = [&](int64_t at, int64_t m) {
        tile_of(cotangent.ptr<T>() + at, result.ptr<T>() + at, to.ptr<T>() + at, m, lines.inner);
      };
      if (lines.template are_short<T>())
        lines.template each_short_tile<T, 3>([&](int64_t at, int64_t m, auto& work) {
          lines.split(cotangent.ptr<T>() + at, m, work[0]);
          lines.split(result.ptr<T>() + at, m, work[1]);
          tile_of(work[0], work[1], work[2], m, m);
          lines.join(work[2], m, to.ptr<T>() + at);
        });
      else if (lines.inner == 1 && lines.n < kLongLine)
        lines.each_rows([&, kernel = kExp ? softmax_lines(T{}).log_softmax_grad
                                          : softmax_lines(T{}).softmax_grad](int64_t at,
                                                                             int64_t rows) {
          kernel(cotangent.ptr<T>() + at, result.ptr<T>() + at, rows, lines.n, to.ptr<T>() + at);
        });
      else if (lines.inner == 1)
        lines.each_line(line);
      else
        lines.template each_tile<T>(tile);
    });
  });
}

}  // namespace

void softmax(const Array& x, int64_t dim, const Array& out) { forward<false>(x, dim, out); }
void log_softmax(const Array& x, int64_t dim, const Array& out) { forward<true>(x, dim, out); }

void softmax_grad(const Array& g, const Array& y, int64_t dim, const Array& out) {
  backward<false>(
      g, y, dim, out, []<class T>(T a, T b) { return a == 0 ? T(0) : a * b; },
      []<class T>(T a, T b, T total) { return a == total ? T(0) : b * (a - total); });
}

void log_softmax_grad(const Array& g, const Array& y, int64_t dim, const Array& out) {
  backward<true>(
      g, y, dim, out, []<class T>(T a, T) { return a; },
      []<class T>(T a, T b, T total) { return total == 0 ? a : a - b * total; });
}

}  // namespace fastgrad
