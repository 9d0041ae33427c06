#include "kernels/cpu/short_tiles.h"

#include <algorithm>
#include <cstring>

namespace fastgrad {
namespace {

// Fewer lines are worked on one by one.
constexpr int64_t kLeastLines = 16;

// The longest kept dimension, the last one of equals.
size_t along_of(const Dims& kept) {
  size_t best = 0;
  for (size_t d = 1; d < kept.size(); ++d)
    if (kept[d] >= kept[best]) best = d;
  return best;
}

}  // namespace

bool ShortTiles::suits(const KeptAndReduced& dims) {
  if (dims.kept.empty() || dims.reduced.empty()) return false;
  int64_t count = 1;
  for (int64_t n : dims.reduced) count *= n;
  if (count > kMostColumns || dims.kept[along_of(dims.kept)] < kLeastLines) return false;
  // Kept columns that lie side by side fill registers as they are.
  const bool side_by_side =
      std::abs(dims.kept_strides.back()) < std::abs(dims.reduced_strides.back());
  return !side_by_side || dims.kept.back() < kLeastLines;
}

ShortTiles::ShortTiles(const Array& x, const KeptAndReduced& dims, DType compute)
    : data_(x.data),
      dtype_(x.dtype),
      compute_(compute),
      cast_(cast_kernel(x.dtype, compute)),
      size_(static_cast<int64_t>(x.itemsize())) {
  const size_t along = along_of(dims.kept);
  all_lines_ = dims.kept[along];
  line_step_ = dims.kept_strides[along];
  for (size_t d = along + 1; d < dims.kept.size(); ++d) output_step_ *= dims.kept[d];

  bool forward = true;
  for (int64_t n : dims.reduced) count_ *= n;
  StridedCursor reduced(dims.reduced, dims.reduced_strides, 0);
  for (int64_t k = 0; k < count_; ++k)
    reduced.advance(1, [&](int64_t offset, int64_t, int64_t) {
      offsets_[k] = offset;
      span_ = std::max(span_, offset + 1);
      forward &= offset >= 0;
    });

  // Kept dimensions within a line come along with it. Lines of which little is needed are rather
  // picked from.
  SplitKernel split = forward ? split_kernel(x.itemsize(), line_step_) : nullptr;
  DimSet within = 0;
  int64_t span = span_, needed = count_;
  for (size_t d = 0; split && d < dims.kept.size(); ++d) {
    const int64_t more = span + (dims.kept[d] - 1) * dims.kept_strides[d];
    if (d == along || dims.kept_strides[d] <= 0 || more > line_step_) continue;
    within |= DimSet{1} << d;
    span = more;
    needed *= dims.kept[d];
  }
  if (span <= line_step_ && 2 * needed >= line_step_) {
    split_ = split;
    span_ = span;
  } else {
    within = 0;
  }
  inner_.push_back({0, 0});
  int64_t output = 1;
  for (size_t d = dims.kept.size(); d-- > 0; output *= dims.kept[d]) {
    const int64_t n = dims.kept[d], step = dims.kept_strides[d];
    if (contains(within, d)) {
      const size_t before = inner_.size();
      for (int64_t j = 1; j < n; ++j)
        for (size_t i = 0; i < before; ++i)
          inner_.push_back({inner_[i].offset + j * step, inner_[i].output + j * output});
    } else if (d != along) {
      outer_.push_back(n);
      outer_strides_.push_back(step);
      outer_outputs_.push_back(output);
    }
  }
  width_ = split_ ? line_step_ : count_;
  constexpr int64_t kTileElements = 2048, kUnit = 64;
  lines_ = std::min(kMostLines, kTileElements / width_ / kUnit * kUnit);
  // Not a power of two, whose multiples share few places of the cache.
  step_ = lines_ + kUnit;
  column_step_ = step_ * static_cast<int64_t>(itemsize(compute));
  pieces_ = (all_lines_ - 1) / lines_ + 1;
  tiles_ = pieces_ * numel_of(outer_);
}

ShortTiles::Work::Work(const ShortTiles& tiles) {
  const int64_t elements = tiles.step_ * tiles.width_, bytes = elements * tiles.size_,
                more = tiles.split_ && tiles.dtype_ != tiles.compute_
                           ? elements * static_cast<int64_t>(itemsize(tiles.compute_))
                           : 0;
  const int64_t most = std::max(bytes, elements * static_cast<int64_t>(itemsize(tiles.compute_)));
  memory_ = std::make_unique_for_overwrite<char[]>(static_cast<size_t>(most + more));
  columns_ = memory_.get();
  converted_ = columns_ + most;
}

ShortTiles::Place ShortTiles::bring(int64_t tile, Work& work) const {
  int64_t at = tile / pieces_, output = 0;
  const int64_t first = tile % pieces_ * lines_, m = std::min(lines_, all_lines_ - first);
  const char* from = data_ + first * line_step_ * size_;
  for (size_t d = 0; d < outer_.size(); at /= outer_[d++]) {  // the last dimension comes first
    from += at % outer_[d] * outer_strides_[d] * size_;
    output += at % outer_[d] * outer_outputs_[d];
  }
  Place place{work.columns_, m, output + first * output_step_};
  if (!split_) {
    for (int64_t k = 0; k < count_; ++k)
      cast_(from + offsets_[k] * size_, line_step_, work.columns_ + k * column_step_, 1, m);
    return place;
  }
  // Behind the last line of all there may be no memory.
  const bool with_care = span_ < line_step_ && first + m == all_lines_;
  split_(from, m - with_care, work.columns_, step_);
  if (with_care)
    for (int64_t k = 0; k < span_; ++k)
      std::memcpy(work.columns_ + (k * step_ + m - 1) * size_,
                  from + ((m - 1) * line_step_ + k) * size_, static_cast<size_t>(size_));
  if (dtype_ == compute_) return place;
  for (int64_t k = 0; k < span_; ++k)
    cast_(work.columns_ + k * step_ * size_, 1, work.converted_ + k * column_step_, 1, m);
  place.columns = work.converted_;
  return place;
}

}  // namespace fastgrad
