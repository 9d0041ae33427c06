// What the rules about operands, attributes and results have in common: see Note [Graphs from
// files].
#pragma once

#include <algorithm>

#include "core/elementwise.h"
#include "program/check.h"

namespace fastgrad {

// An instruction, with the questions that rules ask.
struct Call {
  const Graph& graph;
  size_t number;
  const Instruction& i = graph.instructions[number];

  const Attrs& attrs() const { return i.attrs; }
  const Place& in(size_t k) const { return i.in[k]; }
  int64_t integer(int k) const { return i.attrs.integer(k); }
  size_t rank(size_t k = 0) const { return in(k).shape.size(); }
  int64_t size(size_t k, size_t dim) const { return in(k).shape[dim]; }
  // The first `count` inputs are there, and there are no others.
  bool takes(size_t count) const {
    return i.in.size() == count &&
           std::all_of(i.in.begin(), i.in.end(), [](const Place& p) { return p.defined(); });
  }
  bool same_type(size_t a, size_t b) const { return in(a).dtype == in(b).dtype; }
  bool same_shape(size_t a, size_t b) const { return in(a).shape == in(b).shape; }
  bool is_number(size_t k) const { return !is_complex(in(k).dtype) && in(k).dtype != DType::Bool; }
  bool is_float(size_t k) const { return is_floating(in(k).dtype); }
  bool dim_in(int64_t dim, size_t rank) const {
    return dim >= 0 && dim < static_cast<int64_t>(std::max<size_t>(rank, 1));
  }
  // Attribute 0 as a set of dimensions of input 0.
  bool dims_fit() const {
    return rank() < 64 && integer(0) >= 0 && integer(0) >> rank() == 0 && integer(1) >= 0 &&
           integer(1) < 4;
  }
  // All inputs and outputs have elements.
  bool filled() const {
    auto some = [](const Place& p) { return !p.defined() || p.numel > 0; };
    return std::all_of(i.in.begin(), i.in.end(), some) &&
           std::all_of(i.out.begin(), i.out.end(), some);
  }
  // There are `count` inputs, of which those in `optional` (by bits) may be absent.
  bool takes(size_t count, unsigned optional) const {
    if (i.in.size() != count) return false;
    for (size_t k = 0; k < count; ++k)
      if (!in(k).defined() && !(optional >> k & 1)) return false;
    return true;
  }
  bool type_attribute(int k, DType& type) const {
    if (integer(k) < 0 || integer(k) >= kNumDTypes) return false;
    type = static_cast<DType>(integer(k));
    return true;
  }
};

struct OpRule {
  Op op;
  bool (*fits)(const Call&);
};

// The rules by family.
std::span<const OpRule> position_rules();
std::span<const OpRule> matrix_rules();
std::span<const OpRule> layer_rules();

// Whether the values of input k, when the instruction runs, are all in [0, count).
bool are_positions(const Call& c, size_t k, int64_t count);
// Whether a condition has found that input k's values are in [low, end), and nobody has written to
// them since.
bool is_checked(const Call& c, size_t k, int64_t low, int64_t end);
// The same for: no value is zero.
bool is_never_zero(const Call& c, size_t k);
// Attributes position and list 0 of an indexing op, for an array of this shape; `count` becomes how
// many entries the dimensions have.
bool index_fits(const Call& c, DimSpan shape, int64_t& count);
Dims indexed_shape(const Call& c, DimSpan shape, size_t positions);
// Whether list k is the shape of result 0.
bool is_result_shape(const Call& c, size_t k);
// Whether op made output `number` of itself at input k, and nobody has written there since.
bool is_made_by(const Call& c, size_t k, Op op, size_t number);

}  // namespace fastgrad
