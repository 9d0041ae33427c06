// Reductions: kernels that combine many elements into one.
//
// Note [Reduction trees]
// A reduction is a tree of fixed shape: blocks of kReduceBlock elements, each reduced by fixed
// lanes, then merged pairwise. The tree depends on sizes and strides alone, never on the number of
// threads or on the machine's vector length, so that a result is the same to the last bit
// everywhere, and the rounding error grows with the logarithm of the count.
//
// All kernels take an input of any layout and write a row-major output that has the shape of the
// dimensions which are not in `dims`.
#pragma once

#include "storage/array.h"

namespace fastgrad {

inline constexpr int64_t kReduceBlock = 1024;

// x is converted to out's type first (half types compute in float32).
void reduce_sum(const Array& x, DimSet dims, const Array& out);
void reduce_nansum(const Array& x, DimSet dims, const Array& out);
void reduce_mean(const Array& x, DimSet dims, const Array& out);
void reduce_prod(const Array& x, DimSet dims, const Array& out);

// The largest or smallest element; NaN wins. `values` has x's type and `indices` int64, the first
// place of that element, counted over the reduced dimensions; either may be null.
void reduce_extreme(const Array& x, DimSet dims, bool largest, const Array* values,
                    const Array* indices);

// The sum of squared distances from the mean over count - correction, and its square root.
void reduce_var(const Array& x, DimSet dims, double correction, bool root, const Array& var,
                const Array* mean);

// Truth: bool (uint8 for uint8 inputs) and int64 outputs.
void reduce_any(const Array& x, DimSet dims, const Array& out);
void reduce_all(const Array& x, DimSet dims, const Array& out);
void count_nonzero(const Array& x, DimSet dims, const Array& out);

// log(sum(exp(x))), without overflow.
void reduce_logsumexp(const Array& x, DimSet dims, const Array& out);

}  // namespace fastgrad
