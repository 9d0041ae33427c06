// Reductions down few columns, and those of few elements each: the parts of the walk in
// reduce_walk.h for dimensions that are too short to fill registers.
#include "kernels/cpu/reduce_plan.h"

namespace fastgrad {
namespace {

// Few columns of contiguous rows: several rows are one long one, reduced as such, and what the long
// one's parts come to is merged at the end. Element j of it belongs to row j / columns.
class FoldedReduction {
 public:
  // How many rows a long one has; 1 where this is no good. A rule by sizes alone.
  static int64_t fold_of(int64_t columns, int64_t rows) {
    constexpr int64_t kFewLongRows = 8;
    int64_t fold = 1;
    while (2 * fold * columns <= kMostWidth && 2 * fold * kFewLongRows <= rows) fold *= 2;
    return fold;
  }

  // Whether the reducer takes all rows for one line and keeps the columns apart in its lanes.
  static bool in_lanes(const ReducerTable& reducer, int64_t columns, int64_t rows) {
    constexpr int64_t kEnough = 32;
    return reducer.few_columns && std::has_single_bit(static_cast<uint64_t>(columns)) &&
           columns * static_cast<int64_t>(itemsize(reducer.compute)) <= 64 &&
           rows * columns >= kEnough;
  }

  FoldedReduction(const Array& x, const ReducePlan& plan, const ReducerTable& reducer, int64_t fold)
      : x_(x),
        reducer_(reducer),
        columns_(plan.kept.back()),
        rows_(plan.count),
        fold_(fold),
        width_(fold * columns_),
        item_(static_cast<int64_t>(x.itemsize())),
        in_lanes_(in_lanes(reducer, columns_, rows_)) {
    for (size_t d = 0; d + 1 < plan.kept.size(); ++d) {
      groups_.push_back(plan.kept[d]);
      strides_.push_back(plan.kept_strides[d]);
    }
  }

  void run(ReduceStore store) {
    const int64_t groups = numel_of(groups_), chunks = (rows_ - fold_) / chunk() + 1;
    const int64_t grain = kParallelGrain / std::min(rows_, chunk()) / columns_;
    const int64_t bytes = columns_ * reducer_.size;  // of a group's accumulators
    if (chunks == 1) {
      reduce_parallel(reducer_, groups, grain, [&](int64_t begin, int64_t end) {
        StridedCursor cursor(groups_, strides_, begin);
        Row total;
        for (int64_t g = begin; g < end; ++g) {
          cursor.advance(1, [&](int64_t at, int64_t, int64_t) { reduce(at, 0, rows_, total.acc); });
          store.put(store.self, g * columns_, 1, total.acc, columns_);
        }
      });
      return;
    }
    auto parts =
        std::make_unique_for_overwrite<char[]>(static_cast<size_t>(groups * chunks * bytes));
    reduce_parallel(reducer_, groups * chunks, grain, [&](int64_t begin, int64_t end) {
      Row total;
      for (int64_t t = begin; t < end; ++t) {
        int64_t base = 0;
        StridedCursor(groups_, strides_, t / chunks).advance(1, [&](int64_t at, int64_t, int64_t) {
          base = at;
        });
        const int64_t k = t % chunks, first = k * chunk();
        reduce(base, first, k == chunks - 1 ? rows_ : first + chunk(), total.acc);
        std::memcpy(parts.get() + t * bytes, total.acc, static_cast<size_t>(bytes));
      }
    });
    Row total;
    for (int64_t g = 0; g < groups; ++g) {
      ColumnCascade cascade(reducer_, chunks, columns_);
      for (int64_t k = 0; k < chunks; ++k) {
        std::memcpy(cascade.part(), parts.get() + (g * chunks + k) * bytes,
                    static_cast<size_t>(bytes));
        cascade.push();
      }
      cascade.finish(total.acc);
      store.put(store.self, g * columns_, 1, total.acc, columns_);
    }
  }

 private:
  static constexpr int64_t kMostWidth = 128, kLanePart = 4096;
  struct Row {
    alignas(64) char acc[kMostWidth * kMostAcc];
  };

  // What one thread takes: whole parts of kReduceRows long rows. The last one takes what is left
  // behind it where that makes no long row.
  int64_t chunk() const {
    const int64_t part = kReduceRows * fold_;
    return std::max<int64_t>(1, kReduceChunk / (part * columns_)) * part;
  }

