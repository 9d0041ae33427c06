// Gathering and scattering by an index of the result's shape along one dimension.
#pragma once

#include "core/elementwise.h"
#include "kernels/along.h"

namespace fastgrad {

// y[.., i, ..] = x[.., index[.., i, ..], ..]
Tensor gather(const Tensor& x, int64_t dim, const Tensor& index);
// gather, after x and index are broadcast against one another but along dim; without dim over the
// flattened x.
Tensor take_along_dim(const Tensor& x, const Tensor& index, std::optional<int64_t> dim);

// x, with x[.., index[.., i, ..], ..] replaced by (or combined with) src[.., i, ..] or a number.
Tensor scatter(const Tensor& x, int64_t dim, const Tensor& index, const Operand& src);
Tensor scatter_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src);
// `reduce` is one of sum, prod, mean, amax, amin; include_self: x's own element counts too.
Tensor scatter_reduce(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src,
                      const std::string& reduce, bool include_self = true);

}  // namespace fastgrad
