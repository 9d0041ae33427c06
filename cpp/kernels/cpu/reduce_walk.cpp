#include "kernels/cpu/reduce_walk.h"

#include "kernels/cpu/reduce_lanes.h"
#include "kernels/cpu/reduce_plan.h"

namespace fastgrad {
namespace {

// The Acc of n contiguous elements, a chunk at most.
void reduce_run(const ReducerTable& reducer, const char* p, int64_t n, int64_t first, char* acc) {
  if (n == kReduceChunk && reducer.chunk) return reducer.chunk(p, acc);
  constexpr int64_t kMostParts = kReduceChunk / kReduceBlock;
  alignas(64) char part[kMostParts * kMostAcc];
  const int64_t step = kReduceBlock * static_cast<int64_t>(itemsize(reducer.compute)),
                whole = n / kReduceBlock, rest = n % kReduceBlock;
  if (whole) reducer.lines(p, step, whole, kReduceBlock, first, kReduceBlock, part);
  if (rest)
    reducer.lines(p + whole * step, 0, 1, rest, first + whole * kReduceBlock, 0,
                  part + whole * reducer.size);
  reducer.merge_all(part, whole + (rest > 0));
  std::memcpy(acc, part, static_cast<size_t>(reducer.size));
}

// The Acc of `count` elements of which run(begin, end, acc) reduces a part, chunks of the tree
// apart.
template <class Run>
void reduce_chunks(const ReducerTable& reducer, int64_t count, char* acc, Run&& run) {
  if (count <= kReduceChunk) return run(int64_t{0}, count, acc);
  const int64_t chunks = (count - 1) / kReduceChunk + 1;
  AccRoom<64> room(reducer, chunks);
  char* parts = room.get();
  auto each = [&](int64_t begin, int64_t end) {
    run(begin, end, parts + begin / kReduceChunk * reducer.size);
  };
  if (reducer.serial)
    for (int64_t i = 0; i < count; i += kReduceChunk) each(i, std::min(count, i + kReduceChunk));
  else
    parallel_for(count, kReduceChunk, each);
  reducer.merge_all(parts, chunks);
  std::memcpy(acc, parts, static_cast<size_t>(reducer.size));
}

// Each output's elements, one output after another.
class LineReduction {
 public:
  LineReduction(const Array& x, const ReducePlan& plan, const ReducerTable& reducer,
                ReduceStore store)
      : x_(x),
        plan_(plan),
        reducer_(reducer),
        store_(store),
        size_(static_cast<int64_t>(x.itemsize())),
        wide_(static_cast<int64_t>(itemsize(reducer.compute))),
        inner_stride_(plan.reduced.empty() ? 0 : plan.reduced_strides.back()),
        one_run_(plan.reduced.size() <= 1),
        direct_(one_run_ && x.dtype == reducer.compute &&
                (inner_stride_ == 1 || plan.reduced.empty())),
        cast_(cast_kernel(x.dtype, reducer.compute)) {}

  void run() const {
    const bool short_lines = one_run_ && plan_.count <= kReduceBlock;
    // Lines of a few blocks that follow each other: their blocks are as good as short lines.
    const bool runs = direct_ && !reducer_.ordered && plan_.count <= kReduceChunk &&
                      plan_.count % kReduceBlock == 0;
    auto outputs = [&](int64_t begin, int64_t end) {
      short_lines ? lines(begin, end) : runs ? whole_blocks(begin, end) : long_lines(begin, end);
    };
    // Few long outputs are cut inside, many are shared out.
    constexpr int64_t kFew = 16;
    if (plan_.outputs < kFew && plan_.count >= 4 * kReduceChunk)
      outputs(0, plan_.outputs);
    else
      reduce_parallel(reducer_, plan_.outputs, kParallelGrain / plan_.count, outputs);
  }

 private:
  // Outputs that are worked out before they are stored.
  static constexpr int64_t kTogether = 128;
  static constexpr int64_t kWidest = 8;  // bytes of an element

