// What is due, and how it is run: see Note [Deferred rows] in core/deferred.h.
#pragma once

#include <vector>

#include "core/tensor.h"
#include "kernels/elementwise.h"

namespace fastgrad::deferred {

// Where a row reads an operand.
struct Source {
  enum class Kind : uint8_t { Row, Array, One };  // One: the same element for all
  Kind kind = Kind::One;
  size_t row = 0;              // Row
  const char* data = nullptr;  // else; null: the number in `bytes`
  int64_t turn = 0;            // Array: begins anew after so many elements; One: goes to the next
  alignas(8) char bytes[8] = {};

  const char* address() const { return data ? data : bytes; }
};

struct Row {
  ElementwiseOp op = ElementwiseOp::kCount;  // kCount: no row of the table, but part of one
  BlockKernel kernel = nullptr;
  DType compute = DType::Float32, result = DType::Float32;
  size_t arity = 1;
  Source in[kMaxElementwiseInputs];
  char* out = nullptr;
  Buffer* buffer = nullptr;  // of the result; null when nobody holds it any more
  int same = -1;             // the operand that the result is equal to, that of a product with 1
};

// The sum or the mean of all elements of a row.
struct Total {
  bool mean;
  size_t row;
  char* out;
  Buffer* buffer;  // null when nobody holds it any more
};

// A row on single numbers, some of which are totals: it runs when they are there.
struct Small {
  Row row;
  Ref<Buffer> buffer;
};

struct Rows {
  int64_t numel = 0;
  std::vector<Row> rows;
  std::vector<Total> totals;
  std::vector<Small> small;
  std::vector<Ref<Buffer>> read;  // what they read from memory
};

// Computes all that somebody holds.
void run_rows(const Rows& due);

}  // namespace fastgrad::deferred
