// The walk of the reductions: brings blocks of reduced elements, or rows of them, to a reducer.
//
// A reducer R has
//   In, Acc             the element type it computes in, and what it accumulates
//   kOrdered            whether an element's place matters (argmax) or dimensions may be reordered
//   empty()             the Acc of no elements
//   block(p, n, first)  the Acc of n > 0 contiguous elements, the first of which has index `first`
//   merge(a, b)         a's elements came before b's
// and one of
//   rows(row, n, m, first, acc)  acc[j] is the Acc of row[0][j] ... row[n - 1][j], for j < m and
//                                0 < n <= kReduceRows; row[0] has index `first`
//   row(acc, p, m, i)            acc[j] takes in p[j] for j < m, all of index i
// and may have
//   chunk(p)            the Acc of kReduceChunk contiguous elements
//
// Large reductions run on several threads, cut where the tree has a joint, so that neither cutting
// nor the number of threads changes it.
#pragma once

#include <algorithm>
#include <bit>
#include <memory>
#include <type_traits>

#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/short_tiles.h"
#include "kernels/reduce.h"

namespace fastgrad {
namespace {

// Rows that are reduced in a line before pairwise merging.
inline constexpr int64_t kReduceRows = 64;
// What one thread takes of a long reduction: a whole subtree.
inline constexpr int64_t kReduceChunk = 64 * kReduceBlock;

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
typename R::Acc reduce_run(const typename R::In* p, int64_t n, int64_t first) {
  if constexpr (requires { R::chunk(p); })
    if (n == kReduceChunk) return R::chunk(p);
  Cascade<R> cascade;
  for (int64_t i = 0; i < n; i += kReduceBlock)
    cascade.push(R::block(p + i, std::min(kReduceBlock, n - i), first + i));
  return cascade.finish();
}

// The Acc of `count` elements of which run(begin, end) reduces a part, chunks of the tree apart.
template <class R, class Run>
typename R::Acc reduce_chunks(int64_t count, Run&& run) {
  if (count <= kReduceChunk) return run(int64_t{0}, count);
  const int64_t chunks = (count - 1) / kReduceChunk + 1;
  auto parts = std::make_unique_for_overwrite<typename R::Acc[]>(static_cast<size_t>(chunks));
  parallel_for(count, kReduceChunk, [&](int64_t begin, int64_t end) {
    parts[static_cast<size_t>(begin / kReduceChunk)] = run(begin, end);
  });
  Cascade<R> cascade;
  for (int64_t i = 0; i < chunks; ++i) cascade.push(parts[static_cast<size_t>(i)]);
  return cascade.finish();
}

template <class R>
[[gnu::noinline]] typename R::Acc reduce_long(const typename R::In* p, int64_t n) {
  return reduce_chunks<R>(
      n, [p](int64_t begin, int64_t end) { return reduce_run<R>(p + begin, end - begin, begin); });
}

template <class R>
typename R::Acc reduce_contiguous(const typename R::In* p, int64_t n) {
  if (n <= kReduceBlock) return n == 0 ? R::empty() : R::block(p, n, 0);
  return reduce_long<R>(p, n);
}

// Kept and reduced dimensions apart, neighbours merged; strides in elements.
struct ReducePlan {
  Dims kept, kept_strides, reduced, reduced_strides;
  int64_t outputs = 1, count = 1;

