#include "kernels/scan.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/thread_pool.h"
#include "kernels/copy.h"

namespace fastgrad {
namespace {

// A row-major array seen as (outer, n, inner), scanned along n.
struct Lines {
  int64_t outer = 1, n = 1, inner = 1;
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
  constexpr int64_t kStrip = 256, kTogether = 8, kGrain = 32768;
  auto place_at = [&](int64_t k) { return reverse ? l.n - 1 - k : k; };
  if (l.inner == 1 && std::is_integral_v<State>) {  // nothing to wait for
    parallel_for(l.outer, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, l.n)),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t o = begin; o < end; ++o) {
                     State state = start;
                     if (reverse)
                       for (int64_t k = l.n; k-- > 0;) step(state, o * l.n + k, k);
                     else
                       for (int64_t k = 0; k < l.n; ++k) step(state, o * l.n + k, k);
                   }
                 });
    return;
  }
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

// Runs f on an output of the compute type, which is converted into `out` afterwards.
template <class F>
void with_compute_type(const Array& out, F&& f) {
  DType compute = compute_dtype(out.dtype);
  if (compute == out.dtype) return f(out);
  Array wide = Array::empty(out.shape, compute);
  f(wide);
  copy_array(wide, out);
}

template <class T, bool kLargest>
void running_extreme(const Array& x, int64_t dim, const Array& values, const Array& indices) {
  struct Best {
    T value;
    int64_t place;
  };
  walk_lines(Lines(x.shape, dim), false, Best{T(0), -1},
             [p = x.ptr<T>(), q = values.ptr<T>(), index = indices.ptr<int64_t>()](
                 Best& best, int64_t i, int64_t place) {
               // Without branches: nobody could guess them. Beside NaN no comparison is true.
               const T v = p[i];
               const bool beyond = kLargest ? v >= best.value : v <= best.value;
               const bool take = (place == 0) | (v != v) | beyond;
               best.value = take ? v : best.value;
               best.place = take ? place : best.place;
               q[i] = best.value;
               index[i] = best.place;
             });
}

template <class T>
using RunningSum = std::conditional_t<std::is_same_v<T, float>, double,
                                      std::conditional_t<std::is_integral_v<T>, uint64_t, T>>;

}  // namespace

void cumsum(const Array& x, int64_t dim, bool reverse, const Array& out) {
  with_compute_type(out, [&](const Array& y) {
    Array from = as_contiguous(x, y.dtype);
    dispatch_real(y.dtype, "cumsum", [&]<class T>(T) {
      using Sum = RunningSum<T>;
      walk_lines(Lines(x.shape, dim), reverse, Sum(0),
                 [p = from.ptr<T>(), q = y.ptr<T>()](Sum& s, int64_t i, int64_t) {
                   s += static_cast<Sum>(p[i]);
                   q[i] = static_cast<T>(s);
                 });
    });
  });
}

void cumprod(const Array& x, int64_t dim, ScanOrder order, const Array& out) {
  with_compute_type(out, [&](const Array& y) {
    Array from = as_contiguous(x, y.dtype);
    dispatch_real(y.dtype, "cumprod", [&]<class T>(T) {
      using Product = RunningSum<T>;
      walk_lines(Lines(x.shape, dim), order.reverse, Product(1),
                 [p = from.ptr<T>(), q = y.ptr<T>(), order](Product& s, int64_t i, int64_t) {
                   if (order.exclusive) q[i] = static_cast<T>(s);
                   s *= static_cast<Product>(p[i]);
                   if (!order.exclusive) q[i] = static_cast<T>(s);
                 });
    });
  });
}

void linear_scan(const Array& b, const Array& a, int64_t dim, ScanOrder order, const Array& out) {
  with_compute_type(out, [&](const Array& y) {
    Array terms = as_contiguous(b, y.dtype), factors = as_contiguous(a, y.dtype);
    dispatch_float(y.dtype, "linear_scan", [&]<class T>(T) {
      using Sum = RunningSum<T>;
      walk_lines(Lines(b.shape, dim), order.reverse, Sum(0),
                 [pb = terms.ptr<T>(), pa = factors.ptr<T>(), q = y.ptr<T>(), order](
                     Sum& carry, int64_t i, int64_t) {
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
  with_compute_type(values, [&](const Array& y) {
    Array from = as_contiguous(x, y.dtype);
    dispatch_real(y.dtype, largest ? "cummax" : "cummin", [&]<class T>(T) {
      if (largest)
        running_extreme<T, true>(from, dim, y, indices);
      else
        running_extreme<T, false>(from, dim, y, indices);
    });
  });
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