  // Rows [begin, end) of the group at offset `base`, of which `begin` is a multiple of the fold.
  void reduce(int64_t base, int64_t begin, int64_t end, char* total) const {
    const char* p = x_.data + base * item_;
    if (in_lanes_) return lanes(p + begin * columns_ * item_, (end - begin) * columns_, total);
    const int64_t whole = end / fold_, first = begin / fold_, size = reducer_.size;
    const int64_t parts = (whole - first - 1) / kReduceRows + 1;
    if (parts == 1) {
      part(p, first, whole, total);
    } else {
      ColumnCascade cascade(reducer_, parts, width_);
      for (int64_t r = first; r < whole; r += kReduceRows) {
        part(p, r, std::min(whole, r + kReduceRows), cascade.part());
        cascade.push();
      }
      cascade.finish(total);
    }
    if (const int64_t rest = (end - whole * fold_) * columns_) {  // a shorter row
      Row last;
      const void* row = p + whole * width_ * item_;
      reducer_.rows(&row, 1, rest, whole, last.acc);
      reducer_.merge(total, last.acc, total, rest);
    }
    if (reducer_.unfold) reducer_.unfold(total, fold_, columns_);
    for (int64_t half = width_ / 2; half >= columns_; half /= 2)
      reducer_.merge(total, total + half * size, total, half);
  }

  // n elements, which are what one thread takes at most.
  void lanes(const char* p, int64_t n, char* total) const {
    if (n < 2 * kLanePart) return reducer_.few_columns(p, n, columns_, total);
    Row parts;
    const int64_t bytes = columns_ * reducer_.size;
    int64_t count = 0;
    for (int64_t m; n > 0; n -= m, p += m * item_, ++count) {
      m = n < 2 * kLanePart ? n : kLanePart;
      reducer_.few_columns(p, m, columns_, parts.acc + count * bytes);
    }
    for (int64_t apart = 1; apart < count; apart *= 2)
      for (int64_t k = 0; k + apart < count; k += 2 * apart)
        reducer_.merge(parts.acc + k * bytes, parts.acc + (k + apart) * bytes,
                       parts.acc + k * bytes, columns_);
    std::memcpy(total, parts.acc, static_cast<size_t>(bytes));
  }

  void part(const char* p, int64_t begin, int64_t end, char* acc) const {
    const void* row[kReduceRows];
    for (int64_t r = begin; r < end; ++r) row[r - begin] = p + r * width_ * item_;
    reducer_.rows(row, end - begin, width_, begin, acc);
  }

  const Array& x_;
  const ReducerTable& reducer_;
  int64_t columns_, rows_, fold_, width_, item_;
  bool in_lanes_;
  Dims groups_, strides_;
};

}  // namespace

bool reduce_folded(const Array& x, const ReducePlan& plan, const ReducerTable& reducer,
                   ReduceStore store, bool only_in_lanes) {
  if (x.dtype != reducer.compute || plan.reduced.size() != 1 || plan.kept.empty() ||
      plan.kept_strides.back() != 1 || plan.reduced_strides.back() != plan.kept.back())
    return false;
  const int64_t columns = plan.kept.back();
  int64_t fold = 1;
  if (!FoldedReduction::in_lanes(reducer, columns, plan.count)) {
    fold = FoldedReduction::fold_of(columns, plan.count);
    if (fold == 1 || only_in_lanes) return false;
  }
  FoldedReduction(x, plan, reducer, fold).run(store);
  return true;
}

void reduce_short(const Array& x, const ReducePlan& plan, const ReducerTable& reducer,
                  ReduceStore store) {
  const ShortTiles tiles(x, plan.dims(), reducer.compute);
  const int64_t grain = kParallelGrain / tiles.elements();
  reduce_parallel(reducer, tiles.tiles(), grain, [&](int64_t begin, int64_t end) {
    ShortTiles::Work work(tiles);
    alignas(64) char acc[ShortTiles::kMostLines * kMostAcc];
    for (int64_t t = begin; t < end; ++t)
      tiles.each<void>(t, work,
                       [&](const void* const* column, int64_t m, int64_t output, int64_t step) {
                         reducer.rows(column, plan.count, m, 0, acc);
                         store.put(store.self, output, step, acc, m);
                       });
  });
}

}  // namespace fastgrad
