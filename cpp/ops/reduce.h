// Sums, means, products and truth over dimensions (all when none are given).
#pragma once

#include <optional>

#include "core/apply.h"

namespace fastgrad {

// Integers and bool sum in int64 unless dtype says otherwise.
Tensor sum(const Tensor& x, DimSpan dims = {}, bool keepdim = false,
           std::optional<DType> dtype = std::nullopt);
// NaN counts as zero.
Tensor nansum(const Tensor& x, DimSpan dims = {}, bool keepdim = false,
              std::optional<DType> dtype = std::nullopt);
Tensor mean(const Tensor& x, DimSpan dims = {}, bool keepdim = false,
            std::optional<DType> dtype = std::nullopt);
// The mean of those that are not NaN.
Tensor nanmean(const Tensor& x, DimSpan dims = {}, bool keepdim = false,
               std::optional<DType> dtype = std::nullopt);
Tensor prod(const Tensor& x, std::optional<int64_t> dim = std::nullopt, bool keepdim = false,
            std::optional<DType> dtype = std::nullopt);

// uint8 inputs have uint8 results, others bool. An empty list of dims reduces nothing.
Tensor any(const Tensor& x, std::optional<DimSpan> dims = std::nullopt, bool keepdim = false);
Tensor all(const Tensor& x, std::optional<DimSpan> dims = std::nullopt, bool keepdim = false);
Tensor count_nonzero(const Tensor& x, DimSpan dims = {});

// g summed over the dimensions along which `shape` was broadcast to g's.
Tensor sum_to_shape(const Tensor& g, DimSpan shape);

}  // namespace fastgrad
