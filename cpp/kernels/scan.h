// Scans: every element of the result depends on those before it along one dimension.
//
// Inputs may have any layout; outputs are row-major and have the inputs' shape. Half types compute
// in float32, running sums of float32 in float64.
#pragma once

#include "storage/array.h"

namespace fastgrad {

// From which end, and whether an element's own value counts (inclusive) or only those before it.
struct ScanOrder {
  bool reverse = false;
  bool exclusive = false;
};

void cumsum(const Array& x, int64_t dim, bool reverse, const Array& out);
void cumprod(const Array& x, int64_t dim, ScanOrder order, const Array& out);
// In each place the product of all others of its line.
void products_of_others(const Array& x, int64_t dim, const Array& out);
// y[i] = b[i] + a[p] y[p], or b[p] + a[p] y[p] when exclusive, p being the place before i.
void linear_scan(const Array& b, const Array& a, int64_t dim, ScanOrder order, const Array& out);
// Running maximum or minimum, and the place of the last element that attains it. NaN wins.
void cumextreme(const Array& x, int64_t dim, bool largest, const Array& values,
                const Array& indices);
void logcumsumexp(const Array& x, int64_t dim, const Array& out);

}  // namespace fastgrad
