#include "kernels/scan.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>

#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/short_lines.h"
#include "kernels/elementwise.h"
#include "kernels/reduce.h"

namespace fastgrad {
namespace {

// Elements that a thread takes at least.
constexpr int64_t kScanGrain = 32768;
// The longest rows whose best elements a kernel finds many rows at a time: each has three streams
// of memory, and longer ones are many pages apart.
constexpr int64_t kMostInRow = 8192;

// A row-major array seen as (outer, n, inner), scanned along n.
struct Lines {
  int64_t outer = 1, n = 1, inner = 1;
  Lines(int64_t length, int64_t side_by_side) : n(length), inner(side_by_side) {}
  Lines(DimSpan shape, int64_t dim) {
    for (int64_t d = 0; d < static_cast<int64_t>(shape.size()); ++d)
      (d < dim ? outer : d == dim ? n : inner) *= shape[static_cast<size_t>(d)];
  }
};

// Calls step(state, position, place) for every element, in the order of the scan, where position
// is the element's offset and place its index along the line. Lines that lie side by side advance
// together, so that memory is read in order; of others a few advance together, so that one need not
// wait for the other's arithmetic. Long ones do so each some places behind the one before: lines
// that are a multiple of the page apart share few places of the cache.
template <class State, class Step>
void walk_lines(const Lines& l, bool reverse, const State& start, Step&& step) {
  constexpr int64_t kStrip = 256, kTogether = 8, kFew = 8, kGrain = kScanGrain;
  auto place_at = [&](int64_t k) { return reverse ? l.n - 1 - k : k; };
  if (l.inner == 1) {
    const int64_t lag = l.n >= 512 ? 24 : 0;
    const int64_t bundles = (l.outer + kTogether - 1) / kTogether;
    const int64_t grain = kGrain / std::max<int64_t>(1, l.n * kTogether);
    parallel_for(bundles, std::max<int64_t>(1, grain), [&](int64_t begin, int64_t end) {
      State state[kTogether];
      for (int64_t o = begin * kTogether; o < std::min(l.outer, end * kTogether); o += kTogether) {
        const int64_t m = std::min(kTogether, l.outer - o), first = o * l.n;
        std::fill_n(state, kTogether, start);
        if (m == kTogether) {
          auto advance = [&](int64_t j, int64_t k) {
            step(state[j], first + j * l.n + place_at(k), place_at(k));
          };
          const int64_t last = (kTogether - 1) * lag;
          auto with_care = [&](int64_t from, int64_t to) {
            for (int64_t j = 0; j < kTogether; ++j)
              for (int64_t k = std::max<int64_t>(0, from - j * lag);
                   k < std::min(l.n, to - j * lag); ++k)
                advance(j, k);
          };
          with_care(0, last);
          for (int64_t k = last; k < l.n; ++k)
            for (int64_t j = 0; j < kTogether; ++j) advance(j, k - j * lag);
          with_care(l.n, l.n + last);
        } else {
          for (int64_t j = 0; j < m; ++j)
            for (int64_t k = 0; k < l.n; ++k)
              step(state[j], first + j * l.n + place_at(k), place_at(k));
        }
      }
    });
    return;
  }
  if (l.inner == 0) return;
  if (l.inner <= kFew) {  // up to four columns at a time, whose states stay in registers
    parallel_for(l.outer, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, l.n * l.inner)),
                 [&](int64_t begin, int64_t end) {
                   const int64_t width = l.inner > 4 ? (l.inner + 1) / 2 : l.inner;
                   for (int64_t o = begin, first = 0; o < end;) {
                     const int64_t m = std::min(width, l.inner - first);
                     State a = start, b = start, c = start, d = start;
                     for (int64_t k = 0; k < l.n; ++k) {
                       const int64_t place = place_at(k), at = (o * l.n + place) * l.inner + first;
                       step(a, at, place);
                       if (m > 1) step(b, at + 1, place);
                       if (m > 2) step(c, at + 2, place);
                       if (m > 3) step(d, at + 3, place);
                     }
                     first += m;
                     if (first == l.inner) first = 0, ++o;
                   }
                 });
    return;
  }
  const int64_t strips = (l.inner + kStrip - 1) / kStrip;
  const int64_t grain = kGrain / std::max<int64_t>(1, l.n * kStrip);
  parallel_for(l.outer * strips, std::max<int64_t>(1, grain), [&](int64_t begin, int64_t end) {
    State state[kStrip];
    for (int64_t t = begin; t < end; ++t) {
      const int64_t o = t / strips, c = t % strips * kStrip, m = std::min(kStrip, l.inner - c);
      std::fill_n(state, m, start);
      for (int64_t k = 0; k < l.n; ++k) {
        const int64_t base = (o * l.n + place_at(k)) * l.inner + c;
        for (int64_t j = 0; j < m; ++j) step(state[j], base + j, place_at(k));
      }
    }
  });
}

