// Sorting and order statistics. NaN comes after every number; equal elements keep their order.
#pragma once

#include <optional>
#include <utility>

#include "core/apply.h"

namespace fastgrad {

// Values and the indices they had.
std::pair<Tensor, Tensor> sort(const Tensor& x, int64_t dim = -1, bool descending = false);
Tensor argsort(const Tensor& x, int64_t dim = -1, bool descending = false);
std::pair<Tensor, Tensor> topk(const Tensor& x, int64_t k, int64_t dim = -1, bool largest = true);

// One value of every line along dim, with its index. k counts from 1.
std::pair<Tensor, Tensor> kthvalue(const Tensor& x, int64_t k, int64_t dim = -1,
                                   bool keepdim = false);
std::pair<Tensor, Tensor> median(const Tensor& x, int64_t dim, bool keepdim = false);
std::pair<Tensor, Tensor> nanmedian(const Tensor& x, int64_t dim, bool keepdim = false);
std::pair<Tensor, Tensor> mode(const Tensor& x, int64_t dim = -1, bool keepdim = false);
// Of all elements; equal medians share the gradient evenly. NaN for no elements.
Tensor median(const Tensor& x);
Tensor nanmedian(const Tensor& x);

}  // namespace fastgrad
