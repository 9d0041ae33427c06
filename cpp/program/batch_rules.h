// How ops take a batch: see Note [Batches] in program/batch.h.
#pragma once

#include "core/apply.h"
#include "core/deferred.h"
#include "core/op_info.h"

namespace fastgrad {

// A call of an op. Inputs that depend on the example have the batch in front; rules turn it into
// one call for all examples, whose results have the batch in front or at `batch_dim`, as a
// dimension of its own or as part of the example's, and otherwise the elements of the examples'
// results in their order. Or they make the results themselves, with the batch in front.
struct BatchedCall {
  Op op;
  Attrs attrs;
  int64_t count;             // of examples
  SmallVector<Array, 4> in;  // undefined where an optional input is absent
  SmallVector<uint8_t, 4> batched;
  int64_t batch_dim = 0;  // or the last, if there are fewer
  SmallVector<Array, 4> made;

  // Of input k for one example.
  int64_t rank(size_t k) const { return in[k].ndim() - batched[k]; }
  // Gives input k a batch, of one array in fact, if it has none.
  void spread(size_t k);
  void spread_all();
  // Puts ones behind the batch until input k has `rank` dimensions more than it.
  void align(size_t k, int64_t rank);
  // The batch of input k becomes part of its dimension `dim`, behind those in front of it.
  void fold(size_t k, int64_t dim = 0);
};

using BatchForm = bool (*)(BatchedCall&);
struct BatchRule {
  Op op;
  BatchForm rule;
};
// The rules by family.
std::span<const BatchRule> layer_batch_rules();
std::span<const BatchRule> matrix_batch_rules();
std::span<const BatchRule> position_batch_rules();

// What rules have in common.
namespace batch_forms {

// The attributes with other lists.
Attrs with_lists(const Attrs& a, std::initializer_list<Dims> lists);
Dims with_front(int64_t first, DimSpan rest);
Dims shifted(DimSpan dims);
// Dimensions `from` and the next one as one: an array's own memory where that goes, else a copy's.
Array merged(const Array& a, size_t from);
Array exchanged(const Array& a, size_t d, size_t e);
Tensor as_tensor(const Array& a);

// The last dimensions count, whatever stands in front of them; of several inputs, alike.
bool as_it_is(BatchedCall& c);
bool all_alike(BatchedCall& c);
// Attribute 0 is a set of dimensions, or a dimension.
bool reduction(BatchedCall& c);
bool along(BatchedCall& c);

// While a rule computes on its own.
struct OnArrays {
  GradModeGuard off{false};
  deferred::AtOnce now;
};

}  // namespace batch_forms

// False: there is no rule, or none for this call, which may have been changed.
bool apply_batch_rule(BatchedCall& c);

}  // namespace fastgrad
