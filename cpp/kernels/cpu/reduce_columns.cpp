// Reductions whose last kept dimension is denser than the reduced ones: a part of the walk in
// reduce_walk.h.
#include "kernels/cpu/reduce_plan.h"

namespace fastgrad {
namespace {

class ColumnReduction {
 public:
  ColumnReduction(const Array& x, ReducePlan& plan, const ReducerTable& reducer)
      : x_(x),
        plan_(plan),
        reducer_(reducer),
        width_(plan.kept.back()),
        stride_(plan.kept_strides.back()),
        direct_(x.dtype == reducer.compute && stride_ == 1),
        cast_(cast_kernel(x.dtype, reducer.compute)),
        strip_(std::min({width_, kStripBytes / reducer.size,
                         direct_ ? width_ : kGathered / std::min(plan.count, kReduceRows)})) {
    plan.kept.pop_back();
    plan.kept_strides.pop_back();
  }

  void run(ReduceStore store) {
    const int64_t rows = plan_.count, groups = plan_.outputs / width_;
    const int64_t strips = (width_ - 1) / strip_ + 1, tasks = groups * strips;
    constexpr int64_t kEnoughTasks = 16;
    int64_t chunk = rows;  // of rows; the tree has joints at 64 * 2^k
    if (tasks < kEnoughTasks && rows > kReduceRows && !reducer_.serial) {
      chunk = kReduceRows;
      while (chunk < rows && chunk * strip_ < kReduceChunk) chunk *= 2;
    }
    const int64_t chunks = (rows - 1) / chunk + 1;
    if (chunks == 1) {
      const int64_t grain = kReduceChunk / std::max<int64_t>(1, strip_ * rows);
      const bool small = strips == 1 && direct_ && plan_.reduced.size() == 1 && rows <= kReduceRows;
      reduce_parallel(reducer_, tasks, grain, [&](int64_t begin, int64_t end) {
        if (small) return small_groups(begin, end, store);
        AccRoom<kFewColumns> total(reducer_, strip_);
        const auto room = room_to_gather();
        for (int64_t t = begin; t < end; ++t) {
          const int64_t c = t % strips * strip_, m = std::min(strip_, width_ - c);
          columns(t / strips, c, m, 0, rows, room.get(), total.get());
          store.put(store.self, t / strips * width_ + c, 1, total.get(), m);
        }
      });
      return;
    }
    const int64_t outputs = plan_.outputs, bytes = outputs * reducer_.size;
    auto parts = std::make_unique_for_overwrite<char[]>(static_cast<size_t>(bytes * chunks));
    reduce_parallel(reducer_, tasks * chunks, 1, [&](int64_t begin, int64_t end) {
      const auto room = room_to_gather();
      for (int64_t t = begin; t < end; ++t) {
        const int64_t k = t / tasks, group = t % tasks / strips, c = t % strips * strip_;
        columns(group, c, std::min(strip_, width_ - c), k * chunk, std::min(rows, (k + 1) * chunk),
                room.get(), parts.get() + k * bytes + (group * width_ + c) * reducer_.size);
      }
    });
    ColumnCascade cascade(reducer_, chunks, outputs);
    for (int64_t k = 0; k < chunks; ++k) {
      std::memcpy(cascade.part(), parts.get() + k * bytes, static_cast<size_t>(bytes));
      cascade.push();
    }
    cascade.finish(parts.get());
    store.put(store.self, 0, 1, parts.get(), outputs);
  }

 private:
  // Elements that are converted before they are reduced.
  static constexpr int64_t kStripBytes = 8192, kGathered = 8192, kFewColumns = 128;

  std::unique_ptr<char[]> room_to_gather() const {
    if (direct_) return nullptr;
    const int64_t elements = std::min(plan_.count, kReduceRows) * strip_;
    return std::make_unique_for_overwrite<char[]>(
        static_cast<size_t>(elements * static_cast<int64_t>(itemsize(reducer_.compute))));
  }

  // Groups that are a part each; several go to the store at once.
  void small_groups(int64_t begin, int64_t end, ReduceStore store) const {
    const int64_t together = std::max<int64_t>(1, kFewColumns / width_),
                  size = static_cast<int64_t>(x_.itemsize()), wide = width_ * reducer_.size,
                  row_step = plan_.reduced_strides[0] * size;
    AccRoom<kFewColumns> total(reducer_, together * width_);
    const void* row[kReduceRows];
    StridedCursor groups(plan_.kept, plan_.kept_strides, begin);
    groups.advance(end - begin, [&](int64_t offset, int64_t step, int64_t n) {
      for (int64_t i = 0, m; i < n; i += m, begin += m) {
        m = std::min(together, n - i);
        for (int64_t j = 0; j < m; ++j) {
          const char* p = x_.data + (offset + (i + j) * step) * size;
          for (int64_t k = 0; k < plan_.count; ++k) row[k] = p + k * row_step;
          reducer_.rows(row, plan_.count, width_, 0, total.get() + j * wide);
        }
        store.put(store.self, begin * width_, 1, total.get(), m * width_);
      }
    });
  }

  // Rows [begin, end) of m columns from column c of a group.
  void columns(int64_t group, int64_t c, int64_t m, int64_t begin, int64_t end, char* gathered,
               char* total) const {
    int64_t base = c * stride_;
    if (group) {
      StridedCursor outer(plan_.kept, plan_.kept_strides, group);
      outer.advance(1, [&](int64_t offset, int64_t, int64_t) { base += offset; });
    }
    const int64_t parts = (end - begin - 1) / kReduceRows + 1;
    StridedCursor rows(plan_.reduced, plan_.reduced_strides, begin);
    if (parts == 1) return part(rows, base, m, begin, end, gathered, total);
    ColumnCascade cascade(reducer_, parts, m);
    for (int64_t r = begin; r < end; r += kReduceRows) {
      part(rows, base, m, r, std::min(end, r + kReduceRows), gathered, cascade.part());
      cascade.push();
    }
    cascade.finish(total);
  }

  void part(StridedCursor& rows, int64_t base, int64_t m, int64_t begin, int64_t end,
            char* gathered, char* acc) const {
    const int64_t size = static_cast<int64_t>(x_.itemsize()),
                  wide = m * static_cast<int64_t>(itemsize(reducer_.compute));
    const void* row[kReduceRows];
    int64_t k = 0;
    rows.advance(end - begin, [&](int64_t offset, int64_t step, int64_t n) {
      for (int64_t i = 0; i < n; ++i, ++k) {
        const char* p = x_.data + (base + offset + i * step) * size;
        if (direct_) {
          row[k] = p;
        } else {
          cast_(p, stride_, gathered + k * wide, 1, m);
          row[k] = gathered + k * wide;
        }
      }
    });
    reducer_.rows(row, k, m, begin, acc);
  }

  const Array& x_;
  const ReducePlan& plan_;
  const ReducerTable& reducer_;
  int64_t width_, stride_;
  bool direct_;
  CastKernel cast_;
  int64_t strip_;
};

}  // namespace

void reduce_columns(const Array& x, ReducePlan& plan, const ReducerTable& reducer,
                    ReduceStore store) {
  ColumnReduction(x, plan, reducer).run(store);
}

}  // namespace fastgrad