// Calls scan(lines, p, q) for lines that are too short to fill registers as columns, which lie side
// by side; for others as they are.
template <class T, class Scan>
void scan_lines(const Lines& l, const T* p, T* q, Scan&& scan) {
  constexpr int64_t kTile = 128, kGrain = 16384, kLeastLines = 16;
  const SplitKernel split = split_kernel(sizeof(T), l.n);
  const JoinKernel join = join_kernel(sizeof(T), l.n);
  if (l.inner != 1 || l.outer < kLeastLines || !split || !join) return scan(l, p, q);
  const int64_t tiles = (l.outer - 1) / kTile + 1;
  parallel_for(
      tiles, std::max<int64_t>(1, kGrain / (l.n * kTile)), [&](int64_t begin, int64_t end) {
        T in[kMostColumns * kTile], out[kMostColumns * kTile];
        for (int64_t t = begin; t < end; ++t) {
          const int64_t first = t * kTile, m = std::min(kTile, l.outer - first), at = first * l.n;
          split(reinterpret_cast<const char*>(p + at), m, reinterpret_cast<char*>(in), m);
          scan(Lines(l.n, m), in, out);
          join(reinterpret_cast<const char*>(out), m, m, reinterpret_cast<char*>(q + at));
        }
      });
}

// The same for rows, of floating-point numbers, that a kernel works on many at a time. Whether it
// was done here.
template <class T>
bool scan_rows(const Lines& l, void (*kernel)(const T*, int64_t, int64_t, RowOrder, T*),
               RowOrder order, const T* p, T* q) {
  constexpr int64_t kUnit = 8, kLeastBytes = 28;  // scan_lines is faster on shorter ones
  if (!kernel || l.inner != 1 || l.outer < kUnit || l.n * int64_t{sizeof(T)} < kLeastBytes)
    return false;
  // Whole units: what is left over is worked on one by one.
  const int64_t units = l.outer / kUnit, grain = std::max<int64_t>(1, kScanGrain / (l.n * kUnit));
  parallel_for(units, grain, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kUnit, last = end == units ? l.outer : end * kUnit;
    kernel(p + first * l.n, last - first, l.n, order, q + first * l.n);
  });
  return true;
}

// The best element so far: an equal one, or NaN, takes over.
template <class T, bool kLargest>
struct Best {
  using Limits = std::numeric_limits<T>;
  static constexpr T kWorst = !std::is_floating_point_v<T>
                                  ? (kLargest ? Limits::lowest() : Limits::max())
                                  : (kLargest ? -Limits::infinity() : Limits::infinity());
  T value = kWorst;
  int64_t place = 0;
  // Beside NaN no comparison is true.
  bool yields_to(T v) const {
    const bool beyond = kLargest ? v >= value : v <= value;
    if constexpr (std::is_floating_point_v<T>)
      return (v != v) | beyond;
    else
      return beyond;
  }
  // Among integers many are equal, and nobody could guess a branch; places only grow.
  void meet(T v, int64_t at) {
    const bool take = yields_to(v);
    value = take ? v : value;
    if constexpr (std::is_floating_point_v<T>)
      place = take ? at : place;
    else
      place = std::max(place, at & -int64_t{take});
  }
};