  void lines(int64_t begin, int64_t end) const {
    const int64_t count = plan_.count,
                  most = direct_ ? kTogether : std::min(kTogether, kReduceBlock / count);
    alignas(64) char acc[kTogether * kMostAcc];
    StridedCursor kept(plan_.kept, plan_.kept_strides, begin);
    kept.advance(end - begin, [&](int64_t offset, int64_t step, int64_t n) {
      for (int64_t i = 0, m; i < n; i += m, begin += m) {
        m = std::min(most, n - i);
        const char* p = x_.data + (offset + i * step) * size_;
        if (direct_)
          reducer_.lines(p, step * size_, m, count, 0, 0, acc);
        else
          converted(p, step, m, acc);
        store_.put(store_.self, begin, 1, acc, m);
      }
    });
  }
  // m outputs of the elements at p, `step` apart.
  [[gnu::noinline]] void converted(const char* p, int64_t step, int64_t m, char* acc) const {
    const int64_t count = plan_.count;
    alignas(64) char gathered[kReduceBlock * kWidest];
    if (inner_stride_ == 1 && step == count)
      cast_(p, 1, gathered, 1, m * count);
    else
      for (int64_t i = 0; i < m; ++i)
        cast_(p + i * step * size_, inner_stride_, gathered + i * count * wide_, 1, count);
    reducer_.lines(gathered, count * wide_, m, count, 0, 0, acc);
  }

  void whole_blocks(int64_t begin, int64_t end) const {
    constexpr int64_t kMostBlocks = 128;
    const int64_t blocks = plan_.count / kReduceBlock, most = kMostBlocks / blocks,
                  bytes = blocks * reducer_.size;
    alignas(64) char acc[kMostBlocks * kMostAcc];
    StridedCursor kept(plan_.kept, plan_.kept_strides, begin);
    kept.advance(end - begin, [&](int64_t offset, int64_t step, int64_t n) {
      for (int64_t i = 0, m; i < n; i += m, begin += m) {
        m = step == plan_.count ? std::min(most, n - i) : 1;
        reducer_.lines(x_.data + (offset + i * step) * size_, kReduceBlock * size_, m * blocks,
                       kReduceBlock, 0, 0, acc);
        for (int64_t j = 0; j < m; ++j) {
          reducer_.merge_all(acc + j * bytes, blocks);
          std::memmove(acc + j * reducer_.size, acc + j * bytes,
                       static_cast<size_t>(reducer_.size));
        }
        store_.put(store_.self, begin, 1, acc, m);
      }
    });
  }

  void long_lines(int64_t begin, int64_t end) const {
    StridedCursor kept(plan_.kept, plan_.kept_strides, begin);
    for (int64_t o = begin; o < end; ++o) {
      const char* p = x_.data;
      kept.advance(1, [&](int64_t offset, int64_t, int64_t) { p += offset * size_; });
      alignas(8) char acc[kMostAcc];
      reduce_chunks(reducer_, plan_.count, acc, [&](int64_t from, int64_t to, char* part) {
        if (direct_)
          reduce_run(reducer_, p + from * size_, to - from, from, part);
        else
          gathered(p, from, to, part);
      });
      store_.put(store_.self, o, 1, acc, 1);
    }
  }
  // Elements [begin, end) of the reduced dimensions, in any layout, from the element at p; a chunk
  // at most.
  void gathered(const char* p, int64_t begin, int64_t end, char* acc) const {
    alignas(64) char memory[kReduceBlock * kWidest];
    alignas(64) char parts[kReduceChunk / kReduceBlock * kMostAcc];
    const bool same = x_.dtype == reducer_.compute;
    StridedCursor reduced(plan_.reduced, plan_.reduced_strides, begin);
    int64_t done = 0;
    for (int64_t i = begin; i < end; i += kReduceBlock, ++done) {
      const int64_t n = std::min(kReduceBlock, end - i);
      char* to = memory;
      const char* block = memory;
      reduced.advance(n, [&](int64_t offset, int64_t step, int64_t run) {
        const char* from = p + offset * size_;
        if (run == n && step == 1 && same) {  // the whole block lies in one piece
          block = from;
          return;
        }
        cast_(from, step, to, 1, run);
        to += run * wide_;
      });
      reducer_.lines(block, 0, 1, n, i, 0, parts + done * reducer_.size);
    }
    reducer_.merge_all(parts, done);
    std::memcpy(acc, parts, static_cast<size_t>(reducer_.size));
  }

