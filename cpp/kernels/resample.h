// Images of another size: each element a weighted sum of a few.
#pragma once

#include <vector>

#include "storage/array.h"

namespace fastgrad {

// A matrix with few entries: row r has those from start[r] to start[r + 1]. Without weights, each
// row has one entry, which is 1.
struct SparseRows {
  std::vector<int64_t> start{0};
  std::vector<int32_t> index;
  std::vector<double> weight;
  int64_t columns = 0;

  int64_t rows() const { return static_cast<int64_t>(start.size()) - 1; }
  bool selects() const { return weight.empty(); }
  void add(int64_t column, double w) {
    index.push_back(static_cast<int32_t>(column));
    weight.push_back(w);
  }
  void end_row() { start.push_back(static_cast<int64_t>(index.size())); }
  SparseRows transposed() const;
};

// y[p] = high x[p] wide^T for planes x[p]: (planes, high.columns, wide.columns) to (planes,
// high.rows, wide.rows). Null stands for the unit matrix; `width` are then the columns of x. Both
// arrays are row-major and have the same type, float32 or float64; any type where both select.
void resample(const SparseRows* high, const SparseRows* wide, int64_t width, const Array& x,
              const Array& y);

}  // namespace fastgrad
