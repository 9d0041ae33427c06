// Reductions down few columns, and those of few elements each: the parts of the walk in
// reduce_walk.h, which includes this file, for dimensions that are too short to fill registers.
#pragma once

namespace fastgrad {
namespace {

// Few elements each: many outputs are reduced side by side.
template <class R, class Store>
[[gnu::noinline]] void reduce_short(const Array& x, const ReducePlan& plan, Store& store) {
  using In = typename R::In;
  const ShortTiles tiles(x, plan.dims(), dtype_of<In>);
  const int64_t grain = kParallelGrain / tiles.elements();
  reduce_parallel<R>(tiles.tiles(), grain, [&](int64_t begin, int64_t end) {
    ShortTiles::Work work(tiles);
    typename R::Acc acc[ShortTiles::kMostLines];
    for (int64_t t = begin; t < end; ++t)
      tiles.each<In>(t, work,
                     [&](const In* const* column, int64_t m, int64_t output, int64_t step) {
                       reduce_rows<R>(column, plan.count, m, 0, acc);
                       for (int64_t i = 0; i < m; ++i) store(output + i * step, acc[i]);
                     });
  });
}

// Few columns of contiguous rows: several rows are one long one, reduced as such, and what the long
// one's parts come to is merged at the end. Element j of it belongs to row j / columns.
template <class R>
class FoldedReduction {
 public:
  using In = typename R::In;
  using Acc = typename R::Acc;

  // How many rows a long one has; 1 where this is no good. A rule by sizes alone.
  static int64_t fold_of(int64_t columns, int64_t rows) {
    constexpr int64_t kFewLongRows = 8;
    int64_t fold = 1;
    while (2 * fold * columns <= kMostWidth && 2 * fold * kFewLongRows <= rows) fold *= 2;
    return fold;
  }

  FoldedReduction(const Array& x, const ReducePlan& plan, int64_t fold)
      : x_(x), columns_(plan.kept.back()), rows_(plan.count), fold_(fold), width_(fold * columns_) {
    for (size_t d = 0; d + 1 < plan.kept.size(); ++d) {
      groups_.push_back(plan.kept[d]);
      strides_.push_back(plan.kept_strides[d]);
    }
  }

  template <class Store>
  void run(Store& store) {
    const int64_t groups = numel_of(groups_), chunks = (rows_ - 1) / chunk() + 1;
    const int64_t grain = kParallelGrain / std::min(rows_, chunk()) / columns_;
    if (chunks == 1) {
      reduce_parallel<R>(groups, grain, [&](int64_t begin, int64_t end) {
        StridedCursor cursor(groups_, strides_, begin);
        Acc total[kMostWidth];
        for (int64_t g = begin; g < end; ++g) {
          cursor.advance(1, [&](int64_t at, int64_t, int64_t) { reduce(at, 0, rows_, total); });
          for (int64_t c = 0; c < columns_; ++c) store(g * columns_ + c, total[c]);
        }
      });
      return;
    }
    auto parts =
        std::make_unique_for_overwrite<Acc[]>(static_cast<size_t>(groups * chunks * columns_));
    reduce_parallel<R>(groups * chunks, grain, [&](int64_t begin, int64_t end) {
      Acc total[kMostWidth];
      for (int64_t t = begin; t < end; ++t) {
        int64_t base = 0;
        StridedCursor(groups_, strides_, t / chunks).advance(1, [&](int64_t at, int64_t, int64_t) {
          base = at;
        });
        const int64_t first = t % chunks * chunk();
        reduce(base, first, std::min(rows_, first + chunk()), total);
        std::copy_n(total, columns_, parts.get() + t * columns_);
      }
    });
    for (int64_t g = 0; g < groups; ++g)
      for (int64_t c = 0; c < columns_; ++c) {
        Cascade<R> cascade;
        for (int64_t k = 0; k < chunks; ++k) cascade.push(parts[(g * chunks + k) * columns_ + c]);
        store(g * columns_ + c, cascade.finish());
      }
  }

 private:
  static constexpr int64_t kMostWidth = 128;

  // What one thread takes: whole parts of kReduceRows long rows.
  int64_t chunk() const {
    const int64_t part = kReduceRows * fold_;
    return std::max<int64_t>(1, kReduceChunk / (part * columns_)) * part;
  }

  // Rows [begin, end) of the group at offset `base`, of which `begin` is a multiple of the fold.
  void reduce(int64_t base, int64_t begin, int64_t end, Acc* total) const {
    const In* p = x_.ptr<In>() + base;
    const int64_t whole = end / fold_, first = begin / fold_;
    const int64_t parts = (whole - first - 1) / kReduceRows + 1;
    if (parts == 1) {
      part(p, first, whole, total);
    } else {
      ColumnCascade<R> cascade(parts, width_);
      for (int64_t r = first; r < whole; r += kReduceRows) {
        part(p, r, std::min(whole, r + kReduceRows), cascade.part());
        cascade.push();
      }
      cascade.finish(total);
    }
    if (const int64_t rest = (end - whole * fold_) * columns_) {  // a shorter row
      Acc last[kMostWidth];
      const In* row = p + whole * width_;
      reduce_rows<R>(&row, 1, rest, whole, last);
      for (int64_t j = 0; j < rest; ++j) total[j] = R::merge(total[j], last[j]);
    }
    if constexpr (requires { total->index; })
      for (int64_t j = 0; j < width_; ++j) total[j].index = total[j].index * fold_ + j / columns_;
    for (int64_t half = width_ / 2; half >= columns_; half /= 2)
      for (int64_t j = 0; j < half; ++j) total[j] = R::merge(total[j], total[j + half]);
  }

  void part(const In* p, int64_t begin, int64_t end, Acc* acc) const {
    const In* row[kReduceRows];
    row[0] = nullptr;  // quiets a warning that is none: there is one row at least
    for (int64_t r = begin; r < end; ++r) row[r - begin] = p + r * width_;
    reduce_rows<R>(row, end - begin, width_, begin, acc);
  }

  const Array& x_;
  int64_t columns_, rows_, fold_, width_;
  Dims groups_, strides_;
};

// Whether it was done here.
template <class R, class Store>
[[gnu::noinline]] bool reduce_folded(const Array& x, const ReducePlan& plan, Store& store) {
  if (x.dtype != dtype_of<typename R::In> || plan.reduced.size() != 1 || plan.kept.empty() ||
      plan.kept_strides.back() != 1 || plan.reduced_strides.back() != plan.kept.back())
    return false;
  const int64_t fold = FoldedReduction<R>::fold_of(plan.kept.back(), plan.count);
  if (fold == 1) return false;
  FoldedReduction<R>(x, plan, fold).run(store);
  return true;
}

}  // namespace
}  // namespace fastgrad
