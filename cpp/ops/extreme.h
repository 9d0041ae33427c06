// Largest and smallest elements, and where they are.
#pragma once

#include <optional>
#include <utility>

#include "core/apply.h"

namespace fastgrad {

// Over dims (all when none are given); equal extremes share the gradient evenly.
Tensor amax(const Tensor& x, DimSpan dims = {}, bool keepdim = false);
Tensor amin(const Tensor& x, DimSpan dims = {}, bool keepdim = false);
// The smallest and the largest.
std::pair<Tensor, Tensor> aminmax(const Tensor& x, std::optional<int64_t> dim = std::nullopt,
                                  bool keepdim = false);
Tensor max(const Tensor& x);
Tensor min(const Tensor& x);
// The values along dim and the index of the first one, which gets the gradient.
std::pair<Tensor, Tensor> max(const Tensor& x, int64_t dim, bool keepdim = false);
std::pair<Tensor, Tensor> min(const Tensor& x, int64_t dim, bool keepdim = false);
Tensor argmax(const Tensor& x, std::optional<int64_t> dim = std::nullopt, bool keepdim = false);
Tensor argmin(const Tensor& x, std::optional<int64_t> dim = std::nullopt, bool keepdim = false);

// The gradient of a selection y: its cotangent shared evenly by the elements of x that equal y.
Tensor spread_over_ties(const Tensor& g, const Tensor& y, const Tensor& x, const Attrs& reduction);
// The gradient of values[..] = x[.., index[..], ..] that were picked along the one dimension of the
// reduction with attributes a.
Tensor put_selected(const Tensor& g, const Tensor& index, const Attrs& a, DimSpan shape);

}  // namespace fastgrad
