// Reductions of few elements, many at a time: the elements are brought in as columns, of which one
// holds the first element of many reductions, the next one the second, and so on.
#pragma once

#include <memory>

#include "kernels/copy.h"
#include "kernels/cpu/short_lines.h"

namespace fastgrad {

// Where the outputs of a reduction lie and what each reduces; strides in elements. Outputs are
// counted in row-major order of the kept dimensions.
struct KeptAndReduced {
  const Dims &kept, &kept_strides, &reduced, &reduced_strides;
};

class ShortTiles {
 public:
  // Elements come as `compute`, whatever x has.
  ShortTiles(const Array& x, const KeptAndReduced& dims, DType compute);

  // Whether reductions of these sizes are brought in by tiles. A rule by sizes and strides alone:
  // results depend on it in their last bits.
  static bool suits(const KeptAndReduced& dims);

  int64_t tiles() const { return tiles_; }
  // Of one tile.
  int64_t elements() const { return lines_ * width_; }
  static constexpr int64_t kMostLines = 512;

  // The memory of one thread.
  class Work {
   public:
    explicit Work(const ShortTiles& tiles);

   private:
    friend class ShortTiles;
    std::unique_ptr<char[]> memory_;
    char *columns_, *converted_;
  };
  // Calls f(columns, m, output, step): element k of the reduction that belongs to output
  // output + i * step is columns[k][i], i < m.
  template <class T, class F>
  void each(int64_t tile, Work& work, F&& f) const {
    const Place place = bring(tile, work);
    const T* column[kMostColumns];
    for (const Inner& inner : inner_) {
      for (int64_t k = 0; k < count_; ++k)
        column[k] = reinterpret_cast<const T*>(place.columns + column_at(inner.offset, k));
      f(column, place.m, place.output + inner.output, output_step_);
    }
  }

 private:
  // Outputs whose elements lie among those of others.
  struct Inner {
    int64_t offset, output;
  };
  struct Place {
    const char* columns;
    int64_t m, output;
  };
  Place bring(int64_t tile, Work& work) const;
  int64_t column_at(int64_t inner, int64_t k) const {
    return (split_ ? inner + offsets_[k] : k) * column_step_;
  }

  const char* data_;
  DType dtype_, compute_;
  CastKernel cast_;  // to `compute`
  SplitKernel split_ = nullptr;
  int64_t size_, count_ = 1, line_step_, output_step_ = 1, all_lines_;
  int64_t width_, span_ = 0;        // columns brought in; those up to the last one needed
  int64_t lines_, pieces_, tiles_;  // lines of a tile; tiles along the lines, and in all
  int64_t step_, column_step_;      // from column to column, in elements and in bytes
  int64_t offsets_[kMostColumns];   // of the reduced elements
  SmallVector<Inner, kMostColumns> inner_;
  Dims outer_, outer_strides_, outer_outputs_;
};

}  // namespace fastgrad
