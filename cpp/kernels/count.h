// Histograms, searches in sorted data, distinct elements.
#pragma once

#include "storage/array.h"

namespace fastgrad {

// How many elements of x lie in each of out.numel equal bins of [lo, hi]; hi belongs to the last.
// x and out have the same floating type.
void histogram(const Array& x, double lo, double hi, const Array& out);

// The first place in the sorted boundaries where a value is not less (right: is greater). The
// boundaries have one dimension or, with values, equal leading ones; both have the same type.
// `sorter` (int64, may be null) lists the boundaries' places in ascending order.
void search_sorted(const Array& boundaries, const Array& values, const Array* sorter, bool right,
                   const Array& out);

// Distinct rows of x (n x width, row-major), in ascending order, or where they begin when
// `consecutive`; which of them each row is; and how often it occurs. The latter are empty where
// nobody wants them.
struct DistinctRows {
  Array values, inverse, counts;
};
struct DistinctWanted {
  bool inverse, counts;
};
DistinctRows distinct_rows(const Array& x, bool consecutive, DistinctWanted wanted);

}  // namespace fastgrad
