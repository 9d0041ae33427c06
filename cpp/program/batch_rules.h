// How ops take a batch: see Note [Batches] in program/batch.h.
#pragma once

#include "core/op_info.h"

namespace fastgrad {

// A call of an op. Inputs that depend on the example have the batch in front; rules turn it into
// one call for all examples, whose results have the batch in front or at `batch_dim`, and otherwise
// the elements of the examples' results in their order.
struct BatchedCall {
  Op op;
  Attrs attrs;
  int64_t count;             // of examples
  SmallVector<Array, 4> in;  // undefined where an optional input is absent
  SmallVector<uint8_t, 4> batched;
  int64_t batch_dim = 0;

  // Of input k for one example.
  int64_t rank(size_t k) const { return in[k].ndim() - batched[k]; }
  // Gives input k a batch, of one array in fact, if it has none.
  void spread(size_t k);
  void spread_all();
  // Puts ones behind the batch until input k has `rank` dimensions more than it.
  void align(size_t k, int64_t rank);
};

// False: there is no rule, or none for this call, which may have been changed.
bool apply_batch_rule(BatchedCall& c);

}  // namespace fastgrad
