// Pooling over sliding or adaptive windows, and padding.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "core/elementwise.h"

namespace fastgrad {

struct PoolOptions {
  Dims kernel, stride, padding{0}, dilation{1};  // stride empty: the kernel's size
  bool ceil_mode = false;
  bool count_include_pad = true;
  std::optional<int64_t> divisor;
};

// Over the last `dims` dimensions of x, which has a channel and maybe a batch dimension in front.
// The maximum comes with its row-major place in the plane where `places` are wanted or a gradient
// may need them; else the second tensor is empty. `name` is the public function.
std::pair<Tensor, Tensor> max_pool(const Tensor& x, const PoolOptions& o, int64_t dims, bool places,
                                   const char* name);
Tensor avg_pool(const Tensor& x, const PoolOptions& o, int64_t dims, const char* name);
// Windows that cut the input into `size` parts per dimension, or into its own size (kKeepSize).
inline constexpr int64_t kKeepSize = INT64_MIN;
std::pair<Tensor, Tensor> adaptive_max_pool(const Tensor& x, DimSpan size, int64_t dims,
                                            bool places, const char* name);
Tensor adaptive_avg_pool(const Tensor& x, DimSpan size, int64_t dims, const char* name);

// Pairs of widths before and behind, from the last dimension on. mode: constant (negative widths
// crop), reflect, replicate, circular.
Tensor pad(const Tensor& x, DimSpan widths, const std::string& mode, std::optional<double> value);

}  // namespace fastgrad