  // Out of line: the walks of all types and reducers share it.
  [[gnu::noinline]] ReducePlan(const Array& x, DimSet dims, bool ordered) {
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
  KeptAndReduced dims() const { return {kept, kept_strides, reduced, reduced_strides}; }

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

// Accumulators of columns side by side, with what Cascade does for each of them.
template <class R>
class ColumnCascade {
 public:
  using Acc = typename R::Acc;
  ColumnCascade(int64_t parts, int64_t columns) : columns_(columns) {
    const int levels = std::bit_width(static_cast<size_t>(parts)) + 1;
    memory_ = std::make_unique_for_overwrite<Acc[]>(static_cast<size_t>(levels * columns));
    for (int k = 0; k < levels; ++k) level_[k] = memory_.get() + k * columns;
  }
  // Where the next part has to be put before push().
  Acc* part() { return level_[0]; }
  void push() {
    int k = 1;
    for (uint64_t c = parts_++; c & 1; c >>= 1, ++k)
      for (int64_t j = 0; j < columns_; ++j) level_[0][j] = R::merge(level_[k][j], level_[0][j]);
    std::swap(level_[0], level_[k]);
  }
  void finish(Acc* total) const {
    bool any = false;
    int k = 1;
    for (uint64_t c = parts_; c; c >>= 1, ++k) {
      if (!(c & 1)) continue;
      const Acc* part = level_[k];
      for (int64_t j = 0; j < columns_; ++j) total[j] = any ? R::merge(part[j], total[j]) : part[j];
      any = true;
    }
  }

 private:
  int64_t columns_;
  std::unique_ptr<Acc[]> memory_;
  Acc* level_[66];  // 0: the open part; k: 2^(k-1) merged parts
  uint64_t parts_ = 0;
};

template <class R>
void reduce_rows(const typename R::In* const* row, int64_t n, int64_t m, int64_t first,
                 typename R::Acc* acc) {
  if constexpr (requires { R::rows(row, n, m, first, acc); }) {
    R::rows(row, n, m, first, acc);
  } else {
    std::fill_n(acc, m, R::empty());
    for (int64_t i = 0; i < n; ++i) R::row(acc, row[i], m, first + i);
  }
}

// A reducer with kSerial keeps something in this thread's variables.
template <class R, class F>
void reduce_parallel(int64_t n, int64_t grain, F&& f) {
  if constexpr (requires { R::kSerial; })
    f(int64_t{0}, n);
  else
    parallel_for(n, std::max<int64_t>(grain, 1), f);
}

}  // namespace
}  // namespace fastgrad

#include "kernels/cpu/reduce_narrow.h"

namespace fastgrad {
namespace {

// The last kept dimension is denser than the reduced ones: many columns advance together.
template <class R>
class ColumnReduction {
 public:
  using In = typename R::In;
  using Acc = typename R::Acc;

  ColumnReduction(const Array& x, ReducePlan& plan)
      : x_(x),
        plan_(plan),
        width_(plan.kept.back()),
        stride_(plan.kept_strides.back()),
        direct_(x.dtype == dtype_of<In> && stride_ == 1),
        cast_(cast_kernel(x.dtype, dtype_of<In>)),
        strip_(std::min(
            width_, direct_ ? kStripBytes / static_cast<int64_t>(sizeof(Acc)) : kGatheredColumns)) {
    plan.kept.pop_back();
    plan.kept_strides.pop_back();
  }

  template <class Store>
  void run(Store& store) {
    const int64_t rows = plan_.count, groups = plan_.outputs / width_;
    const int64_t strips = (width_ - 1) / strip_ + 1, tasks = groups * strips;
    constexpr int64_t kEnoughTasks = 16;
    int64_t chunk = rows;  // of rows; the tree has joints at 64 * 2^k
    if (tasks < kEnoughTasks && rows > kReduceRows && !requires_one_thread()) {
      chunk = kReduceRows;
      while (chunk < rows && chunk * strip_ < kReduceChunk) chunk *= 2;
    }
    const int64_t chunks = (rows - 1) / chunk + 1;
    if (chunks == 1) {
      const int64_t grain = kReduceChunk / std::max<int64_t>(1, strip_ * rows);
      reduce_parallel<R>(tasks, grain, [&](int64_t begin, int64_t end) {
        Acc few[kGatheredColumns];
        std::unique_ptr<Acc[]> many;
        if (strip_ > kGatheredColumns)
          many = std::make_unique_for_overwrite<Acc[]>(static_cast<size_t>(strip_));
        Acc* total = many ? many.get() : few;
        for (int64_t t = begin; t < end; ++t) {
          const int64_t c = t % strips * strip_, m = std::min(strip_, width_ - c);
          columns(t / strips, c, m, 0, rows, total);
          for (int64_t j = 0; j < m; ++j) store(t / strips * width_ + c + j, total[j]);
        }
      });
      return;
    }
    const auto outputs = static_cast<size_t>(plan_.outputs);
    auto parts = std::make_unique_for_overwrite<Acc[]>(outputs * static_cast<size_t>(chunks));
    reduce_parallel<R>(tasks * chunks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const int64_t k = t / tasks, group = t % tasks / strips, c = t % strips * strip_;
        columns(group, c, std::min(strip_, width_ - c), k * chunk, std::min(rows, (k + 1) * chunk),
                parts.get() + static_cast<size_t>(k) * outputs + group * width_ + c);
      }
    });
    ColumnCascade<R> cascade(chunks, plan_.outputs);
    for (size_t k = 0; k < static_cast<size_t>(chunks); ++k) {
      std::copy_n(parts.get() + k * outputs, outputs, cascade.part());
      cascade.push();
    }
    cascade.finish(parts.get());
    for (size_t i = 0; i < outputs; ++i) store(static_cast<int64_t>(i), parts[i]);
  }