  const Array& x_;
  const ReducePlan& plan_;
  const ReducerTable& reducer_;
  ReduceStore store_;
  int64_t size_, wide_, inner_stride_;
  bool one_run_, direct_;
  CastKernel cast_;
};

void append(Dims& shape, Dims& strides, int64_t n, int64_t stride) {
  if (n == 1) return;
  if (!shape.empty() && strides.back() == n * stride) {
    shape.back() *= n;
    strides.back() = stride;
  } else {
    shape.push_back(n);
    strides.push_back(stride);
  }
}

}  // namespace

ReducePlan::ReducePlan(const Array& x, DimSet dims, bool ordered) {
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

namespace {

// The Accs that come out of a first step.
class Parts {
 public:
  Parts(int64_t count, int64_t size)
      : data_(std::make_unique_for_overwrite<char[]>(static_cast<size_t>(count * size))),
        size_(size) {}
  char* at(int64_t i) { return data_.get() + i * size_; }
  ReduceStore store() {
    return {this, [](void* self, int64_t first, int64_t step, const void* acc, int64_t m) {
              auto* parts = static_cast<Parts*>(self);
              const int64_t piece = step == 1 ? m : 1, size = parts->size_;
              for (int64_t i = 0; i < m; i += piece)
                std::memcpy(parts->at(first + i * step), static_cast<const char*>(acc) + i * size,
                            static_cast<size_t>(piece * size));
            }};
  }

 private:
  std::unique_ptr<char[]> data_;
  int64_t size_;
};

// Sizes and strides that are put together from those of a plan.
struct Layout {
  Dims shape, strides;
  void take(const Dims& from, const Dims& steps, size_t begin, size_t end) {
    for (; begin < end; ++begin) {
      shape.push_back(from[begin]);
      strides.push_back(steps[begin]);
    }
  }
};

// Long runs that do not follow one another, as of columns cut out of a matrix: first each run, then
// what those of an output come to. Whether it was done here.
bool reduce_by_runs(const Array& x, const ReducePlan& plan, const ReducerTable& reducer,
                    ReduceStore store) {
  constexpr int64_t kLongRun = 64;
  if (reducer.ordered || reducer.serial || plan.reduced.size() < 2 ||
      plan.reduced.back() < kLongRun || plan.reduced_strides.back() != 1)
    return false;
  const size_t last = plan.reduced.size() - 1;
  const int64_t runs = plan.count / plan.reduced[last];
  Layout lines;
  lines.take(plan.kept, plan.kept_strides, 0, plan.kept.size());
  lines.take(plan.reduced, plan.reduced_strides, 0, last + 1);
  Parts parts(plan.outputs * runs, reducer.size);
  reduce_walk(x.view(lines.shape, lines.strides), DimSet{1} << (lines.shape.size() - 1), reducer,
              parts.store());
  parallel_for(plan.outputs, kParallelGrain / runs + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      reducer.merge_all(parts.at(i * runs), runs);
      store.put(store.self, i, 1, parts.at(i * runs), 1);
    }
  });
  return true;
}

// Short runs with kept dimensions between them, as over the first and the last of three: first each
// run, as if it were alone, then what the runs come to. Whether it was done here.
bool reduce_in_steps(const Array& x, const ReducePlan& plan, const ReducerTable& reducer,
                     ReduceStore store) {
  constexpr int64_t kShortRun = 64;
  if (reducer.ordered || reducer.serial || plan.reduced.size() < 2 || plan.kept.empty())
    return false;
  const size_t last = plan.reduced.size() - 1;
  const int64_t run = plan.reduced[last], stride = std::abs(plan.kept_strides.back()),
                size = reducer.size;
  if (run > kShortRun || run * static_cast<int64_t>(x.itemsize()) < size ||
      stride <= std::abs(plan.reduced_strides[last]) ||
      stride >= std::abs(plan.reduced_strides[last - 1]))
    return false;
  Layout lines;
  lines.take(plan.reduced, plan.reduced_strides, 0, last);
  lines.take(plan.kept, plan.kept_strides, 0, plan.kept.size());
  lines.take(plan.reduced, plan.reduced_strides, last, last + 1);
  const int64_t columns = plan.outputs, rows = plan.count / run;
  Parts parts(rows * columns, size);
  reduce_walk(x.view(lines.shape, lines.strides), DimSet{1} << (lines.shape.size() - 1), reducer,
              parts.store());
  parallel_for(columns, kParallelGrain / rows + 1, [&](int64_t begin, int64_t end) {
    ColumnCascade cascade(reducer, (rows - 1) / kReduceRows + 1, end - begin);
    for (int64_t r = 0; r < rows; ++r) {
      const char* row = parts.at(r * columns + begin);
      if (r % kReduceRows == 0)
        std::memcpy(cascade.part(), row, static_cast<size_t>((end - begin) * size));
      else
        reducer.merge(cascade.part(), row, cascade.part(), end - begin);
      if (r % kReduceRows == kReduceRows - 1 || r == rows - 1) cascade.push();
    }
    char* total = parts.at(begin);  // the first row's, which are no longer needed
    cascade.finish(total);
    store.put(store.self, begin, 1, total, end - begin);
  });
  return true;
}

}  // namespace

