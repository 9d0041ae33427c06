#include "program/batch_rules.h"

#include <array>
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

void BatchedCall::fold(size_t k, int64_t dim) {
  spread(k);
  Array& a = in[k];
  if (!a.defined()) return;
  Dims order;
  for (int64_t d = 1; d < a.ndim(); ++d) order.push_back(d);
  order.insert(static_cast<size_t>(dim), 0);
  a = batch_forms::merged(a.permuted(order), static_cast<size_t>(dim));
  batched[k] = 0;
}

namespace batch_forms {

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
Array merged(const Array& a, size_t from) {
  Dims shape = a.shape;
  shape[from] *= shape[from + 1];
  shape.erase(from + 1);
  if (auto strides = view_strides(a.shape, a.strides, shape)) return a.view(shape, *strides);
  return recorded::contiguous_copy(a).reshaped(shape);
}
Array exchanged(const Array& a, size_t d, size_t e) {
  Dims order(a.shape.size());
  std::iota(order.begin(), order.end(), 0);
  std::swap(order[d], order[e]);
  return a.permuted(order);
}
Tensor as_tensor(const Array& a) { return a.defined() ? Tensor(a) : Tensor(); }

bool as_it_is(BatchedCall&) { return true; }
bool all_alike(BatchedCall& c) {
  c.spread_all();
  return true;
}
bool reduction(BatchedCall& c) {
  if (c.rank(0) == 0 || c.rank(0) > 60) return false;
  c.attrs.s[0] = Scalar(c.attrs.integer(0) << 1);
  return true;
}
bool along(BatchedCall& c) {
  for (size_t k = 0; k < c.in.size(); ++k)
    if (!c.in[k].defined() || c.rank(k) == 0) return false;
  c.spread_all();
  c.attrs.s[0] = Scalar(c.attrs.integer(0) + 1);
  return true;
}

}  // namespace batch_forms

namespace {

using namespace batch_forms;

Array with_dim(const Array& a, size_t at) {
  Dims shape = a.shape, strides = a.strides;
  shape.insert(at, 1);
  strides.insert(at, 0);
  return a.view(shape, strides);
}

// ---- along dimensions

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
  size_t rows = c.batched[0] ? 1 : 0;
  while (c.rank(0) > 2) c.in[0] = merged(c.in[0], rows);
  std::swap(c.in[0], c.in[2]);
  std::swap(c.in[1], c.in[2]);
  std::swap(c.batched[0], c.batched[2]);
  std::swap(c.batched[1], c.batched[2]);
  size_t front = c.batched[2] ? 1 : 0;
  c.in[2] = exchanged(c.in[2], front, front + 1);
  c.attrs = Attrs(Scalar(1), Scalar(1));
  return add_products(c);
}

// The sum of products is one of longer rows and columns.
bool summed_products(BatchedCall& c) {
  c.spread_all();
  for (size_t k : {0u, 1u})
    c.in[k] = c.attrs.flag(static_cast<int>(k)) == (k == 0) ? merged(c.in[k], 1)
                                                            : merged(exchanged(c.in[k], 1, 2), 2);
  c.op = Op::Bmm;
  return true;
}

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
    {Op::SumBmm, summed_products},
    {Op::Mv, matrix_times_vector},
    {Op::Dot, dot},
    {Op::Addmm, add_product},
    {Op::Linear, linear},
};

}  // namespace

bool apply_batch_rule(BatchedCall& c) {
  static const auto rules = [] {
    std::array<BatchForm, kNumOps> all{};
    for (std::span<const BatchRule> family :
         {std::span<const BatchRule>(kRules), layer_batch_rules(), matrix_batch_rules(),
          position_batch_rules()})
      for (const BatchRule& r : family) all[index(r.op)] = r.rule;
    return all;
  }();
  BatchForm rule = rules[index(c.op)];
  return rule && rule(c);
}

}  // namespace fastgrad
