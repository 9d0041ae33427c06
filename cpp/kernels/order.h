// Sorting and order statistics along a dimension.
//
// The order is total: NaN comes after every number, and equal elements keep the order they have in
// memory, so that results do not depend on the algorithm. Inputs may have any layout and any real
// type; values (x's type) and indices (int64) are row-major, with the lines' new length along dim.
#pragma once

#include "storage/array.h"

namespace fastgrad {

void sort_lines(const Array& x, int64_t dim, bool descending, const Array& values,
                const Array& indices);
// The k largest or smallest elements, best first; k is the outputs' length.
void topk_lines(const Array& x, int64_t dim, bool largest, const Array& values,
                const Array& indices);

// Order statistics: one element per line. Lines are not empty.
enum class LinePick {
  Kth,        // the k-th smallest, counted from 0
  Median,     // the lower median; the first NaN if there is one
  Nanmedian,  // the lower median of those that are not NaN; the first NaN if there is no other
  Mode,       // the most frequent value, the smallest of those; its last place
};
void pick_lines(const Array& x, int64_t dim, LinePick what, int64_t k, const Array& values,
                const Array& indices);

}  // namespace fastgrad
