// Norms, condition numbers, distances, and small products of vectors.
#pragma once

#include <string>
#include <variant>

#include "core/apply.h"

namespace fastgrad {

Tensor linalg_vector_norm(const Tensor& x, double p, std::optional<Dims> dims, bool keepdim,
                          std::optional<DType> dtype);
// 'fro', 'nuc', or a number: ±1, ±2, ±inf.
using NormOrder = std::variant<double, std::string>;
Tensor linalg_matrix_norm(const Tensor& a, const NormOrder& order, Dims dims, bool keepdim,
                          std::optional<DType> dtype);
Tensor linalg_norm(const Tensor& a, const std::optional<NormOrder>& order, std::optional<Dims> dims,
                   bool keepdim, std::optional<DType> dtype);
// torch.norm, in which a number is always a vector norm.
Tensor norm(const Tensor& x, const std::optional<NormOrder>& p, std::optional<Dims> dims,
            bool keepdim, std::optional<DType> dtype);
Tensor linalg_cond(const Tensor& a, const std::optional<NormOrder>& p);

// The p-norm of x - y, and of every difference of a row of x and a row of y.
Tensor dist(const Tensor& x, const Tensor& y, double p);
// exact: from the differences, also where a product of matrices would be faster.
Tensor cdist(const Tensor& x, const Tensor& y, double p, bool exact);
// p-norms of the differences of the pairs of rows of a matrix of float32 or float64; p is 1, 2 or
// inf.
Tensor pdist(const Tensor& x, double p);

Tensor linalg_vecdot(const Tensor& x, const Tensor& y, int64_t dim);
Tensor linalg_cross(const Tensor& x, const Tensor& y, int64_t dim);
// torch.cross: by default along the first dimension of size 3.
Tensor cross(const Tensor& x, const Tensor& y, std::optional<int64_t> dim);
Tensor trace(const Tensor& a);

}  // namespace fastgrad
