// Scaled dot-product attention.
#pragma once

#include <optional>

#include "core/apply.h"

namespace fastgrad {

// softmax(scale * q·kᵀ + mask)·v over the last two dimensions; those before are batches and
// broadcast. mask may be undefined, bool (true: seen) or floating point (added). Without scale it
// is 1 / sqrt(depth). share_keys: every several heads (dimension -3) of q read one of k and v.
Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                    const Tensor& mask, double dropout, bool causal,
                                    std::optional<double> scale, bool share_keys);

}  // namespace fastgrad
