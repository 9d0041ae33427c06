#include "kernels/triangle.h"

#include <algorithm>
#include <cstring>

#include "kernels/copy.h"

namespace fastgrad {

void copy_triangle(const Array& x, bool upper, int64_t diagonal, const Array& out) {
  Array from = as_contiguous(x);
  int64_t rows = x.shape[x.shape.size() - 2], cols = x.shape.back();
  auto size = static_cast<int64_t>(x.itemsize());
  int64_t matrices = rows * cols ? x.numel / (rows * cols) : 0;
  for (int64_t m = 0; m < matrices; ++m)
    for (int64_t i = 0; i < rows; ++i) {
      int64_t row = (m * rows + i) * cols;
      // Columns [begin, end) are kept.
      int64_t begin = upper ? std::clamp<int64_t>(i + diagonal, 0, cols) : 0;
      int64_t end = upper ? cols : std::clamp<int64_t>(i + diagonal + 1, 0, cols);
      auto at = [&](const Array& a, int64_t column) { return a.data + (row + column) * size; };
      std::memset(at(out, 0), 0, static_cast<size_t>(begin * size));
      std::memcpy(at(out, begin), at(from, begin), static_cast<size_t>((end - begin) * size));
      std::memset(at(out, end), 0, static_cast<size_t>((cols - end) * size));
    }
}

}  // namespace fastgrad
