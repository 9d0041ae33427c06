// Differences and trapezoidal integrals along a dimension.
#pragma once

#include <optional>

#include "core/apply.h"

namespace fastgrad {

// x[i+1] - x[i], n times over; prepend and append (may be undefined) are joined to x first.
Tensor diff(const Tensor& x, int64_t n = 1, int64_t dim = -1, const Tensor& prepend = {},
            const Tensor& append = {});

// The integral of y by the trapezoidal rule: at the places x, or at distances dx.
Tensor trapezoid(const Tensor& y, const Tensor& x, int64_t dim = -1);
Tensor trapezoid(const Tensor& y, Scalar dx, int64_t dim = -1);
// The same, up to every place but the first.
Tensor cumulative_trapezoid(const Tensor& y, const Tensor& x, int64_t dim = -1);
Tensor cumulative_trapezoid(const Tensor& y, Scalar dx, int64_t dim = -1);

}  // namespace fastgrad