 private:
  static constexpr int64_t kStripBytes = 8192, kGatheredColumns = 128;

  static constexpr bool requires_one_thread() {
    return requires { R::kSerial; };
  }

  // Rows [begin, end) of m columns from column c of a group.
  void columns(int64_t group, int64_t c, int64_t m, int64_t begin, int64_t end, Acc* total) const {
    const int64_t size = static_cast<int64_t>(x_.itemsize());
    int64_t base = c * stride_;
    if (group) {
      StridedCursor outer(plan_.kept, plan_.kept_strides, group);
      outer.advance(1, [&](int64_t offset, int64_t, int64_t) { base += offset; });
    }
    const int64_t parts = (end - begin - 1) / kReduceRows + 1;
    std::unique_ptr<In[]> gathered;
    if (!direct_)
      gathered = std::make_unique_for_overwrite<In[]>(static_cast<size_t>(kReduceRows * m));
    if (parts == 1) {
      StridedCursor rows(plan_.reduced, plan_.reduced_strides, begin);
      part(rows, base, size, m, begin, end, gathered.get(), total);
      return;
    }
    ColumnCascade<R> cascade(parts, m);
    StridedCursor rows(plan_.reduced, plan_.reduced_strides, begin);
    for (int64_t r = begin; r < end; r += kReduceRows) {
      part(rows, base, size, m, r, std::min(end, r + kReduceRows), gathered.get(), cascade.part());
      cascade.push();
    }
    cascade.finish(total);
  }

  // Out of line: it holds the reducer, and is called in two places.
  [[gnu::noinline]] void part(StridedCursor& rows, int64_t base, int64_t size, int64_t m,
                              int64_t begin, int64_t end, In* gathered, Acc* acc) const {
    const In* row[kReduceRows];
    row[0] = nullptr;  // quiets a warning that is none: there is one row at least
    int64_t k = 0;
    rows.advance(end - begin, [&](int64_t offset, int64_t step, int64_t n) {
      for (int64_t i = 0; i < n; ++i, ++k) {
        const char* p = x_.data + (base + offset + i * step) * size;
        if (direct_) {
          row[k] = reinterpret_cast<const In*>(p);
        } else {
          cast_(p, stride_, reinterpret_cast<char*>(gathered + k * m), 1, m);
          row[k] = gathered + k * m;
        }
      }
    });
    reduce_rows<R>(row, k, m, begin, acc);
  }

