// Images of another size, and sampled at any place.
#pragma once

#include "core/apply.h"

namespace fastgrad {

enum class ResizeMode : int64_t { Nearest, NearestExact, Linear, Cubic, Area };

// The last dimensions of x in other sizes, one scale per dimension: elements of x per element of
// the result. `smooth` makes Linear and Cubic as wide as what an element covers.
Tensor interpolate(const Tensor& x, DimSpan sizes, std::span<const double> scales, ResizeMode mode,
                   bool align_corners, bool smooth);

// x: (N, C, spatial...), grid: (N, places..., dims). mode: bilinear, nearest, bicubic; padding:
// zeros, border, reflection.
Tensor grid_sample(const Tensor& x, const Tensor& grid, const std::string& mode,
                   const std::string& padding, bool align_corners);

// (..., c r^2, h, w) as (..., c, h r, w r), or the way back, of sizes that can be divided; never a
// view.
Tensor shuffle_pixels(const Tensor& x, int64_t r, bool back);

}  // namespace fastgrad
