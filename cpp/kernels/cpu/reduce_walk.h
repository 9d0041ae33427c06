// The walk of the reductions: brings blocks of reduced elements, or rows of them, to a reducer.
//
// A reducer R has
//   In, Acc             the element type it computes in, and what it accumulates
//   kOrdered            whether an element's place matters (argmax) or dimensions may be reordered
//   empty()             the Acc of no elements
//   block(p, n, first)  the Acc of n > 0 contiguous elements, the first of which has index `first`
//   row(acc, p, m, i)   acc[j] takes in p[j] for j < m; all of these have index i. Starts from
//   empty() merge(a, b)         a's elements came before b's
#pragma once

#include <algorithm>
#include <memory>

#include "kernels/copy.h"
#include "kernels/reduce.h"

namespace fastgrad {
namespace {

// Pairwise merging of a stream of equal parts, as a binary counter counts.
template <class R>
class Cascade {
 public:
  using Acc = typename R::Acc;
  void push(Acc a) {
    int k = 0;
    for (uint64_t c = parts_++; c & 1; c >>= 1) a = R::merge(level_[k++], a);
    level_[k] = a;
  }
  Acc finish() const {
    int k = 0;
    uint64_t c = parts_;
    if (c == 0) return R::empty();
    for (; !(c & 1); c >>= 1) ++k;
    Acc a = level_[k];
    for (c >>= 1, ++k; c; c >>= 1, ++k)
      if (c & 1) a = R::merge(level_[k], a);
    return a;
  }

 private:
  uint64_t parts_ = 0;
  Acc level_[54];
};

template <class R>
typename R::Acc reduce_contiguous(const typename R::In* p, int64_t n, int64_t first = 0) {
  if (n <= kReduceBlock) return n == 0 ? R::empty() : R::block(p, n, first);
  Cascade<R> cascade;
  for (int64_t i = 0; i < n; i += kReduceBlock)
    cascade.push(R::block(p + i, std::min(kReduceBlock, n - i), first + i));
  return cascade.finish();
}

// Kept and reduced dimensions apart, neighbours merged; strides in elements.
struct ReducePlan {
  Dims kept, kept_strides, reduced, reduced_strides;
  int64_t outputs = 1, count = 1;

  ReducePlan(const Array& x, DimSet dims, bool ordered) {
    Dims order;
    for (size_t d = 0; d < x.shape.size(); ++d)
      if (contains(dims, d))
        order.push_back(static_cast<int64_t>(d));
      else
        append(kept, kept_strides, x.shape[d], x.strides[d]);
    if (!ordered)  // the densest dimension last
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        return std::abs(x.strides[a]) > std::abs(x.strides[b]);
      });
    for (int64_t d : order) append(reduced, reduced_strides, x.shape[d], x.strides[d]);
    for (int64_t n : kept) outputs *= n;
    for (int64_t n : reduced) count *= n;
  }

 private:
  static void append(Dims& shape, Dims& strides, int64_t n, int64_t stride) {
    if (n == 1) return;
    if (!shape.empty() && strides.back() == n * stride) {
      shape.back() *= n;
      strides.back() = stride;
    } else {
      shape.push_back(n);
      strides.push_back(stride);
    }
  }
};

// The accumulators of a strip of columns, with what Cascade does for each of them.
template <class R>
class ColumnCascade {
 public:
  using Acc = typename R::Acc;
  static constexpr int64_t kColumns = 128;
  static constexpr int64_t kRows = 64;  // that are accumulated in a line before merging

  explicit ColumnCascade(int64_t rows) {
    int64_t parts = (rows + kRows - 1) / kRows, levels = 1;
    while (parts >>= 1) ++levels;
    level_ = std::make_unique<Acc[]>(static_cast<size_t>((levels + 1) * kColumns));
  }
  void start(int64_t columns) {
    columns_ = columns;
    parts_ = 0;
    in_part_ = 0;
  }
  void row(const typename R::In* p, int64_t i) {
    Acc* acc = level_.get();
    if (in_part_ == 0) std::fill_n(acc, columns_, R::empty());
    R::row(acc, p, columns_, i);
    if (++in_part_ == kRows) close();
  }
  const Acc* finish() {
    if (in_part_) close();
    Acc* total = level_.get();
    bool any = false;
    int k = 1;
    for (uint64_t c = parts_; c; c >>= 1, ++k) {
      if (!(c & 1)) continue;
      const Acc* part = at(k);
      for (int64_t j = 0; j < columns_; ++j) total[j] = any ? R::merge(part[j], total[j]) : part[j];
      any = true;
    }
    if (!any) std::fill_n(total, columns_, R::empty());
    return total;
  }

 private:
  Acc* at(int k) { return level_.get() + k * kColumns; }
  void close() {
    Acc* acc = level_.get();
    int k = 1;
    for (uint64_t c = parts_++; c & 1; c >>= 1, ++k)
      for (int64_t j = 0; j < columns_; ++j) acc[j] = R::merge(at(k)[j], acc[j]);
    std::copy_n(acc, columns_, at(k));
    in_part_ = 0;
  }
  std::unique_ptr<Acc[]> level_;  // row 0: the open part; row k: merged parts, 2^(k-1) of them
  int64_t columns_ = 0, in_part_ = 0;
  uint64_t parts_ = 0;
};