void reduce_walk(const Array& x, DimSet dims, const ReducerTable& reducer, ReduceStore store) {
  choose_reduction_ahead(x.numel * static_cast<int64_t>(x.itemsize()));
  if (reduces_one_line(x, dims, reducer.compute)) {
    alignas(8) char acc[kMostAcc];
    const int64_t size = static_cast<int64_t>(x.itemsize());
    if (x.numel == 0)
      reducer.empty(acc);
    else
      reduce_chunks(reducer, x.numel, acc, [&](int64_t begin, int64_t end, char* part) {
        reduce_run(reducer, x.data + begin * size, end - begin, begin, part);
      });
    return store.put(store.self, 0, 1, acc, 1);
  }
  ReducePlan plan(x, dims, reducer.ordered);
  if (plan.outputs == 0) return;
  if (plan.count == 0) {
    alignas(8) char acc[kMostAcc];
    reducer.empty(acc);
    for (int64_t i = 0; i < plan.outputs; ++i) store.put(store.self, i, 1, acc, 1);
    return;
  }
  const bool whole_lines = reducer.whole_line && plan.count >= reducer.whole_line &&
                           x.dtype == reducer.compute && plan.reduced.size() == 1 &&
                           plan.reduced_strides[0] == 1;
  if (reduce_folded(x, plan, reducer, store, true)) return;
  if (!whole_lines && ShortTiles::suits(plan.dims())) return reduce_short(x, plan, reducer, store);
  if ((!reducer.ordered || is_floating(reducer.compute)) &&
      reduce_folded(x, plan, reducer, store, false))
    return;
  const int64_t inner_stride = plan.reduced.empty() ? 0 : plan.reduced_strides.back();
  if (!plan.kept.empty() && !plan.reduced.empty() && plan.kept.back() >= 4 &&
      std::abs(plan.kept_strides.back()) < std::abs(inner_stride))
    return reduce_columns(x, plan, reducer, store);
  if (reduce_in_steps(x, plan, reducer, store)) return;
  if (reduce_by_runs(x, plan, reducer, store)) return;
  LineReduction(x, plan, reducer, store).run();
}

}  // namespace fastgrad