// Whether one of kStretch elements takes over: one question for each, to which NaN says yes. Beside
// a best one that is NaN all do.
template <class T>
constexpr int64_t kStretch = 128 / sizeof(T);
template <class T, bool kLargest>
bool yields_to_any(const Best<T, kLargest>& best, const T* p) {
  std::conditional_t<sizeof(T) == 8, bool, int32_t> any = 0;  // what the compiler makes best
  for (int64_t j = 0; j < kStretch<T>; ++j)
    any |= !(kLargest ? p[j] < best.value : p[j] > best.value);
  return any;
}

// One line. Over most stretches the best one stays. The first ones, and those after one in which it
// does not, are taken as they come: the line may be sorted, or have few numbers that differ.
template <class T, bool kLargest>
void running_extreme_of_line(const T* p, int64_t n, T* value, int64_t* place) {
  constexpr int64_t kOne = kStretch<T>, kUnasked = 2 * kOne;
  Best<T, kLargest> best;
  for (int64_t i = 0; i < n;) {
    if (i > 0 && i + kOne <= n && !yields_to_any(best, p + i)) {
      std::fill_n(value + i, kOne, best.value);
      std::fill_n(place + i, kOne, best.place);
      i += kOne;
      continue;
    }
    for (const int64_t end = std::min(n, i + kUnasked); i < end; ++i) {
      best.meet(p[i], i);
      value[i] = best.value;
      place[i] = best.place;
    }
  }
}

// Of columns of which a register holds a row: a kernel takes several rows at a time. Whether it was
// done here.
template <class T>
bool best_down_columns(const Lines& l, const T* p, T flip, T* value, int64_t* place) {
  const auto kernel = column_extremes(T{});
  const int64_t size = l.n * l.inner, row = l.inner * static_cast<int64_t>(sizeof(T));
  if (!kernel || size == 0 || row > 64 || l.n > INT32_MAX) return false;
  parallel_for(l.outer, std::max<int64_t>(1, kScanGrain / size), [&](int64_t begin, int64_t end) {
    for (int64_t at = begin * size; at < end * size; at += size)
      kernel(p + at, l.n, l.inner, flip, value + at, place + at);
  });
  return true;
}

// Rows may be of a narrower type, with the same in `values`: they are converted some at a time.
template <class T, bool kLargest>
void running_extreme(const Array& x, int64_t dim, const Array& values, const Array& indices) {
  const Lines l(x.shape, dim);
  const T* p = x.ptr<T>();
  T* q = values.ptr<T>();
  int64_t* index = indices.ptr<int64_t>();
  if (l.inner == 1 && l.n > 0) {
    auto rows = [&](const T* from, int64_t m, T* to, int64_t* places) {
      int64_t done = 0;
      if constexpr (!std::is_same_v<T, int32_t>)
        if (const auto kernel = kLargest ? row_scans(T{}).largest : row_scans(T{}).smallest;
            kernel && l.n <= kMostInRow)
          done = kernel(from, m, l.n, to, places);
      for (int64_t at = done * l.n; at < m * l.n; at += l.n)
        running_extreme_of_line<T, kLargest>(from + at, l.n, to + at, places + at);
    };
    parallel_for(l.outer, std::max<int64_t>(1, kScanGrain / l.n), [&](int64_t begin, int64_t end) {
      if (x.dtype == dtype_of<T>)
        return rows(p + begin * l.n, end - begin, q + begin * l.n, index + begin * l.n);
      constexpr int64_t kUnit = 8, kElements = 2048;
      const int64_t size = static_cast<int64_t>(x.itemsize()),
                    most = std::max(kUnit, kElements / l.n / kUnit * kUnit);
      const CastKernel in = cast_kernel(x.dtype, dtype_of<T>),
                       out = cast_kernel(dtype_of<T>, x.dtype);
      // Not in place: masked stores reach into what is read next.
      const auto work = std::make_unique_for_overwrite<T[]>(static_cast<size_t>(2 * most * l.n));
      T *wide = work.get(), *best = wide + most * l.n;
      for (int64_t at = begin * l.n, n; at < end * l.n; at += n) {
        n = std::min(most * l.n, end * l.n - at);
        in(x.data + at * size, 1, reinterpret_cast<char*>(wide), 1, n);
        rows(wide, n / l.n, best, index + at);
        out(reinterpret_cast<const char*>(best), 1, values.data + at * size, 1, n);
      }
    });
    return;
  }
  if constexpr (std::is_integral_v<T>)
    if (best_down_columns(l, p, kLargest ? T(0) : T(-1), q, index)) return;
  walk_lines(l, false, Best<T, kLargest>{}, [=](Best<T, kLargest>& best, int64_t i, int64_t place) {
    best.meet(p[i], place);
    q[i] = best.value;
    index[i] = best.place;
  });
}