  const Array& x_;
  const ReducePlan& plan_;
  int64_t width_, stride_;
  bool direct_;
  CastKernel cast_;
  int64_t strip_;
};

// Elements [begin, end) of the reduced dimensions, in any layout, from the element at p.
template <class R>
typename R::Acc reduce_gathered(const Array& x, const ReducePlan& plan, const char* p,
                                int64_t begin, int64_t end) {
  using In = typename R::In;
  constexpr DType compute = dtype_of<In>;
  const bool same = x.dtype == compute;
  const int64_t size = static_cast<int64_t>(x.itemsize());
  const CastKernel cast = cast_kernel(x.dtype, compute);
  In gathered[kReduceBlock];
  StridedCursor reduced(plan.reduced, plan.reduced_strides, begin);
  Cascade<R> cascade;
  for (int64_t i = begin; i < end; i += kReduceBlock) {
    const int64_t n = std::min(kReduceBlock, end - i);
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
  return cascade.finish();
}

// Calls store(output index, Acc) for every output, on several threads at once. x may have any type;
// blocks are converted to R::In where it has another.
template <class R, class Store>
void reduce_walk(const Array& x, DimSet dims, Store&& store) {
  using In = typename R::In;
  constexpr DType compute = dtype_of<In>;
  const bool same = x.dtype == compute;
  if (same && x.contiguous && (x.ndim() == 0 || dims == (~DimSet{0} >> (64 - x.ndim())))) {
    if constexpr (requires { R::kSerial; })
      store(int64_t{0}, x.numel ? reduce_run<R>(x.ptr<In>(), x.numel, 0) : R::empty());
    else
      store(int64_t{0}, reduce_contiguous<R>(x.ptr<In>(), x.numel));
    return;
  }
  ReducePlan plan(x, dims, R::kOrdered);
  if (plan.outputs == 0) return;
  if (plan.count == 0) {
    for (int64_t i = 0; i < plan.outputs; ++i) store(i, R::empty());
    return;
  }
  // Other types are not worth the time to compile them.
  if constexpr (sizeof(In) == 8 || std::is_floating_point_v<In>)
    if (ShortTiles::suits(plan.dims())) return reduce_short<R>(x, plan, store);
  if constexpr (std::is_floating_point_v<In>)
    if (reduce_folded<R>(x, plan, store)) return;
  const int64_t inner_stride = plan.reduced.empty() ? 0 : plan.reduced_strides.back();
  const bool columns = !plan.kept.empty() && !plan.reduced.empty() && plan.kept.back() >= 4 &&
                       std::abs(plan.kept_strides.back()) < std::abs(inner_stride);
  if (columns) {
    ColumnReduction<R>(x, plan).run(store);
    return;
  }

  const int64_t size = static_cast<int64_t>(x.itemsize());
  const bool one_run = plan.reduced.size() <= 1;
  const bool direct = one_run && same && (inner_stride == 1 || plan.reduced.empty());
  const CastKernel cast = cast_kernel(x.dtype, compute);
  auto outputs = [&](int64_t begin, int64_t end) {
    StridedCursor kept(plan.kept, plan.kept_strides, begin);
    for (int64_t o = begin; o < end; ++o) {
      const char* p = x.data;
      kept.advance(1, [&](int64_t offset, int64_t, int64_t) { p += offset * size; });
      if (direct && plan.count <= kReduceBlock) {
        store(o, R::block(reinterpret_cast<const In*>(p), plan.count, 0));
      } else if (one_run && plan.count <= kReduceBlock) {
        In gathered[kReduceBlock];
        cast(p, inner_stride, reinterpret_cast<char*>(gathered), 1, plan.count);
        store(o, R::block(gathered, plan.count, 0));
      } else {
        auto run = [&](int64_t from, int64_t to) {
          return direct ? reduce_run<R>(reinterpret_cast<const In*>(p) + from, to - from, from)
                        : reduce_gathered<R>(x, plan, p, from, to);
        };
        if constexpr (requires { R::kSerial; })
          store(o, run(int64_t{0}, plan.count));
        else
          store(o, reduce_chunks<R>(plan.count, run));
      }
    }
  };
  // Few long outputs are cut inside, many are shared out.
  constexpr int64_t kFew = 16;
  if (plan.outputs < kFew && plan.count >= 4 * kReduceChunk)
    outputs(0, plan.outputs);
  else
    reduce_parallel<R>(plan.outputs, kParallelGrain / plan.count, outputs);
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

}  // namespace
}  // namespace fastgrad
