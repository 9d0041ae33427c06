#include "program/batch_rules.h"

#include <bit>
#include <numeric>

#include "base/memory_format.h"
#include "core/elementwise.h"
#include "core/memory.h"
#include "ops/basic_index.h"

namespace fastgrad {

void BatchedCall::spread(size_t k) {
  if (batched[k] || !in[k].defined()) return;
  Dims shape{count};
  for (int64_t n : in[k].shape) shape.push_back(n);
  in[k] = in[k].expanded(shape);
  batched[k] = 1;
}

void BatchedCall::spread_all() {
  for (size_t k = 0; k < in.size(); ++k) spread(k);
}

void BatchedCall::align(size_t k, int64_t to) {
  Array& a = in[k];
  size_t front = batched[k] ? 1 : 0;
  Dims shape = a.shape, strides = a.strides;
  for (int64_t r = rank(k); r < to; ++r) {
    shape.insert(front, 1);
    strides.insert(front, 0);
  }
  a = a.view(shape, strides);
}

namespace {

using Rule = bool (*)(BatchedCall&);

// The attributes with other lists.
Attrs with_lists(const Attrs& a, std::initializer_list<Dims> lists) {
  Attrs made(a.s[0], a.s[1], a.s[2]);
  made.scalars = a.scalars;
  for (const Dims& l : lists) made.add(l);
  return made;
}
Dims with_front(int64_t first, DimSpan rest) {
  Dims all{first};
  for (int64_t n : rest) all.push_back(n);
  return all;
}
Dims shifted(DimSpan dims) {
  Dims all(dims);
  for (int64_t& d : all) ++d;
  return all;
}
// Dimensions `from` and the next one as one: an array's own memory where that goes, else a copy's.
Array merged(const Array& a, size_t from) {
  Dims shape = a.shape;
  shape[from] *= shape[from + 1];
  shape.erase(from + 1);
  if (auto strides = view_strides(a.shape, a.strides, shape)) return a.view(shape, *strides);
  return recorded::contiguous_copy(a).reshaped(shape);
}
Array with_dim(const Array& a, size_t at) {
  Dims shape = a.shape, strides = a.strides;
  shape.insert(at, 1);
  strides.insert(at, 0);
  return a.view(shape, strides);
}
Array exchanged(const Array& a, size_t d, size_t e) {
  Dims order(a.shape.size());
  std::iota(order.begin(), order.end(), 0);
  std::swap(order[d], order[e]);
  return a.permuted(order);
}

// ---- along dimensions

// Attribute 0 is a set of dimensions.
bool reduction(BatchedCall& c) {
  if (c.rank(0) == 0 || c.rank(0) > 60) return false;
  c.attrs.s[0] = Scalar(c.attrs.integer(0) << 1);
  return true;
}
// Attribute 0 is a dimension.
bool along(BatchedCall& c) {
  for (size_t k = 0; k < c.in.size(); ++k)
    if (!c.in[k].defined() || c.rank(k) == 0) return false;
  c.spread_all();
  c.attrs.s[0] = Scalar(c.attrs.integer(0) + 1);
  return true;
}
bool cat(BatchedCall& c) {
  for (size_t k = 0; k < c.in.size(); ++k)
    if (c.rank(k) != c.rank(0)) return false;  // empty vectors, which do not count
  return along(c);
}
bool stack(BatchedCall& c) {
  c.spread_all();
  c.attrs.s[0] = Scalar(c.attrs.integer(0) + 1);
  return true;
}
// List 0 has dimensions.
bool listed_dims(BatchedCall& c) {
  c.attrs = with_lists(c.attrs, {shifted(c.attrs.list(0))});
  return true;
}
// The last dimensions count, whatever stands in front of them.
bool as_it_is(BatchedCall&) { return true; }
// Attribute `slot` is a memory format, which may want a certain number of dimensions.
template <int slot>
bool copy(BatchedCall& c) {
  c.attrs.s[slot] = Scalar(static_cast<int64_t>(MemoryFormat::Contiguous));
  return true;
}

// ---- shapes

// List 0 is the result's shape.
bool reshape(BatchedCall& c) {
  c.attrs = with_lists(c.attrs, {with_front(c.count, c.attrs.list(0))});
  return true;
}
bool basic_index_adjoint(BatchedCall& c) {
  Dims items{0, 1, c.count};
  for (int64_t n : c.attrs.list(0)) items.push_back(n);
  c.attrs = with_lists(c.attrs, {items, with_front(c.count, c.attrs.list(1))});
  return true;
}
bool masked_fill(BatchedCall& c) {
  if (c.batched[2]) return false;
  int64_t rank = std::max(c.rank(0), c.rank(1));
  for (size_t k : {0u, 1u}) c.align(k, rank);
  c.spread(0);
  return true;
}

// ---- products

// Attributes: whether the operands are transposed.
bool product(BatchedCall& c) {
  bool ta = c.attrs.flag(0), tb = c.attrs.flag(1);
  if (c.batched[0] && !c.batched[1] && !ta) {  // all rows of the batch, one below the other
    c.in[0] = merged(c.in[0], 0);
    return true;
  }
  size_t across = tb ? 1 : 2;
  if (!c.batched[0] && c.in[1].shape[across] == 1) {  // columns, as rows of one matrix
    Array rows = exchanged(c.in[1], 1, across);
    c.in[1] = c.in[0];
    c.in[0] = merged(rows, 0);
    c.attrs = Attrs(Scalar(false), Scalar(!ta));
    return true;
  }
  c.op = Op::Bmm;
  return true;
}
bool batched_product(BatchedCall& c) {
  int64_t rank = std::max({c.rank(0), c.rank(1), int64_t{2}});
  for (size_t k : {0u, 1u})
    if (c.batched[k]) c.align(k, rank);
  return true;
}
bool matrix_times_vector(BatchedCall& c) {
  bool t = c.attrs.flag(0);
  if (!c.batched[0]) {
    std::swap(c.in[0], c.in[1]);
    c.op = Op::Mm;
    c.attrs = Attrs(Scalar(false), Scalar(!t));
    return true;
  }
  c.in[1] = with_dim(c.in[1], c.batched[1] ? 2 : 1);
  c.op = Op::Bmm;
  c.attrs = Attrs(Scalar(t), Scalar(false));
  return true;
}
bool dot(BatchedCall& c) {
  if (c.batched[0] && c.batched[1]) {
    c.in[0] = with_dim(c.in[0], 1);
    c.in[1] = with_dim(c.in[1], 2);
    c.op = Op::Bmm;
    c.attrs = Attrs(Scalar(false), Scalar(false));
    return true;
  }
  if (c.batched[1]) std::swap(c.in[0], c.in[1]);
  c.op = Op::Mv;
  c.attrs = Attrs(Scalar(false));
  return true;
}
// input + a b as one product for each example; the factors are attributes.
bool add_products(BatchedCall& c) {
  if (c.rank(1) != 2 || c.rank(0) > 2) return false;
  for (size_t k : {1u, 2u}) c.spread(k);
  c.align(0, 2);
  c.op = Op::Baddbmm;
  return true;
}
bool add_product(BatchedCall& c) {
  bool row = c.rank(0) < 2 || c.in[0].shape[c.batched[0]] == 1;
  if (!c.batched[0] && !c.batched[2] && row) {
    c.in[1] = merged(c.in[1], 0);
    return true;
  }
  return add_products(c);
}
bool linear(BatchedCall& c) {
  if (!c.batched[1] && !c.batched[2]) return true;
  // x Wᵀ + bias
  if (c.rank(0) == 1) c.in[0] = with_dim(c.in[0], c.batched[0] ? 1 : 0);
  if (c.rank(0) != 2) return false;
  std::swap(c.in[0], c.in[2]);
  std::swap(c.in[1], c.in[2]);
  std::swap(c.batched[0], c.batched[2]);
  std::swap(c.batched[1], c.batched[2]);
  size_t front = c.batched[2] ? 1 : 0;
  c.in[2] = exchanged(c.in[2], front, front + 1);
  c.attrs = Attrs(Scalar(1), Scalar(1));
  return add_products(c);
}

// ---- indices

// The positions in all examples' entries, one example's behind the other's: of arrays which have
// `entries` each.
Array in_batch(const BatchedCall& c, const Array& linear, int64_t entries) {
  Array out = recorded::contiguous_copy(linear);
  Array first = Array::empty(Dims{c.count}, DType::Int64);
  for (int64_t e = 0; e < c.count; ++e) first.ptr<int64_t>()[e] = e * entries;
  constant_values(first);
  Dims shape{c.count};
  for (int64_t d = 1; d < linear.ndim(); ++d) shape.push_back(1);
  Tensor a((Array(out))), b(first.reshaped(shape));
  GradModeGuard off(false);
  deferred::AtOnce now;
  return elementwise(Op::Add, a, b).array();
}
int64_t entries_of(DimSpan shape, DimSpan dims) {
  int64_t n = 1;
  for (int64_t d : dims) n *= shape[static_cast<size_t>(d)];
  return n;
}

// x at a linear index over the dimensions of list 0, which takes their place at attribute 0.
bool index_get(BatchedCall& c) {
  const Dims dims(c.attrs.list(0));
  int64_t position = c.attrs.integer(0);
  if (!c.batched[1]) {
    c.attrs = with_lists(c.attrs, {shifted(dims)});
    c.attrs.s[0] = Scalar(position + 1);
    return true;
  }
  if (c.batched[0]) {
    Dims own(DimSpan(c.in[0].shape).subspan(1));
    c.in[1] = in_batch(c, c.in[1], entries_of(own, dims));
    c.attrs = with_lists(c.attrs, {with_front(0, shifted(dims))});
  }
  c.batch_dim = position;
  return true;
}
// Its adjoint: adds to zeros of the shape of list 1.
bool index_adjoint(BatchedCall& c) {
  const Dims dims(c.attrs.list(0)), shape(c.attrs.list(1));
  int64_t position = c.attrs.integer(0);
  const Dims whole = with_front(c.count, shape);
  if (!c.batched[1]) {
    c.attrs = with_lists(c.attrs, {shifted(dims), whole});
    c.attrs.s[0] = Scalar(position + 1);
    return true;
  }
  c.spread(0);
  Dims order;  // the batch where the index's dimensions begin
  for (int64_t d = 1; d < c.in[0].ndim(); ++d) order.push_back(d);
  order.insert(static_cast<size_t>(position), 0);
  c.in[0] = c.in[0].permuted(order);
  c.in[1] = in_batch(c, c.in[1], entries_of(shape, dims));
  c.attrs = with_lists(c.attrs, {with_front(0, shifted(dims)), whole});
  return true;
}
bool put_along(BatchedCall& c) {
  if (!along(c)) return false;
  c.attrs = with_lists(c.attrs, {with_front(c.count, c.attrs.list(0))});
  return true;
}

struct BatchRule {
  Op op;
  Rule rule;
};

constexpr BatchRule kRules[] = {
    {Op::Sum, reduction},
    {Op::Nansum, reduction},
    {Op::Mean, reduction},
    {Op::Prod, reduction},
    {Op::Any, reduction},
    {Op::All, reduction},
    {Op::CountNonzero, reduction},
    {Op::Var, reduction},
    {Op::Std, reduction},
    {Op::VarMean, reduction},
    {Op::StdMean, reduction},
    {Op::VectorNorm, reduction},
    {Op::Logsumexp, reduction},
    {Op::Amax, reduction},
    {Op::Amin, reduction},
    {Op::Aminmax, reduction},
    {Op::MaxAll, reduction},
    {Op::MinAll, reduction},
    {Op::Max, reduction},
    {Op::Min, reduction},
    {Op::Argmax, reduction},
    {Op::Argmin, reduction},
    {Op::Softmax, along},
    {Op::LogSoftmax, along},
    {Op::SoftmaxGrad, along},
    {Op::LogSoftmaxGrad, along},
    {Op::Cumsum, along},
    {Op::Cumprod, along},
    {Op::Logcumsumexp, along},
    {Op::Cummax, along},
    {Op::Cummin, along},
    {Op::LinearScan, along},
    {Op::Sort, along},
    {Op::Topk, along},
    {Op::Cat, cat},
    {Op::Stack, stack},
    {Op::TakeAlong, along},
    {Op::PutAlong, put_along},
    {Op::Flip, listed_dims},
    {Op::Tril, as_it_is},
    {Op::Triu, as_it_is},
    {Op::ToDType, copy<1>},
    {Op::Clone, copy<0>},
    {Op::ReshapeCopy, reshape},
    {Op::BasicIndexAdjoint, basic_index_adjoint},
    {Op::MaskedFill, masked_fill},
    {Op::Mm, product},
    {Op::Bmm, batched_product},
    {Op::Mv, matrix_times_vector},
    {Op::Dot, dot},
    {Op::Addmm, add_product},
    {Op::Linear, linear},
    {Op::Index, index_get},
    {Op::IndexSelect, index_get},
    {Op::Take, index_get},
    {Op::IndexAdjoint, index_adjoint},
};

}  // namespace

bool apply_batch_rule(BatchedCall& c) {
  for (const BatchRule& r : kRules)
    if (r.op == c.op) return r.rule(c);
  return false;
}

}  // namespace fastgrad