// Calls f(y, T{}) for `out` in one of few types that it may be worked out in: in place of halves
// float32, and in place of narrower integers int32.
template <class F>
void with_scan_type(const Array& out, const char* op, F&& f) {
  const bool narrow = is_integral(out.dtype, true) && out.itemsize() < sizeof(int32_t);
  with_output(out, narrow ? DType::Int32 : compute_dtype(out.dtype), [&](const Array& y) {
    if (y.dtype == DType::Int64)
      f(y, int64_t{});
    else if (y.dtype == DType::Int32)
      f(y, int32_t{});
    else
      dispatch_float(y.dtype, op, [&]<class T>(T zero) { f(y, zero); });
  });
}

template <class T>
using RunningSum = std::conditional_t<std::is_same_v<T, float>, double,
                                      std::conditional_t<std::is_integral_v<T>, uint64_t, T>>;

// Lines of integers, whose sums and products may be put together in any order: four elements at a
// time among themselves before the one so far joins them. Whether it was done here.
template <class T, class F>
bool scan_integer_lines(const Lines& l, bool reverse, const T* p, F of, T* q) {
  if (!std::is_integral_v<T> || l.inner != 1 || l.n == 0) return false;
  parallel_for(l.outer, std::max<int64_t>(1, kScanGrain / l.n), [&](int64_t begin, int64_t end) {
    const int64_t step = reverse ? -1 : 1;
    for (int64_t o = begin; o < end; ++o) {
      const T* from = p + o * l.n + (reverse ? l.n - 1 : 0);
      T* to = q + (from - p);
      auto x = [&](int64_t k) { return static_cast<uint64_t>(from[k * step]); };
      auto put = [&](int64_t k, uint64_t v) { to[k * step] = static_cast<T>(v); };
      uint64_t last = x(0);
      put(0, last);
      int64_t k = 1;
      for (; k + 4 <= l.n; k += 4) {
        const uint64_t a = x(k), b = of(a, x(k + 1)), c = of(b, x(k + 2)), d = of(c, x(k + 3));
        put(k, of(last, a));
        put(k + 1, of(last, b));
        put(k + 2, of(last, c));
        last = of(last, d);
        put(k + 3, last);
      }
      for (; k < l.n; ++k) put(k, last = of(last, x(k)));
    }
  });
  return true;
}

}  // namespace

void cumsum(const Array& x, int64_t dim, bool reverse, const Array& out) {
  with_scan_type(out, "cumsum", [&]<class T>(const Array& y, T) {
    using Sum = RunningSum<T>;
    const Array from = as_contiguous(x, y.dtype);
    const Lines all(x.shape, dim);
    if constexpr (std::is_floating_point_v<T>)
      if (scan_rows(all, row_scans(T{}).sum, {reverse, false}, from.ptr<T>(), y.ptr<T>())) return;
    if (scan_integer_lines(all, reverse, from.ptr<T>(), std::plus<uint64_t>(), y.ptr<T>())) return;
    auto scan = [reverse](const Lines& lines, const T* p, T* q) {
      walk_lines(lines, reverse, Sum(0), [p, q](Sum& s, int64_t i, int64_t) {
        s += static_cast<Sum>(p[i]);
        q[i] = static_cast<T>(s);
      });
    };
    scan_lines(all, from.ptr<T>(), y.ptr<T>(), scan);
  });
}

