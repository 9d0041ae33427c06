// Runs one instruction on arrays: what a Program's instructions come down to.
#pragma once

#include "kernels/elementwise.h"
#include "transforms/graph.h"

namespace fastgrad {

// The arrays of an instruction in memory that begins at bases[storage].
Array array_at(const Place& p, char* base, const Ref<Buffer>& buffer);
// The same, in a default-constructed array.
inline void place_array(Array& a, const Place& p, char* base, Ref<Buffer> buffer) {
  a.buffer = std::move(buffer);
  a.data = base + p.offset;
  a.numel = p.numel;
  a.dtype = p.dtype;
  a.contiguous = p.contiguous;
  size_t n = p.shape.size();
  int64_t *shape = a.shape.reset(n), *strides = a.strides.reset(n);
  for (size_t d = 0; d < n; ++d) {
    shape[d] = p.shape[d];
    strides[d] = p.strides[d];
  }
}
// An elementwise instruction's operand: a number, or an array in the shape of the output.
Array number_array_of(const Instruction& i, size_t operand);
void execute(const Instruction& i, Inputs in, std::span<Array> out);

}  // namespace fastgrad
