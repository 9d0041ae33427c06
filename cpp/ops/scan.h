// Running sums, products and extremes along a dimension.
#pragma once

#include <optional>
#include <utility>

#include "core/apply.h"

namespace fastgrad {

// Integers and bool accumulate in int64 unless dtype says otherwise.
Tensor cumsum(const Tensor& x, int64_t dim, std::optional<DType> dtype = std::nullopt);
Tensor cumprod(const Tensor& x, int64_t dim, std::optional<DType> dtype = std::nullopt);
// The running maximum or minimum and the places where it was last attained.
std::pair<Tensor, Tensor> cummax(const Tensor& x, int64_t dim);
std::pair<Tensor, Tensor> cummin(const Tensor& x, int64_t dim);
Tensor logcumsumexp(const Tensor& x, int64_t dim);

// The product of the elements before each one, or behind it when `reverse`.
Tensor cumprod_exclusive(const Tensor& x, int64_t dim, bool reverse);
// In each place the product of all other elements along dim.
Tensor products_of_others(const Tensor& x, int64_t dim);

}  // namespace fastgrad
