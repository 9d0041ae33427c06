// Orders in which the elements of a tensor can lie in memory.
#pragma once

#include "base/shape.h"

namespace fastgrad {

enum class MemoryFormat : uint8_t { Preserve, Contiguous, ChannelsLast, ChannelsLast3d };

inline constexpr const char* kMemoryFormatNames[] = {"preserve_format", "contiguous_format",
                                                     "channels_last", "channels_last_3d"};

// Strides of gapless memory in that order; fails when the format wants another number of
// dimensions.
Dims format_strides(MemoryFormat format, DimSpan shape);
bool has_format(MemoryFormat format, DimSpan shape, DimSpan strides);

// Whether the elements fill a block of memory, each place once.
bool is_dense(DimSpan shape, DimSpan strides);
// Strides of gapless memory whose dimensions are ordered as those of `strides` are. Of several, the
// first one that tells two dimensions apart decides on these; broadcast ones have stride 0.
Dims dense_strides_like(DimSpan shape, DimSpan strides);
Dims dense_strides_like(DimSpan shape, std::span<const Dims> strides);

}  // namespace fastgrad