void cumprod(const Array& x, int64_t dim, ScanOrder order, const Array& out) {
  with_scan_type(out, "cumprod", [&]<class T>(const Array& y, T) {
    using Product = RunningSum<T>;
    const Array from = as_contiguous(x, y.dtype);
    const Lines all(x.shape, dim);
    if constexpr (std::is_floating_point_v<T>)
      if (scan_rows(all, row_scans(T{}).product, {order.reverse, order.exclusive}, from.ptr<T>(),
                    y.ptr<T>()))
        return;
    if (scan_integer_lines(all, order.reverse, from.ptr<T>(), std::multiplies<uint64_t>(),
                           y.ptr<T>()))
      return;
    // Known to the compiler: what asks at every element is not done on several at once.
    auto run = [&]<bool kExclusive>() {
      scan_lines(all, from.ptr<T>(), y.ptr<T>(), [order](const Lines& lines, const T* p, T* q) {
        walk_lines(lines, order.reverse, Product(1), [p, q](Product& s, int64_t i, int64_t) {
          const Product before = s;
          s *= static_cast<Product>(p[i]);
          q[i] = static_cast<T>(kExclusive ? before : s);
        });
      });
    };
    if constexpr (std::is_floating_point_v<T>)
      if (order.exclusive) return run.template operator()<true>();
    run.template operator()<false>();
  });
}

namespace {
// Of lines that are not short, where no product is zero, infinite, NaN or so small that it has lost
// digits: out = product / x. Whether it was done here.
template <class T>
bool divide_products(const Array& x, int64_t dim, const Array& out) {
  constexpr int64_t kShort = 16;
  if (Lines(x.shape, dim).n < kShort) return false;
  Dims shape = x.shape;
  shape[static_cast<size_t>(dim)] = 1;
  const Array products = Array::empty(shape, x.dtype);
  reduce_prod(x, DimSet{1} << dim, products);
  bool all = true;
  for (int64_t i = 0; i < products.numel; ++i) all &= std::isnormal(products.ptr<T>()[i]);
  if (!all) return false;
  const Array expanded = products.expanded(x.shape);
  const Array* in[] = {&expanded, &x};
  run_elementwise(block_kernel(ElementwiseOp::Div, x.dtype), x.dtype, x.dtype, in, 2, out);
  return true;
}
// Of one line: the products from both ends advance together, as neither waits for the other, and
// meet in the elements that the other one has left there.
template <class T>
void multiply_from_both_ends(const T* p, int64_t n, T* q) {
  using Product = RunningSum<T>;
  Product before = 1, after = 1;
  auto advance = [&](int64_t k, auto&& put) {
    put(q[k], static_cast<T>(before));
    before *= static_cast<Product>(p[k]);
    put(q[n - 1 - k], static_cast<T>(after));
    after *= static_cast<Product>(p[n - 1 - k]);
  };
  for (int64_t k = 0; k < n / 2; ++k) advance(k, [](T& to, T v) { to = v; });
  if (n % 2) {
    const T middle = p[n / 2];
    q[n / 2] = static_cast<T>(before) * static_cast<T>(after);
    before *= static_cast<Product>(middle);
    after *= static_cast<Product>(middle);
  }
  for (int64_t k = (n + 1) / 2; k < n; ++k) advance(k, [](T& to, T v) { to *= v; });
}
}  // namespace

void products_of_others(const Array& x, int64_t dim, const Array& out) {
  constexpr int64_t kFewLines = 8;  // of more several advance together
  with_compute_type(out, [&](const Array& y) {
    const Array from = as_contiguous(x, y.dtype);
    dispatch_float(y.dtype, "prod", [&]<class T>(T) {
      if (y.numel == 0 || divide_products<T>(from, dim, y)) return;
      const Lines l(x.shape, dim);
      if (l.inner == 1 && l.outer < kFewLines)
        return parallel_for(l.outer, 1 + kScanGrain / l.n, [&](int64_t begin, int64_t end) {
          for (int64_t at = begin * l.n; at < end * l.n; at += l.n)
            multiply_from_both_ends(from.ptr<T>() + at, l.n, y.ptr<T>() + at);
        });
      cumprod(from, dim, {false, true}, y);
      if (l.inner > 1)
        return walk_lines(l, true, RunningSum<T>(1),
                          [p = from.ptr<T>(), q = y.ptr<T>()](auto& s, int64_t i, int64_t) {
                            q[i] *= static_cast<T>(s);
                            s *= static_cast<RunningSum<T>>(p[i]);
                          });
      const Array after = Array::empty(y.shape, y.dtype);
      cumprod(from, dim, {true, true}, after);
      const Array* in[] = {&y, &after};
      run_elementwise(block_kernel(ElementwiseOp::Mul, y.dtype), y.dtype, y.dtype, in, 2, y);
    });
  });
}