// Calls store(output index, Acc) for every output. x may have any type; blocks are converted to
// R::In where it has another.
template <class R, class Store>
void reduce_walk(const Array& x, DimSet dims, Store&& store) {
  using In = typename R::In;
  constexpr DType compute = dtype_of<In>;
  const bool same = x.dtype == compute;
  if (same && x.contiguous && (x.ndim() == 0 || dims == (~DimSet{0} >> (64 - x.ndim())))) {
    store(int64_t{0}, reduce_contiguous<R>(x.ptr<In>(), x.numel));
    return;
  }
  ReducePlan plan(x, dims, R::kOrdered);
  if (plan.outputs == 0) return;
  if (plan.count == 0) {
    for (int64_t i = 0; i < plan.outputs; ++i) store(i, R::empty());
    return;
  }
  const int64_t size = static_cast<int64_t>(x.itemsize());
  const CastKernel cast = cast_kernel(x.dtype, compute);
  In gathered[kReduceBlock];

  const int64_t inner_stride = plan.reduced.empty() ? 0 : plan.reduced_strides.back();
  const bool columns = !plan.kept.empty() && !plan.reduced.empty() && plan.kept.back() >= 4 &&
                       std::abs(plan.kept_strides.back()) < std::abs(inner_stride);
  if (columns) {
    const int64_t width = plan.kept.back(), stride = plan.kept_strides.back();
    const bool direct = same && stride == 1;
    plan.kept.pop_back();
    plan.kept_strides.pop_back();
    ColumnCascade<R> cascade(plan.count);
    StridedCursor outer(plan.kept, plan.kept_strides, 0);
    for (int64_t o = 0; o < plan.outputs / width; ++o) {
      int64_t base = 0;
      outer.advance(1, [&](int64_t offset, int64_t, int64_t) { base = offset; });
      for (int64_t c = 0; c < width; c += ColumnCascade<R>::kColumns) {
        const int64_t m = std::min(ColumnCascade<R>::kColumns, width - c);
        cascade.start(m);
        int64_t index = 0;
        StridedCursor rows(plan.reduced, plan.reduced_strides, 0);
        rows.advance(plan.count, [&](int64_t offset, int64_t step, int64_t n) {
          for (int64_t i = 0; i < n; ++i) {
            const char* p = x.data + (base + c * stride + offset + i * step) * size;
            if (direct) {
              cascade.row(reinterpret_cast<const In*>(p), index++);
            } else {
              cast(p, stride, reinterpret_cast<char*>(gathered), 1, m);
              cascade.row(gathered, index++);
            }
          }
        });
        const auto* totals = cascade.finish();
        for (int64_t j = 0; j < m; ++j) store(o * width + c + j, totals[j]);
      }
    }
    return;
  }

  const bool one_run = plan.reduced.size() <= 1;
  const bool direct = one_run && same && (inner_stride == 1 || plan.reduced.empty());
  StridedCursor kept(plan.kept, plan.kept_strides, 0);
  for (int64_t o = 0; o < plan.outputs; ++o) {
    const char* p = x.data;
    kept.advance(1, [&](int64_t offset, int64_t, int64_t) { p += offset * size; });
    if (direct) {
      store(o, reduce_contiguous<R>(reinterpret_cast<const In*>(p), plan.count));
    } else if (one_run && plan.count <= kReduceBlock) {
      cast(p, inner_stride, reinterpret_cast<char*>(gathered), 1, plan.count);
      store(o, R::block(gathered, plan.count, 0));
    } else {
      StridedCursor reduced(plan.reduced, plan.reduced_strides, 0);
      Cascade<R> cascade;
      for (int64_t i = 0; i < plan.count; i += kReduceBlock) {
        const int64_t n = std::min(kReduceBlock, plan.count - i);
        In* to = gathered;
        const In* block = gathered;
        reduced.advance(n, [&](int64_t offset, int64_t step, int64_t run) {
          const char* from = p + offset * size;
          if (run == n && step == 1 && same) {  // the whole block lies in one piece
            block = reinterpret_cast<const In*>(from);
            return;
          }
          cast(from, step, reinterpret_cast<char*>(to), 1, run);
          to += run;
        });
        cascade.push(R::block(block, n, i));
      }
      store(o, cascade.finish());
    }
  }
}

// Runs f on an output of type `compute`: out itself, or a temporary that is converted into it.
template <class F>
void with_output(const Array& out, DType compute, F&& f) {
  if (out.dtype == compute) {
    f(out);
    return;
  }
  Array wide = Array::empty(out.shape, compute);
  f(wide);
  copy_array(wide, out);
}

// n values in `kLanes` lanes, then the lanes pairwise: f(T, T) -> T. n > 0.
template <class T, class F>
T reduce_lanes(const T* p, int64_t n, F&& f) {
  constexpr int64_t kLanes = 32;
  if (n < kLanes) {
    constexpr int64_t kFew = 4;
    if (n < kFew) {
      T a = p[0];
      for (int64_t i = 1; i < n; ++i) a = f(a, p[i]);
      return a;
    }
    T lane[kFew] = {p[0], p[1], p[2], p[3]};
    int64_t i = kFew;
    for (; i + kFew <= n; i += kFew)
      for (int64_t j = 0; j < kFew; ++j) lane[j] = f(lane[j], p[i + j]);
    for (int64_t j = 0; i + j < n; ++j) lane[j] = f(lane[j], p[i + j]);
    return f(f(lane[0], lane[2]), f(lane[1], lane[3]));
  }
  T lane[kLanes];
  for (int64_t j = 0; j < kLanes; ++j) lane[j] = p[j];
  int64_t i = kLanes;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t j = 0; j < kLanes; ++j) lane[j] = f(lane[j], p[i + j]);
  for (int64_t j = 0; i + j < n; ++j) lane[j] = f(lane[j], p[i + j]);
  for (int64_t half = kLanes / 2; half > 0; half /= 2)
    for (int64_t j = 0; j < half; ++j) lane[j] = f(lane[j], lane[j + half]);
  return lane[0];
}

}  // namespace
}  // namespace fastgrad
