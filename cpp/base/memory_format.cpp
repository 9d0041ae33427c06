#include "base/memory_format.h"

#include <algorithm>

namespace fastgrad {
namespace {

// Strides of gapless memory in which order[0] is the outermost dimension.
Dims strides_in_order(DimSpan shape, DimSpan order) {
  Dims strides(shape.size(), 1);
  int64_t step = 1;
  for (size_t k = order.size(); k-- > 0;) {
    auto d = static_cast<size_t>(order[k]);
    strides[d] = step;
    step *= std::max<int64_t>(shape[d], 1);
  }
  return strides;
}

// Whether dimension a lies outside of dimension b in memory: 1 yes, -1 no, 0 cannot be told.
int compare(size_t a, size_t b, DimSpan shape, std::span<const Dims> operands) {
  for (const Dims& strides : operands) {
    if (strides[a] == 0 || strides[b] == 0) continue;
    if (strides[a] != strides[b]) return strides[a] > strides[b] ? 1 : -1;
    if (shape[a] < shape[b]) return -1;
  }
  return 0;
}

}  // namespace

Dims format_strides(MemoryFormat format, DimSpan shape) {
  if (format == MemoryFormat::ChannelsLast) {
    FG_CHECK(shape.size() == 4, "required rank 4 tensor to use channels_last format");
    return strides_in_order(shape, Dims{0, 2, 3, 1});
  }
  if (format == MemoryFormat::ChannelsLast3d) {
    FG_CHECK(shape.size() == 5, "required rank 5 tensor to use channels_last_3d format");
    return strides_in_order(shape, Dims{0, 2, 3, 4, 1});
  }
  return contiguous_strides(shape);
}

bool has_format(MemoryFormat format, DimSpan shape, DimSpan strides) {
  if (format == MemoryFormat::Preserve || format == MemoryFormat::Contiguous)
    return is_contiguous(shape, strides);
  if (shape.size() != (format == MemoryFormat::ChannelsLast ? 4u : 5u)) return false;
  Dims wanted = format_strides(format, shape);
  for (size_t d = 0; d < shape.size(); ++d)
    if (shape[d] != 1 && strides[d] != wanted[d]) return false;
  return true;
}

bool is_dense(DimSpan shape, DimSpan strides) {
  SmallVector<std::pair<int64_t, int64_t>, 8> dims;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] == 0) return true;
    if (shape[d] > 1) dims.push_back({strides[d], shape[d]});
  }
  std::sort(dims.begin(), dims.end());
  int64_t step = 1;
  for (auto [stride, n] : dims) {
    if (stride != step) return false;
    step *= n;
  }
  return true;
}

Dims dense_strides_like(DimSpan shape, DimSpan strides) {
  const Dims one[] = {Dims(strides)};
  return dense_strides_like(shape, one);
}

Dims dense_strides_like(DimSpan shape, std::span<const Dims> strides) {
  auto like_first = [&](const Dims& s) { return s == strides[0]; };
  if (std::all_of(strides.begin(), strides.end(), like_first) && is_dense(shape, strides[0]))
    return strides[0];
  Dims order;
  for (size_t d = 0; d < shape.size(); ++d) order.push_back(static_cast<int64_t>(d));
  // By insertion from the inner end, because "cannot be told" is no equivalence: a broadcast
  // dimension stays where it is and the others pass it.
  for (size_t i = order.size(); i-- > 0;) {
    size_t at = i;
    for (size_t k = i + 1; k < order.size(); ++k) {
      int c =
          compare(static_cast<size_t>(order[at]), static_cast<size_t>(order[k]), shape, strides);
      if (c > 0) break;
      if (c == 0) continue;
      std::swap(order[at], order[k]);
      at = k;
    }
  }
  return strides_in_order(shape, order);
}

}  // namespace fastgrad