void linear_scan(const Array& b, const Array& a, int64_t dim, ScanOrder order, const Array& out) {
  with_compute_type(out, [&](const Array& y) {
    Array terms = as_contiguous(b, y.dtype), factors = as_contiguous(a, y.dtype);
    dispatch_float(y.dtype, "linear_scan", [&]<class T>(T) {
      using Sum = RunningSum<T>;
      Lines left(b.shape, dim);
      const T *pb = terms.ptr<T>(), *pa = factors.ptr<T>();
      T* q = y.ptr<T>();
      if (const auto kernel = row_scans(T{}).linear;
          kernel && !order.exclusive && left.inner == 1) {
        constexpr int64_t kUnit = 8;
        const int64_t n = left.n, units = left.outer / kUnit;
        parallel_for(units, std::max<int64_t>(1, kScanGrain / std::max<int64_t>(1, n * kUnit)),
                     [=](int64_t begin, int64_t end) {
                       const int64_t at = begin * kUnit * n;
                       kernel(pb + at, pa + at, (end - begin) * kUnit, n, order.reverse, q + at);
                     });
        const int64_t done = units * kUnit * n;
        left.outer %= kUnit;
        pb += done, pa += done, q += done;
      }
      walk_lines(left, order.reverse, Sum(0), [=](Sum& carry, int64_t i, int64_t) {
        Sum own = static_cast<Sum>(pb[i]), value = order.exclusive ? carry : carry + own;
        q[i] = static_cast<T>(value);
        // A zero stays zero beside an infinite factor: Note [Zero cotangents].
        Sum next = value == 0 ? Sum(0) : value * static_cast<Sum>(pa[i]);
        carry = order.exclusive ? own + next : next;
      });
    });
  });
}

void cumextreme(const Array& x, int64_t dim, bool largest, const Array& values,
                const Array& indices) {
  auto run = [&]<class T>(const Array& from, const Array& y, T) {
    (largest ? running_extreme<T, true> : running_extreme<T, false>)(from, dim, y, indices);
  };
  // There is a kernel for rows of the widest integers.
  const Lines l(x.shape, dim);
  if (is_integral(values.dtype, true) && l.inner == 1 && l.n <= kMostInRow && l.outer > 1 &&
      row_scans(int64_t{}).largest)
    return run(as_contiguous(x, values.dtype), values, int64_t{});
  with_scan_type(values, largest ? "cummax" : "cummin",
                 [&](const Array& y, auto zero) { run(as_contiguous(x, y.dtype), y, zero); });
}

void logcumsumexp(const Array& x, int64_t dim, const Array& out) {
  with_compute_type(out, [&](const Array& y) {
    Array from = as_contiguous(x, y.dtype);
    dispatch_float(y.dtype, "logcumsumexp", [&]<class T>(T) {
      using Sum = RunningSum<T>;
      walk_lines(Lines(x.shape, dim), false, -std::numeric_limits<Sum>::infinity(),
                 [p = from.ptr<T>(), q = y.ptr<T>()](Sum& s, int64_t i, int64_t) {
                   Sum v = static_cast<Sum>(p[i]), hi = std::max(s, v), lo = std::min(s, v);
                   if (v != v || s != s)
                     s = std::numeric_limits<Sum>::quiet_NaN();
                   else if (hi == lo && std::isinf(hi))
                     s = hi;
                   else
                     s = hi + std::log1p(std::exp(lo - hi));
                   q[i] = static_cast<T>(s);
                 });
    });
  });
}

}  // namespace fastgrad
